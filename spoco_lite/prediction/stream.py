"""Images larger than memory: files that are read where they are sliced, and numbers that need every pixel of them.

What :func:`spoco_lite.data.files.as_image` and :func:`spoco_lite.augment.standardize` do with a whole image is done
here block by block, with the same result: percentiles are exact, mean and deviation agree to rounding.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..augment import cells_along
from ..data.files import above, is_wide, open_array, read_array

BLOCK = {2: 2048, 3: 128}
"""Side in pixels of the blocks in which an image of 2 or 3 axes is read through."""


class LazyImage:
    """A file or array as an image ``(C, *S)``, float32 in [0, 1], that is read and scaled where it is sliced.

    The values are those of :func:`spoco_lite.data.files.as_image`, so that a slice is the same as that slice of the
    whole image: uint8 is divided by 255; of other types each channel is scaled by its own 0.1 and 99.9 percentiles,
    for which the whole image is read through twice, block by block, when it is opened (three times if its numbers are
    too wide for float32).

    Opened from a path, it can be sent to another process, which opens the file for itself. PNG, JPEG and compressed
    TIFF cannot be read in part: these are held in memory, in the type of the file.

    Parameters
    ----------
    source
        a path, or an array, memory map, HDF5 data set or zarr array.
    ndim
        2 or 3, the image's axes; one more in the file is that of 1 to 4 channels, the last or else the first.
    key
        name of the data set inside an HDF5 or zarr file that holds several.
    stretch
        scale uint8 by percentiles too.

    Raises
    ------
    ValueError, FileNotFoundError
        as ``read_array`` and ``as_image``; of NaN or infinity the message says where the first one is.

    Example
    -------
    >>> image = LazyImage(np.array([[0, 51, 255]], np.uint8), ndim=2)
    >>> image.shape, image[:, :, 1:].round(2)
    ((1, 1, 3), array([[[0.2, 1. ]]], dtype=float32))
    """

    dtype = np.dtype(np.float32)

    def __init__(self, source: str | Path | ArrayLike, *, ndim: int, key: str | None = None, stretch: bool = False):
        self.source, self.key, self.ndim = source, key, ndim
        self.name = str(source) if isinstance(source, str | Path) else "image"
        self._array: Any = None
        shape, dtype = self._open().shape, self._open().dtype
        if dtype.kind not in "buif":
            raise ValueError(f"{self.name}: found values of type {dtype}; an image needs integers or floats")
        if len(shape) == ndim:
            self._channels, shape = None, (1, *shape)
        elif len(shape) == ndim + 1 and 1 <= shape[-1] <= 4:
            opaque = {2: 1, 4: 3}.get(shape[-1], shape[-1])  # the second of 2 and the fourth of 4 are alpha
            self._channels, shape = "last", (opaque, *shape[:-1])
        elif len(shape) == ndim + 1 and 1 <= shape[0] <= 4:
            self._channels = "first"
        else:
            raise ValueError(
                f"{self.name}: found shape {shape}; an image of {ndim} axes has that many, "
                "or one more, the first or the last, with 1 to 4 channels"
            )
        self.shape = tuple(shape)
        if 0 in self.shape:
            raise ValueError(f"{self.name}: found shape {self.shape}; the image is empty")
        self._low, self._range, self._least = 0.0, 1.0, None
        if dtype == np.uint8 and not stretch:
            self._range = 255.0
        elif dtype.kind != "b":
            self._least = _least(self) if is_wide(dtype) else None
            ends = [_ends(self, channel) for channel in range(self.shape[0])]
            low, high = np.array(ends, np.float32).T.reshape(2, -1, *[1] * ndim)
            self._low, self._range = low, np.maximum(high - low, np.finfo(np.float32).tiny)

    def __getitem__(self, index) -> NDArray[np.float32]:
        """``image[:, y, x]`` or ``image[:, z, y, x]`` with slices, or ``image[...]`` for all of it."""
        space = (slice(None),) * (len(self.shape) - 1) if index is Ellipsis else index[1:]
        values = (self._raw(space) - self._low) / self._range
        return values.clip(0, 1)

    def _raw(self, space: tuple[slice, ...]) -> NDArray[np.float32]:
        """The file's numbers in a part of space, ``(C, *s)``, float32."""
        part = self._stored(space)
        if self._least is None:
            return np.array(part, dtype=np.float32, order="C")
        return np.stack([above(channel, least) for channel, least in zip(part, self._least)])

    def _stored(self, space: tuple[slice, ...]) -> NDArray:
        """The same in the type of the file."""
        if self._channels == "last":
            return np.moveaxis(np.asarray(self._open()[(*space, slice(self.shape[0]))]), -1, 0)
        if self._channels == "first":
            return np.asarray(self._open()[(slice(None), *space)])
        return np.asarray(self._open()[space])[None]

    def _open(self):
        if self._array is None:
            if not isinstance(self.source, str | Path):
                self._array = self.source
            elif Path(self.source).suffix.lower() in (".png", ".jpg", ".jpeg"):
                self._array = read_array(self.source, ndim=self.ndim)
            else:
                self._array = open_array(self.source, key=self.key, ndim=self.ndim)
        return self._array

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_array": None}


def blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Parts of a space ``(*S)`` that together are all of it, each small enough for memory.

    >>> [str(s) for (_, s) in blocks((5, 3000))]
    ['slice(0, 2048, None)', 'slice(2048, 3000, None)']
    """
    side = BLOCK[len(shape)]
    return itertools.product(*([slice(a, min(a + side, s)) for a in range(0, s, side)] for s in shape))


def statistics(
    image: ArrayLike | LazyImage, view: list[int] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each channel, ``(C,)`` and ``(C,)``, of an image ``(C, *S)`` that is read block by block.

    With a ``view`` those by which :func:`spoco_lite.augment.standardize` brings an image to what a network saw in
    windows of that size.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
    COMPSTAT 1982. Raises ValueError for NaN and infinity, with the place of the first.

    >>> mean, deviation = statistics(np.array([[[0.0, 2.0]], [[3.0, 3.0]]]))
    >>> mean.tolist(), deviation.tolist()
    ([1.0, 3.0], [1.0, 0.0])
    """
    if view is not None:
        return _of_windows(image, view)
    axes = tuple(range(1, len(image.shape)))
    count, mean, squares = 0, np.zeros(image.shape[0]), np.zeros(image.shape[0])
    for space in blocks(image.shape[1:]):
        block = np.asarray(image[(slice(None), *space)], dtype=np.float64)
        _check_finite(block, space, "image")
        n, block_mean = block[0].size, block.mean(axes)
        squares += ((block - block_mean.reshape(-1, *[1] * len(axes))) ** 2).sum(axes)
        squares += (block_mean - mean) ** 2 * count * n / (count + n)
        mean += (block_mean - mean) * n / (count + n)
        count += n
    return mean, np.sqrt(squares / count)


def _of_windows(image: ArrayLike | LazyImage, view: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What :func:`spoco_lite.augment.standardize` gives, from an image that is read in blocks of whole cells."""
    shape = image.shape[1:]
    ends = []  # of the cells along each axis, as torch's adaptive pooling cuts them
    for n, k in zip(shape, view):
        cells = np.arange(cells_along(n, k))
        ends.append((cells * n // len(cells), -(-(cells + 1) * n // len(cells))))
    moments = np.empty((2 * image.shape[0], *(len(starts) for starts, _ in ends)))
    together = [max(1, len(starts) * BLOCK[len(shape)] // n) for n, (starts, _) in zip(shape, ends)]
    groups = ([range(a, min(a + m, len(s))) for a in range(0, len(s), m)] for m, (s, _) in zip(together, ends))
    for group in itertools.product(*groups):
        space = tuple(slice(int(s[g[0]]), int(e[g[-1]])) for g, (s, e) in zip(group, ends))
        block = np.asarray(image[(slice(None), *space)], dtype=np.float64)
        _check_finite(block, space, "image")
        for cell in itertools.product(*group):
            inner = (slice(s[c] - w.start, e[c] - w.start) for c, w, (s, e) in zip(cell, space, ends))
            pixels = block[(slice(None), *inner)].reshape(len(block), -1)
            moments[(slice(None), *cell)] = np.concatenate([pixels.mean(1), np.square(pixels).mean(1)])
    for axis in range(1, moments.ndim):  # a window is two cells long
        n = moments.shape[axis]
        moments = (moments.take(range(n - 1), axis) + moments.take(range(1, n), axis)) / 2
    mean, squares = moments.reshape(2, image.shape[0], -1)
    variance = np.maximum(squares - mean**2, 1e-12)
    weight = variance / variance.sum(1, keepdims=True)
    return (mean * weight).sum(1), (np.sqrt(variance) * weight).sum(1)


def _least(image: LazyImage) -> list:
    """The least value of each channel, in the type of the file."""
    least = None
    for space in blocks(image.shape[1:]):
        part = image._stored(space)
        _check_finite(part, space, image.name)
        lower = part.reshape(len(part), -1).min(1)
        least = lower if least is None else np.minimum(least, lower)
    return list(least)


def _ends(image: LazyImage, channel: int) -> tuple[float, float]:
    """The 0.1 and 99.9 percentiles of a channel, exact: all values are counted by the upper half of their bits,
    then those that share their upper half with a wanted one by the lower half."""
    places = list(blocks(image.shape[1:]))
    last = int(np.prod(image.shape[1:])) - 1
    exact = np.multiply(last, (0.001, 0.999))  # ranks, which may fall between two values
    ranks = np.array([0, last, *np.floor(exact), *np.ceil(exact)], dtype=np.int64)

    counts = np.zeros(1 << 16, np.int64)
    for space in places:
        part = image._raw(space)[channel]
        _check_finite(part[None], space, image.name)
        counts += np.bincount(_ordered(part) >> 16, minlength=len(counts))
    upper, rest = _find(counts, ranks)
    counts = {half: np.zeros(1 << 16, np.int64) for half in upper.tolist()}
    for space in places:
        keys = _ordered(image._raw(space)[channel])
        for half, count in counts.items():
            count += np.bincount(keys[keys >> 16 == half] & 0xFFFF, minlength=len(count))
    lower = [_find(counts[half], rank)[0] for half, rank in zip(upper.tolist(), rest)]
    least, most, low, high, low_next, high_next = _values(upper << 16 | np.array(lower))
    low += (low_next - low) * (exact[0] % 1)
    high += (high_next - high) * (exact[1] % 1)
    return (low, high) if low != high else (least, most)


def _find(counts: NDArray, ranks: NDArray) -> tuple[NDArray, NDArray]:
    """In which bins the values of these ranks are, and their ranks within the bins."""
    ends = counts.cumsum()
    bins = np.searchsorted(ends, ranks, side="right")
    return bins, ranks - (ends - counts)[bins]


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers (P,) in the order of the floats: their bits, with those of negative numbers turned round."""
    bits = values.ravel().view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | 0x80000000)


def _values(keys: NDArray) -> NDArray[np.float64]:
    """The floats of which :func:`_ordered` made integers."""
    keys = keys.astype(np.uint32)
    return np.where(keys >> 31, keys ^ 0x80000000, ~keys).astype(np.uint32).view(np.float32).astype(np.float64)


def _check_finite(block: NDArray, space: tuple[slice, ...], name: str) -> None:
    if not np.isfinite(block).all():
        first = np.argwhere(~np.isfinite(block))[0, 1:]
        place = tuple(int(at + part.start) for at, part in zip(first, space))
        axes = "(y, x)" if len(place) == 2 else "(z, y, x)"
        raise ValueError(f"{name}: holds NaN or infinity, the first at {axes} = {place}; replace such values")
