"""What formats say of themselves besides numbers: axes, colours, frames, chunks. It is held to, or refused."""

import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps
from tifffile import PHOTOMETRIC

COLOURS = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE)  # of TIFF images


class Refused(ValueError):
    """The file is whole, and not what is asked for; the message names it already."""


class OtherAxes(Refused):
    """An image has more or fewer axes than it should."""


@contextmanager
def strict_tifffile() -> Iterator[None]:
    """Of a truncated file tifffile logs an error and gives the pages that are left: here it raises."""
    errors: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())
    log = logging.getLogger("tifffile")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
    if errors:
        raise ValueError(errors[0])


def channels_first(array: np.ndarray, file: tifffile.TiffFile) -> np.ndarray:
    axes = file.series[0].axes  # for example ZCYX, as ImageJ saves it
    return np.moveaxis(array, axes.index("C"), 0) if "C" in axes and len(axes) == array.ndim else array


def check_tiff(file: tifffile.TiffFile, path: Path, ndim: int | None) -> None:
    """Refuse what would be read as something else: several images in one file, other axes, other colours."""
    if len(file.series) > 1:
        shapes = ", ".join(str(one.shape) for one in file.series[:3])
        raise Refused(f"{path}: holds {len(file.series)} images, of shapes {shapes}; save each as a file of its own")
    if ndim is None:
        return
    page, axes, shape = file.pages.first, file.series[0].axes, file.series[0].shape
    space = [n for axis, n in zip(axes, shape) if axis not in "CS"]
    if len(space) != ndim:
        raise OtherAxes(
            f"{path}: found {len(space)} axes besides colours ({axes}, {shape}), expected {ndim}. If one of them is "
            "that of the channels, say so: tifffile.imwrite(path, image, metadata={'axes': 'CYX'}); give slices of a "
            "volume to a run that was trained on volumes, or save each as a file of its own"
        )
    decoded = page.photometric == PHOTOMETRIC.YCBCR and page.compression in (6, 7)  # JPEG: tifffile gives RGB
    if page.photometric not in COLOURS and not decoded:
        name = getattr(page.photometric, "name", page.photometric)
        raise Refused(f"{path}: found colours of kind {name}; convert the image to RGB or grey")


def shown(array: np.ndarray, file: tifffile.TiffFile, ndim: int | None) -> np.ndarray:
    """The numbers of an image as they are to be seen; those of a label map as they are stored."""
    page = file.pages.first
    if ndim and page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return np.moveaxis((page.colormap >> 8).astype(np.uint8)[:, array], 0, -1)
    if ndim and page.photometric == PHOTOMETRIC.MINISWHITE:
        if array.dtype.kind == "f":
            return -array
        return ~array if array.dtype.kind in "bu" else -1 - array
    return array


def check_stored(stored: int, places: int, array, path: Path) -> None:
    """Of chunks that nobody wrote a reader makes zeros, or whatever else fills them, without a word."""
    if stored < places / 100:
        raise Refused(
            f"{path}: {array.name} declares {array.shape}, and {stored} of {places} of its chunks are there; is it "
            "complete? Copy or write it again"
        )
    if stored < places:
        text = f"{path}: {places - stored} of {places} chunks are not stored and read as {array.fillvalue}"
        warnings.warn(f"{text}; if that is not meant, copy or write it again", stacklevel=4)


def read_picture(path: Path | zipfile.Path, ndim: int | None) -> np.ndarray:
    if ndim == 3:
        raise OtherAxes(f"{path}: a picture has 2 axes, expected 3; give volumes, as TIFF for example")
    with path.open("rb") as stream, Image.open(stream) as image:
        if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise Refused(f"{path}: holds {image.n_frames} frames; save each as a file of its own")
        if image.mode in ("CMYK", "YCCK", "YCbCr", "LAB", "PA") or (image.mode == "P" and ndim):
            image = image.convert("RGB")
        return np.array(ImageOps.exif_transpose(image))
