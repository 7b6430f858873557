"""BBBC050: nuclei of mouse embryos, 3D fluorescence microscopy.

Source: https://bbbc.broadinstitute.org/BBBC050, CC BY 3.0. Cite Tokuoka et al. 2020 (npj Systems Biology and
Applications 6, 32) and "image set BBBC050, available from the Broad Bioimage Benchmark Collection". Layout:
``{train,test}/{images,labels}/EmbNN_tNNN.tif``, embryo NN at time NNN, 51 slices of about 125 x 125 voxels of
1.75 x 0.8 x 0.8 micrometres. Intensities have another range in ``test`` than in ``train``: each volume is scaled by
its own 0.1 and 99.9 percentiles.

``train`` and ``val`` are the owner's training folder at times 401 and 501. Embryos 5 and 7, drawn at random, are
``val`` alone. ``test`` is the owner's test folder at times 301, 401 and 501. That folder numbers its embryos afresh, so
a name carries its folder: ``test/Emb1`` is none of the eleven in ``train``. Its volumes differ in size and camera
offset from all of theirs, and at times 401 and 501 no training embryo has the same number of nuclei.
"""

from pathlib import Path

from ..files import as_image, as_labels, read_array
from ..paths import find
from ..sample import Sample, Samples
from ..splits import split_names

VOXEL_SIZE = (1.75, 0.8, 0.8)
"""Micrometres along z, y, x."""

HOW = (
    "Fetch it: python -m spoco_lite data fetch bbbc050. Or download it from https://bbbc.broadinstitute.org/BBBC050 "
    "and set SPOCO_DATA to the folder that holds bbbc050/train/images/Emb01_t401.tif and bbbc050/train/labels."
)


def read(split: str) -> Samples:
    """The volumes of a split. Labels: 1..K the nuclei, 0 the background (dense annotation)."""
    folder = find("bbbc050", how=HOW)
    return Samples(split_names("bbbc050", split), lambda name: read_embryo(folder, name))


def read_embryo(folder: Path, name: str) -> Sample:
    """One volume, named as in ``train/Emb01_t401``; image float32 (1, Z, Y, X).

    Raises FileNotFoundError for a missing file, and ValueError for a damaged one, sizes that differ, and a volume
    without nuclei, which this set does not have.
    """
    part, stem = name.split("/")
    path, label_path = (Path(folder) / part / kind / f"{stem}.tif" for kind in ("images", "labels"))
    image = as_image(read_array(path), path, ndim=3)
    labels = as_labels(read_array(label_path), label_path)
    if labels.shape != image.shape[1:]:
        raise ValueError(f"{label_path}: size {labels.shape}, but the image has {image.shape[1:]}; {HOW}")
    if not labels.any():
        raise ValueError(f"{label_path}: no nucleus; every volume of this set has some. {HOW}")
    return Sample(image, labels, name, voxel_size=VOXEL_SIZE)
