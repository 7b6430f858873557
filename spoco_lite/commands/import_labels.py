"""``data import FILE... FOLDER``: what other tools saved becomes label maps in ``FOLDER/labels``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from ..data.files import SUFFIXES, files_of, read_array
from ..data.names import by_image
from ..data.outlines import Outlines, draw, outlines_of
from ..data.writing import whole
from .each import each


def import_labels(files: Sequence[Path], folder: Path) -> int:
    """Write the label maps, never over one that is there, and say for each what it holds; returns the exit code.

    What cannot be imported is said, and the others are; then the code is 1, else 0.

    The images lie in ``FOLDER/images``: a label map belongs to that of its name.
    """
    images = files_of(folder / "images")

    def one_file(file: Path) -> int | None:
        if file.suffix.lower() not in SUFFIXES:
            return each(outlines_of(file), lambda one: _import(folder, images, one, file), path=file)
        labels = read_array(file)
        if labels.dtype.kind not in "bui" or labels.ndim not in (2, 3):
            found = f"found shape {labels.shape} of type {labels.dtype}"
            raise ValueError(f"{file}: {found}; a label map has 2 or 3 axes of integers")
        (name,) = by_image({file.stem: file}, images)
        _write(folder, images, name, labels, file)
        print(f"{file}: {len(np.unique(labels[labels > 0]))} objects, as they are, for {name}")

    return 1 if each(files, one_file) else 0


def _import(folder: Path, images: dict[str, Path], one: Outlines, file: Path) -> None:
    (name,) = by_image({one.image: file}, images)
    if name not in images:
        raise ValueError(
            f"{file}: belongs to image {one.image}, of which {folder / 'images'} has none; add it, or rename"
        )
    shape = one.shape or read_array(images[name], ndim=2).shape[:2]
    drawn = draw(one.objects, shape)
    _write(folder, images, name, drawn.labels, file)
    said = [f"{drawn.objects} objects"]
    if (drawn.labels == 255).any():
        said.append("background strokes, as 255")
    said += [f"{drawn.holes} holes cut out"] * (drawn.holes > 0)
    said += [f"{drawn.overlap} pixels that two objects claim, given to the later one"] * (drawn.overlap > 0)
    said += [f"{drawn.lost} objects of which no pixel is left"] * (drawn.lost > 0)
    print(f"{file}: {', '.join(said)}, for {name}")


def _write(folder: Path, images: dict[str, Path], name: str, labels: np.ndarray, file: Path) -> None:
    _check_image(folder, images, name, file)
    target = folder / "labels" / f"{name}.tif"
    there = [path for path in target.parent.iterdir() if path.stem == name] if target.parent.is_dir() else []
    if there:
        raise ValueError(f"{there[0]}: is there already; move it away to import {file}")
    target.parent.mkdir(exist_ok=True)
    with whole(target) as temporary:
        tifffile.imwrite(temporary, labels, compression="zlib", photometric="minisblack")


def _check_image(folder: Path, images: dict[str, Path], name: str, file: Path) -> None:
    if name not in images:
        raise ValueError(f"{file}: belongs to image {name}, and {folder / 'images'} has none of that name; rename one")
