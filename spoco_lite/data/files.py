"""Image files as arrays: reading them (zarr only where it is installed), images to float32, label maps to int64."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from .formats import (
    channels_first,
    check_tiff,
    named,
    open_hdf5,
    open_zarr,
    read_picture,
    refuse_objects,
    shown,
    strict_tifffile,
)

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".h5", ".hdf5", ".npy", ".zarr")
"""The file name endings that can be read, in lower or upper case."""


def read_array(path: str | Path | zipfile.Path, *, key: str | None = None, ndim: int | None = None) -> np.ndarray:
    """The numbers of a file, as they are stored. Every error of this module names the file.

    Parameters
    ----------
    path
        its ending (``SUFFIXES``) says what it is. PNG and JPEG may also lie in a zip file: give a
        ``zipfile.Path``.
    key
        name of the data set inside an HDF5 or zarr file; not needed if there is only one.
    ndim
        of an image, 2 or 3, the axes that are space. A file that says what its axes are is held to it, a palette gives
        its colours, and inverted grey is turned back. None: a label map, whose numbers stay as they are.

    Returns
    -------
    ndarray
        Of PNG and JPEG (Y, X), or (Y, X, 2 to 4) with colours or alpha; Pillow reads colours of 16 bits as 8 bits. They
        are turned as their EXIF data say.
        Of TIFF the pages are the first axis; a channel axis named in the file's metadata becomes the first axis.
        Of HDF5, npy and zarr the shape in the file.

    Raises
    ------
    FileNotFoundError
        a missing file.
    ValueError
        an unknown ending, an unreadable or truncated file, a key that is missing inside, or zarr that is not
        installed; several images in one file; of an image, other axes, or colours that are not red, green and blue.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "leaf.npy"
    >>> np.save(path, np.arange(6).reshape(2, 3))
    >>> read_array(path).shape, type(open_array(path)).__name__
    ((2, 3), 'memmap')
    """
    path = _checked(path)
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        with named(path):
            return read_picture(path, ndim)
    if path.suffix.lower() in (".tif", ".tiff"):
        with named(path), strict_tifffile(), tifffile.TiffFile(path) as file:
            check_tiff(file, path, ndim)
            return channels_first(shown(file.series[0].asarray(), file, ndim), file)
    array = open_array(path, key=key, ndim=ndim)
    with named(path):
        return np.array(array[()])


def open_array(path: str | Path, *, key: str | None = None, ndim: int | None = None) -> np.ndarray | h5py.Dataset:
    """What :func:`read_array` gives, read from disk only where it is sliced, if the format allows it.

    npy and uncompressed TIFF: a read-only memory map. HDF5: the data set. zarr: the array. Else: the array, read.

    The errors are those of :func:`read_array`, whose example opens a file as well.
    """
    path = _checked(path)
    kind = path.suffix.lower()
    if kind == ".npy":
        with named(path):
            refuse_objects(path)
            return np.load(path, mmap_mode="r")
    if kind in (".h5", ".hdf5"):
        return open_hdf5(path, key)
    if kind == ".zarr":
        return open_zarr(path, key)
    if kind in (".tif", ".tiff"):
        with named(path), strict_tifffile(), tifffile.TiffFile(path) as file:
            check_tiff(file, path, ndim)
            as_it_is = ndim is None or file.pages.first.photometric not in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE)
            if file.series[0].dataoffset is not None and not file.pages.first.is_tiled and as_it_is:
                return channels_first(tifffile.memmap(path, mode="r"), file)
    return read_array(path, ndim=ndim)


def files_of(path: str | Path) -> dict[str, Path]:
    """The files of a folder that can be read, or the one file, by name without the ending: so partners are found.

    FileNotFoundError if nothing is there, ValueError if nothing can be read or two files have one name.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp())
    >>> np.save(path / "leaf.npy", np.eye(2))
    >>> list(files_of(path)), files_of(path) == files_of(path / "leaf.npy")
    (['leaf'], True)
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    alone = path.is_file() or path.suffix.lower() == ".zarr"
    files: dict[str, Path] = {}
    for file in [path] if alone else sorted(path.iterdir()):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
            other = files.setdefault(file.stem, file)
            if other != file:
                raise ValueError(f"{file}: same name as {other}; remove or rename one of the two")
    if not files:
        raise ValueError(f"{path}: no file that can be read; known endings are {', '.join(SUFFIXES)}")
    return files


def as_image(array: np.ndarray, path: str | Path, *, ndim: int, stretch: bool = False) -> np.ndarray:
    """An image of ``ndim`` (2 or 3) spatial axes as float32 ``(C, *S)`` in [0, 1].

    * Channels are the last axis (1 to 4 of them; the second of 2 and the fourth of 4 are alpha, and dropped), or else
      the first (1 to 4, all kept). Without a channel axis C is 1.
    * uint8 is divided by 255, bool is 0 or 1. Any other type has no known range: each channel is scaled by its own 0.1
      and 99.9 percentiles and clipped (by minimum and maximum if the two are equal); a constant channel becomes 0.
      ``stretch`` does the same to uint8.

    ``path`` is for the error: a ValueError for other shapes, empty images, NaN and infinity.

    >>> as_image(np.array([[0, 51, 255]], np.uint8), "grey.png", ndim=2).round(2)
    array([[[0. , 0.2, 1. ]]], dtype=float32)
    >>> as_image(np.zeros((8, 6, 4), np.uint8), "rgba.png", ndim=2).shape
    (3, 8, 6)
    """
    channels = with_channels(array, path, ndim=ndim)
    if is_wide(array.dtype):
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is said below
            image = np.stack([above(channel, channel.min()) for channel in channels])
    else:
        image = np.array(channels, dtype=np.float32, order="C")  # a copy: it is scaled in place below
    if array.dtype.kind == "b":
        return image
    if array.dtype == np.uint8 and not stretch:
        return image / 255
    if not np.isfinite(image).all():
        raise ValueError(f"{path}: {(~np.isfinite(channels)).sum()} values are NaN or infinite; replace them")
    for channel in image:
        low, high = np.percentile(channel, (0.1, 99.9))
        if low == high:
            low, high = channel.min(), channel.max()
        channel -= low
        channel /= max(high - low, np.finfo(np.float32).tiny)
    return image.clip(0, 1)


def with_channels(array: np.ndarray, path: str | Path, *, ndim: int) -> np.ndarray:
    """An image as it is stored, as ``(C, *S)`` without alpha; where the channels are, and the errors, as in
    :func:`as_image`.

    >>> with_channels(np.zeros((8, 6, 4), np.uint8), "rgba.png", ndim=2).shape
    (3, 8, 6)
    """
    if array.dtype.kind not in "buif":
        raise ValueError(f"{path}: found values of type {array.dtype}; an image needs integers or floats")
    if array.ndim == ndim:
        channels = array[None]
    elif array.ndim == ndim + 1 and 1 <= array.shape[-1] <= 4:
        opaque = {2: 1, 4: 3}.get(array.shape[-1], array.shape[-1])
        channels = np.moveaxis(array[..., :opaque], -1, 0)
    elif array.ndim == ndim + 1 and 1 <= array.shape[0] <= 4:
        channels = array
    else:
        raise ValueError(
            f"{path}: found shape {array.shape}; an image of {ndim} axes has that many, "
            "or one more, the first or the last, with 1 to 4 channels"
        )
    if not channels.size:
        raise ValueError(f"{path}: found shape {array.shape}; the image is empty")
    return channels


def is_wide(dtype: np.dtype) -> bool:
    """Whether float32 cannot hold all values of a type.

    >>> is_wide(np.dtype("int32")), is_wide(np.dtype("uint16")), is_wide(np.dtype("float32"))
    (True, False, False)
    """
    return np.promote_types(dtype, np.float32) != np.float32


def above(values: np.ndarray, least) -> np.ndarray:
    """By how much values are above the least of them, as float32: contrast stays where it is small beside the values.

    >>> above(np.array([2**60, 2**60 + 1]), 2**60).tolist()
    [0.0, 1.0]
    """
    if values.dtype.kind == "f":
        return (values - least).astype(np.float32)
    bits = np.uint64(int(least) % 2**64)  # differences modulo 2 ** 64 are right, also where values are below 0
    return (values.astype(np.uint64) - bits).astype(np.float32)


def as_labels(
    array: np.ndarray, path: str | Path, *, background: int | None = 0, unlabeled: int | None = None
) -> np.ndarray:
    """A label map of any integer type as int64 of the same shape: k > 0 objects, 0 background, -1 unlabelled.

    Objects keep their numbers, which may be of any size and need not be consecutive.

    Parameters
    ----------
    array
        (Y, X) or (Z, Y, X), integers, bools, or floats that are whole numbers.
    background, unlabeled
        the value that means annotated background, or not annotated; None if there is none.

    Raises
    ------
    ValueError
        names ``path``: colours instead of numbers, NaN, fractions, numbers from ``2**63`` on, JPEG (it changes
        values), or a value below 1 that is neither of the two.

    Example
    -------
    >>> as_labels(np.array([[0, 7, 255]], np.uint8), "cells.png", background=255, unlabeled=0)
    array([[-1,  7,  0]])
    """
    if background is not None and background == unlabeled:
        raise ValueError(f"background and unlabeled: both are {background}; a value means one of them")
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        raise ValueError(f"{path}: JPEG changes values, and so the objects; save label maps as PNG")
    if array.ndim in (3, 4) and array.shape[-1] in (2, 3, 4):
        raise ValueError(
            f"{path}: found shape {array.shape}, so colours; a label map needs one number per pixel. "
            "If each colour is an object, np.unique(a.reshape(-1, a.shape[-1]), axis=0, return_inverse=True)[1]"
            ".reshape(a.shape[:-1]) numbers them"
        )
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or not array.size:
        raise ValueError(
            f"{path}: found shape {array.shape} of type {array.dtype}; a label map has 2 or 3 axes of integers"
        )
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.trunc(array))).all():
        raise ValueError(f"{path}: label values are fractions, NaN or infinite; object numbers must be whole")
    # Compared as Python integers: NumPy would round a float or unsigned bound.
    if int(array.max()) >= 2**63 or int(array.min()) < -(2**63):
        raise ValueError(f"{path}: label values up to {int(array.max())}; the largest that fits is 2**63 - 1")
    given = array.astype(np.int64)
    is_background, is_unlabeled = (
        np.zeros(given.shape, bool) if value is None else given == value for value in (background, unlabeled)
    )
    stray = (given < 1) & ~(is_background | is_unlabeled)
    if stray.any():
        values = np.unique(given[stray])
        some = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
        raise ValueError(
            f"{path}: label values {some} are below 1, and neither background ({background}) nor "
            f"unlabeled ({unlabeled}); say which of the two they mean"
        )
    return np.where(is_background, 0, np.where(is_unlabeled, -1, given))


def _checked(path: str | Path | zipfile.Path) -> Path | zipfile.Path:
    """The path of an existing file of a known kind."""
    path = path if isinstance(path, zipfile.Path) else Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: ending {path.suffix!r} is not known; convert to one of {', '.join(SUFFIXES)}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not (path.is_file() or path.suffix.lower() == ".zarr"):
        raise ValueError(f"{path}: not a file; give one, not a folder, a pipe or a device")
    return path
