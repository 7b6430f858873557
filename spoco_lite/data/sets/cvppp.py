"""CVPPP 2017 leaf segmentation challenge, subset A1: Arabidopsis rosettes from above, 530 x 500 pixels.

Registration and terms: https://www.plant-phenotyping.org/datasets-home (research use, no redistribution).
Cite Minervini et al. 2016 and Scharr et al. 2016. Each image has a label map and a foreground mask. The splits
are this project's own, fixed in ``data/splits/cvppp``: the challenge keeps the labels of its test images to itself.
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..paths import find
from ..sample import Sample, Samples
from ..splits import split_names

HOW = (
    "CVPPP needs a registration: https://www.plant-phenotyping.org/datasets-home. Unpack the training archive of the "
    "2017 leaf segmentation challenge and set SPOCO_DATA to the folder that holds cvppp/training/A1/plant001_rgb.png."
)


def read(split: str) -> Samples:
    """The plants of a split. Labels: 1..K the leaves, 0 the background (dense annotation)."""
    folder = find("cvppp", how=HOW) / "training" / "A1"
    return Samples(split_names("cvppp", split), lambda name: read_plant(folder, name))


def read_plant(folder: Path, name: str) -> Sample:
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
    return Sample(image, labels, name, foreground)


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
