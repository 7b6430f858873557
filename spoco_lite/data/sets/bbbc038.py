"""BBBC038, stage 1 of the 2018 Data Science Bowl: nuclei in fluorescence microscopy, 2D.

Source: https://bbbc.broadinstitute.org/BBBC038, CC0. Cite Caicedo et al. 2019 (Nature Methods 16, 1247) and
"image set BBBC038v1, available from the Broad Bioimage Benchmark Collection". Layout: ``<id>/images/<id>.png`` and
``<id>/masks/*.png``, one file per nucleus, in folders or in ``stage1_train.zip`` as it is (nothing is unpacked).
Pixel sizes differ and are not given.

The splits hold 150 of the 670 training images, all of them grey fluorescence: 121 of 256 x 256 and 29 of 360 x 360
pixels. Many are tiles of one larger picture, and a nucleus on a seam is in both tiles. Images whose borders continue
each other (log intensities along them correlated above 0.85, and close in value) therefore stay together. These
groups were drawn at random: a sixth of each size for ``test``, a sixth for ``val``, the rest for ``train``. Seams in
empty background leave no trace, so tiles of one picture can still be in two splits; a nucleus on a recognised seam
cannot.
"""

import functools
import os
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from ..files import as_image, read_array
from ..paths import find
from ..sample import Sample, Samples
from ..splits import split_names

HOW = (
    "Fetch it: python -m spoco_lite data fetch bbbc038. Or download stage1_train.zip from "
    "https://bbbc.broadinstitute.org/BBBC038 and set SPOCO_DATA to the folder that holds bbbc038/stage1_train.zip."
)


def read(split: str) -> Samples:
    """The images of a split. Labels: 1..K the nuclei, 0 the background (dense annotation)."""
    folder = find("bbbc038", how=HOW)
    return Samples(split_names("bbbc038", split), lambda name: read_nuclei(folder, name))


def read_nuclei(folder: Path, name: str) -> Sample:
    """One image and the masks of its nuclei; image float32 (3, Y, X), 8 bits / 255, alpha dropped.

    The nuclei are numbered in the order of their files' names. Where two masks overlap (one pixel in all 150 images),
    the first keeps the pixel. Raises FileNotFoundError for a missing image, and ValueError for a damaged file, a mask
    of another size, and an image without nuclei, which this set does not have.
    """
    path, masks = _files(Path(folder), name)
    image = as_image(read_array(path), path, ndim=2)
    labels = np.zeros(image.shape[1:], np.int64)
    for number, mask in enumerate(masks, 1):
        nucleus = read_array(mask) > 0
        if nucleus.shape != labels.shape:
            raise ValueError(f"{mask}: size {nucleus.shape} differs from the image's {labels.shape}; {HOW}")
        labels[nucleus & (labels == 0)] = number
    if not labels.any():
        raise ValueError(
            f"{path}: no nucleus in the folder masks beside images; every image of this set has some. {HOW}"
        )
    return Sample(image, labels, name)


def _files(folder: Path, name: str) -> tuple[Path | zipfile.Path, list[Path | zipfile.Path]]:
    """The image and, sorted, its masks: from the folder of the image, else from the archive."""
    archive = folder / "stage1_train.zip"
    if (folder / name).is_dir() or not archive.is_file():
        return folder / name / "images" / f"{name}.png", sorted((folder / name / "masks").glob("*.png"))
    root, masks = _open(archive, os.getpid())
    return root / f"{name}/images/{name}.png", [root / mask for mask in masks[name]]


@functools.lru_cache(maxsize=1)
def _open(archive: Path, process: int) -> tuple[zipfile.Path, dict[str, list[str]]]:
    """The archive and its masks by image. Opened once by each process: a handle shared by two loses its place."""
    try:
        root = zipfile.Path(archive)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{archive}: not a readable zip file ({error}). {HOW}") from error
    masks = defaultdict(list)
    for member in sorted(root.root.namelist()):
        parts = member.split("/")
        if parts[1:2] == ["masks"] and member.endswith(".png"):
            masks[parts[0]].append(member)
    return root, masks
