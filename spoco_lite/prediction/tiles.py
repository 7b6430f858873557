"""Images and volumes of any size, tile by tile: memory is that of one tile, and what is done survives a stop.

The image is cut into equal tiles. The part that is decoded of each is a little larger, so that neighbours overlap; and
what the network sees is larger still (:mod:`spoco_lite.prediction.window`). An object of one tile and one of its
neighbour are the same if they are mostly the same pixels where the two overlap (``tile_labels.py``).
"""

import hashlib
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..data.writing import same_settings, whole
from ..unet import MomentumPair, Window, within
from .image import SPECKS
from .stream import LazyImage, blocks, statistics
from .tile_labels import find_clusters, number_clusters, same_objects
from .window import embed_window

TILE, OVERLAP = {2: 1024, 3: 128}, {2: 64, 3: 16}
"""Side of a tile, and by how much neighbours overlap, in pixels, of images of 2 or 3 axes."""


def segment_tiles(
    pair: MomentumPair,
    image: ArrayLike | LazyImage,
    *,
    out: Any = None,
    folder: str | Path | None = None,
    foreground: ArrayLike | None = None,
    tile: int | tuple[int, ...] | None = None,
    overlap: int | None = None,
    min_size: int | None = None,
    specks: int = SPECKS,
    mapper: Callable[[Callable[[int], None], Iterable[int]], Iterable] = map,
    progress: bool = True,
    **options,
) -> Any:
    """Labels ``(*S)`` of an image ``(C, *S)`` of any size in tiles: 0 background, 1..K objects, the largest first.

    Parameters
    ----------
    pair
        f and g, as in :func:`spoco_lite.prediction.image.segment_image`.
    image
        floats in [0, 1], anything that has shape and dtype and is sliced like an array. For files, for integers, and
        for images without channel axis: :class:`spoco_lite.prediction.stream.LazyImage`.
    out
        where the labels go: anything of shape ``(*S)`` and an integer type that slices are assigned to, such as a zarr
        array or ``numpy.lib.format.open_memmap``. By default a new int64 array in memory.
    folder
        for the tiles' own files. The same call with the same folder goes on where the last one was stopped, at any
        moment. By default a temporary one.
    foreground
        ``(*S)``, sliced like the image: objects are where it is not 0.
    tile, overlap
        pixels along each axis, by default ``TILE`` and ``OVERLAP``. Tiles are made equal, so they may be smaller.
        Memory grows with the tile and the network's receptive radius around it. A network tells those objects apart
        that it saw together in training: in a tile much larger than its views were, two may share an embedding.
    min_size, specks
        as in ``segment_image``; tiles are seen as they are, so both count the same pixels.
    mapper
        calls a function for each number, as the builtin ``map`` does, one after the other. The ``map`` of an executor
        of ``concurrent.futures`` runs tiles in threads or processes. With Dask, whose tasks they are then:
        ``lambda tile, numbers: dask.compute(*map(dask.delayed(tile), numbers))``. Other processes and machines must
        reach ``folder``, and get the image with every tile: send ``LazyImage(path)`` or a zarr array, not its numbers.
    options
        of the decoder, as in ``segment_image``; ``background`` must be "largest" or "none".

    Returns
    -------
    ``out``

    Raises
    ------
    ValueError
        wrong shapes, types and options; NaN, with its place; a folder with tiles of other settings.

    Example
    -------
    >>> from spoco_lite.unet import EmbeddingUNet
    >>> pair = MomentumPair(EmbeddingUNet(1, 4, widths=(4, 8)))
    >>> segment_tiles(pair, np.zeros((1, 70, 50), np.float32), tile=32, overlap=8, progress=False).shape
    (70, 50)
    """
    options["min_size"] = specks if min_size is None else min_size
    tile, overlap = _checked(pair, image, out, foreground, tile, overlap, options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(folder or temporary)
        tiles = _Tiles(pair, image, foreground, folder, tile, overlap, statistics(image, pair.g.view), options)
        folder.mkdir(parents=True, exist_ok=True)
        same_settings(folder / "settings.json", tiles.settings(), "tiles")
        if len(tiles) > 1 and not tiles.exact:
            warnings.warn(
                "the network normalises by what it sees (GroupNorm), so embeddings depend on the tile; objects are "
                "joined all the same. Take tiles near the size of the training's views, or train with norm='batch'",
                stacklevel=2,
            )
        missing = [k for k in range(len(tiles)) if not tiles.file(k).is_file()]
        done = len(tiles) - len(missing)
        for _ in tqdm(mapper(tiles, missing), "tiles", len(tiles), initial=done, disable=not progress):
            pass
        numbers = tiles.join()
        most = max(int(n.max()) for n in numbers)
        out = np.zeros(image.shape[1:], np.int64) if out is None else out
        if most > np.iinfo(out.dtype).max:
            raise ValueError(f"out: {most} objects do not fit into {out.dtype}; give a larger integer type")
        for k in range(len(tiles)):
            own = tiles.own(k)
            out[own] = numbers[k][tiles.load(k, "labels", own)].astype(out.dtype)
    return out


def _checked(pair, image, out, foreground, tile, overlap, options) -> tuple[tuple[int, ...], int]:
    """Tile and overlap as numbers, after a look at all arguments."""
    ndim = pair.f.ndim
    if len(image.shape) != ndim + 1 or 0 in image.shape or np.dtype(image.dtype).kind != "f":
        raise ValueError(
            f"image: found shape {tuple(image.shape)} of {image.dtype}; give floats (C, *S) with {ndim} axes S, not "
            f"empty. LazyImage(image, ndim={ndim}) makes them of integers, and of an image without channel axis"
        )
    if image.shape[0] != pair.f.in_channels:
        raise ValueError(f"image: found {image.shape[0]} channels, the network has learned {pair.f.in_channels}")
    tile = TILE[ndim] if tile is None else tile
    tile = (tile,) * ndim if isinstance(tile, int) else tuple(tile)
    overlap = OVERLAP[ndim] if overlap is None else overlap
    if len(tile) != ndim or min(tile) < 1 or overlap < 2:
        raise ValueError(f"tile, overlap: found {tile}, {overlap}; give pixels for {ndim} axes, an overlap above 1")
    if str(options.get("background", "largest")) not in ("largest", "none"):
        raise ValueError("background: of tiles it is 'largest' or 'none'; for a mask, give foreground")
    for name, array in (("out", out), ("foreground", foreground)):
        if array is not None and tuple(array.shape) != tuple(image.shape[1:]):
            raise ValueError(f"{name}: found shape {tuple(array.shape)}, the image has {tuple(image.shape[1:])}")
    if out is not None and np.dtype(out.dtype).kind not in "iu":
        raise ValueError(f"out: found {out.dtype}; labels need an integer type")
    return tile, overlap


@dataclass(frozen=True)
class _Tiles:
    """All tiles of an image; called with a number, it segments that tile into a file. What it holds is pickled."""

    pair: MomentumPair
    image: Any
    foreground: Any
    folder: Path
    tile: tuple[int, ...]
    overlap: int
    statistics: tuple[NDArray, NDArray]
    options: dict

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.image.shape[1:])

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(-(-s // t) for s, t in zip(self.shape, self.tile))

    def __len__(self) -> int:
        return math.prod(self.grid)

    @property
    def exact(self) -> bool:
        """Whether embeddings are those of the whole image."""
        return not any(isinstance(m, nn.GroupNorm) for m in self.pair.modules())

    def own(self, k: int) -> Window:
        """The part of the image whose labels this tile gives."""
        places = map(int, np.unravel_index(k, self.grid))
        return tuple(slice(i * s // n, (i + 1) * s // n) for i, s, n in zip(places, self.shape, self.grid))

    def seen(self, k: int) -> Window:
        """The part that is decoded: it reaches half an overlap into the neighbours."""
        half = self.overlap // 2
        return tuple(slice(max(0, o.start - half), min(s, o.stop + half)) for o, s in zip(self.own(k), self.shape))

    def file(self, k: int) -> Path:
        return self.folder / f"{k:06}.npz"

    def __call__(self, k: int) -> None:
        own, seen = self.own(k), self.seen(k)
        inside = None if self.foreground is None else torch.from_numpy(np.asarray(self.foreground[seen]) != 0)
        found = find_clusters(partial(self._look, seen), foreground=inside, **self.options)
        labels = found.labels.cpu().numpy().astype(np.uint32)
        size = np.bincount(labels[within(own, seen)].ravel(), minlength=len(found.kept) + 1)[1:]
        with whole(self.file(k), mark=os.getpid()) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, labels=labels, size=size, kept=found.kept.cpu(), mean=found.mean.cpu())

    def _look(self, window: Window, net: str) -> tuple[Tensor, Tensor | None]:
        return embed_window(getattr(self.pair, net), self.image, window, statistics=self.statistics)

    def load(self, k: int, name: str, window: Window | None = None) -> NDArray:
        with np.load(self.file(k)) as file:
            return file[name] if window is None else file[name][within(window, self.seen(k))]

    def join(self) -> list[NDArray[np.int64]]:
        """For each tile, the final number (1 + K,) of its labels 0..K."""
        fields = {n: [self.load(k, n) for k in range(len(self))] for n in ("size", "kept", "mean")}
        first = np.cumsum([0, *map(len, fields["size"])])  # the number of each tile's first cluster among all
        pairs, min_size = [np.zeros((2, 0), np.int64)], self.options["min_size"]
        for a in range(len(self)):
            for axis in range(len(self.grid)):
                place = np.array(np.unravel_index(a, self.grid))
                place[axis] += 1
                if place[axis] == self.grid[axis]:
                    continue
                b = int(np.ravel_multi_index(place, self.grid))
                both = zip(self.seen(a), self.seen(b))
                shared = tuple(slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in both)
                labels = (self.load(k, "labels", shared) for k in (a, b))
                same = same_objects(*labels, min_size=min_size)
                pairs.append(same - 1 + [[first[a]], [first[b]]])
        if not self.exact:
            fields["mean"] = None
        numbers = number_clusters(
            np.concatenate(pairs, axis=1),
            **{name: values and np.concatenate(values) for name, values in fields.items()},
            background=self.foreground is None
            and not self.pair.g.foreground
            and self.options.get("background") != "none",
            min_size=min_size,
        )
        return [np.concatenate([[0], numbers[i:j]]) for i, j in zip(first, first[1:])]

    def settings(self) -> dict:
        """What must be the same if tiles of an earlier call are to be used."""
        weights, masked = hashlib.sha256(), self.foreground is not None
        for name, value in self.pair.state_dict().items():
            weights.update(name.encode() + value.cpu().numpy().tobytes())
        return {
            "image": [list(self.shape), *(s.tolist() for s in self.statistics)],
            "foreground": masked and sum(int((self.foreground[b] != 0).sum()) for b in blocks(self.shape)),
            "weights": weights.hexdigest(),
            "tile": list(self.tile),
            "overlap": self.overlap,
            "decoder": {key: _described(value) for key, value in sorted(self.options.items())},
        }


def _described(option: Any) -> Any:
    """An option of the decoder as JSON can hold it."""
    if isinstance(option, partial):
        return [_described(option.func), {k: _described(v) for k, v in sorted(option.keywords.items())}]
    return f"{option.__module__}.{option.__qualname__}" if callable(option) else option
