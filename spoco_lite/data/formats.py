"""What the formats of files say besides numbers: axes, colours, frames, chunks, keys. It is held to, or refused."""

import logging
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
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
def named(path: Path | zipfile.Path) -> Iterator[None]:
    """Whatever a damaged file makes a reader raise becomes a ValueError that names the file."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        if "imagecodecs" in str(error):
            raise ValueError(f"{path}: its compression needs one more package: pip install imagecodecs") from error
        reason = f"cannot be read ({type(error).__name__}: {error})"
        raise ValueError(f"{path}: {reason}; is it complete? Copy or unpack it again") from error


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


def refuse_objects(path: Path) -> None:
    """To load the Python objects of an npy file would run whatever code its writer put there."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if read(file)[2].hasobject:
            raise Refused(
                f"{path}: holds Python objects, as the _seg.npy files of Cellpose do; if you trust the file, save "
                "the array in it: np.load(path, allow_pickle=True).item()['masks']"
            )


def open_hdf5(path: Path, key: str | None) -> h5py.Dataset:
    with named(path):
        file, found = h5py.File(path, "r"), []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    dataset = file[_only(found, key, path)]
    if dataset.chunks:
        places = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks))
        check_stored(dataset.id.get_num_chunks(), places, dataset, path)
    elif dataset.size:
        check_stored(int(dataset.id.get_storage_size() > 0 or dataset.external is not None), 1, dataset, path)
    return dataset


def open_zarr(path: Path, key: str | None):
    try:
        import zarr
    except ImportError as error:
        raise ValueError(f"{path}: reading zarr needs one more package: pip install 'zarr>=3'") from error
    with named(path):
        store = zarr.open(str(path), mode="r")
        found = []
        if not isinstance(store, zarr.Array):
            found = [name for name, item in store.members(max_depth=None) if isinstance(item, zarr.Array)]
    array = store if isinstance(store, zarr.Array) else store[_only(found, key, path)]
    missing = array.nchunks - array.nchunks_initialized  # zarr leaves out chunks of nothing but the fill value
    if missing:
        text = f"{path}: {missing} of {array.nchunks} chunks are not stored and read as {array.fill_value}"
        warnings.warn(f"{text}; if that is not meant, copy or write it again", stacklevel=4)
    return array


def _only(found: list[str], key: str | None, path: Path) -> str:
    """The data set that is asked for, or the only one."""
    if key is None and len(found) == 1:
        return found[0]
    if key is not None and key.strip("/") in found:
        return key.strip("/")
    wanted = "no key was given" if key is None else f"no data set {key!r}"
    raise ValueError(f"{path}: {wanted}; give as key one of those inside: {', '.join(found) or 'none'}")
