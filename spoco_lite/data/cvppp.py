"""CVPPP 2017 leaf segmentation challenge, subset A1: Arabidopsis rosettes from above, 530 x 500 pixels.

Registration and terms: https://www.plant-phenotyping.org/datasets-home (research use, no redistribution).
Cite Minervini et al. 2016 and Scharr et al. 2016. Each image has a label map and a foreground mask. The splits
are this project's own, fixed in ``data/splits/cvppp``: the challenge keeps the labels of its test images to itself.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError

from .paths import find, shipped
from .sample import Sample

HOW = (
    "CVPPP needs a registration: https://www.plant-phenotyping.org/datasets-home. Unpack the training archive of the "
    "2017 leaf segmentation challenge and set SPOCO_DATA to the folder that holds cvppp/training/A1/plant001_rgb.png."
)


def split_names(split: str) -> list[str]:
    """Names of the plants of one split, from ``data/splits/cvppp/<split>.txt``; the file's checksum is verified.

    >>> len(split_names("train")), len(split_names("val")), len(split_names("test"))
    (88, 20, 20)
    """
    folder = shipped() / "splits" / "cvppp"
    text = (folder / f"{split}.txt").read_bytes()
    expected = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    if hashlib.sha256(text).hexdigest() != expected[f"{split}.txt"]:
        raise ValueError(f"{folder / f'{split}.txt'}: not the split file of this release; restore it (git checkout)")
    return text.decode().split()


def load(split: str, *, size: int | None = None) -> list[Sample]:
    """The plants of a split. Labels: 1..K the leaves, 0 the background (dense annotation)."""
    folder = find("cvppp", how=HOW) / "training" / "A1"
    return [read_plant(folder, name, size=size) for name in split_names(split)]


def read_plant(folder: Path, name: str, *, size: int | None = None) -> Sample:
    """One plant from ``<name>_rgb.png``, ``<name>_label.png`` and ``<name>_fg.png`` in the challenge's layout."""
    folder = Path(folder)
    rgb = _read(folder / f"{name}_rgb.png", "RGB")
    labels = _read(folder / f"{name}_label.png", None).astype(np.int64)
    foreground = _read(folder / f"{name}_fg.png", "L") > 0
    for kind, array in (("label", labels), ("fg", foreground)):
        if array.shape != rgb.shape[:2]:
            raise ValueError(
                f"{folder / f'{name}_{kind}.png'}: size {array.shape} differs from the image's {rgb.shape[:2]}; "
                "both must come from the same archive"
            )
    if not labels.any():
        raise ValueError(f"{folder / f'{name}_label.png'}: no leaf is labelled; leave the image out of the split")
    image = np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32) / 255
    sample = Sample(image, labels, name, foreground)
    return sample if size is None else resize(sample, size)


def resize(sample: Sample, size: int) -> Sample:
    """Bring a sample to ``size`` x ``size`` pixels: the image smoothly, labels and mask by the nearest pixel."""
    image = F.interpolate(torch.from_numpy(sample.image)[None], (size, size), mode="bilinear", antialias=True)

    def nearest(x: np.ndarray) -> np.ndarray:
        rows, columns = (((np.arange(size) + 0.5) * n / size).astype(int) for n in x.shape)
        return x[rows[:, None], columns]

    foreground = None if sample.foreground is None else nearest(sample.foreground)
    return Sample(image[0].clamp(0, 1).numpy(), nearest(sample.labels), sample.name, foreground)


def _read(path: Path, mode: str | None) -> np.ndarray:
    """A PNG as an array; ``mode=None`` keeps the values of a palette image, which are the leaf numbers."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; the folder should hold every plant of the split. {HOW}")
    try:
        with Image.open(path) as image:
            array = np.array(image.convert(mode) if mode else image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path}: not a readable PNG ({error}); unpack the archive again") from error
    if mode is None and array.ndim != 2:
        raise ValueError(f"{path}: expected one number per pixel, found an image of shape {array.shape}")
    return array
