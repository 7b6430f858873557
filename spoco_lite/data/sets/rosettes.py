"""Synthetic rosette plants, photographed from above: a stand-in for CVPPP A1 that needs no download.

A plant is drawn from its seed alone, in coordinates that run from -1 to 1 across the picture: one seed gives
the same plant at every ``size``. Leaves follow each other by the golden angle; younger ones are smaller and
lie on top. A leaf is an implicit shape, a half width given along a bent midrib. From it come the mask, the
antialiased edge, the veins, the shading, and the soft shadow on whatever lies below. All leaves of a plant
have nearly one colour, and the moss on the soil is green too: colour alone finds neither leaves nor plant.
What ships in ``data/rosettes``, 64 plants at 160 x 160 pixels, was written by :func:`write`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from spoco_lite.data.files import read_array
from spoco_lite.data.paths import shipped
from spoco_lite.data.sample import Sample, Samples
from spoco_lite.data.sets.scenery import ground, noise, photograph

SPLITS = {"train": range(0, 40), "val": range(40, 52), "test": range(52, 64)}
"""The seeds of each split; no seed is in two of them."""

SHIPPED_SIZE = 160  # pixels

_GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
_STATIONS = 512  # points along a midrib at which the half width is tabulated


class _Leaf(NamedTuple):
    """Geometry of one leaf; lengths in picture units (the picture is 2 wide)."""

    centre: np.ndarray  # (2,) y, x of the point from which the plant grows
    angle: float
    length: float  # from centre to tip, petiole included
    bend: float  # sideways drift of the midrib, as a fraction of the length
    petiole: float  # fraction of the length that is stalk
    half_width: np.ndarray  # (2, _STATIONS) for the sides u <= 0 and u > 0
    youth: float  # 0 the oldest leaf, 1 the youngest


def make_rosette(seed: int, *, size: int = 128) -> Sample:
    """Draw the plant number ``seed``.

    Parameters
    ----------
    seed
        Any integer >= 0; one seed, one plant.
    size
        Height and width in pixels, at least 32. Only the sensor's noise is another at another size.

    Returns
    -------
    Sample
        image float32 (3, size, size) in [0, 1]; labels int64 (size, size), 0 background, 1..K (K <= 16) the
        visible parts of the leaves, the oldest first. A visible part is one 4-connected piece of at least
        ``max(8, size**2 / 1400)`` pixels; a leaf without such a piece is not drawn. ``foreground`` is
        ``labels > 0``.

    Raises
    ------
    ValueError
        If ``seed`` is negative or no integer, or ``size`` is below 32 or no integer.

    Examples
    --------
    >>> sample = make_rosette(3, size=64)
    >>> sample.image.shape, sample.labels.dtype.name, sample.name
    ((3, 64, 64), 'int64', 'rosette003')
    """
    for name, value, smallest in (("seed", seed, 0), ("size", size, 32)):
        if not isinstance(value, (int, np.integer)) or value < smallest:
            raise ValueError(f"{name} must be an integer >= {smallest}, got {value!r}")
    rng = np.random.default_rng(seed)
    axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    y, x = axis[:, None], axis[None, :]
    light = rng.uniform(0, 2 * np.pi)
    light = np.array([np.sin(light), np.cos(light)], np.float32)  # towards the lamp, y and x

    centre = rng.uniform(-0.1, 0.1, 2)
    leaves = _grow(rng, centre)
    image = ground(rng, y, x, centre + rng.uniform(-0.06, 0.06, 2), light)
    alphas, labels = _visible_parts(leaves, y, x)
    blotches = noise(rng, size, 32)
    tint = np.array([0.36, 0.62, 0.19]) + rng.normal(0, 0.03, 3)
    for leaf, alpha in zip(leaves, alphas, strict=True):
        leaf_tint = tint * rng.normal(1, 0.06) + rng.normal(0, 0.018, 3)
        leaf_tint += leaf.youth**2 * np.array([0.07, 0.05, 0.06])  # young leaves are paler
        folds = rng.normal([0.13, 0.08, 0.08], 0.06)
        if alpha is None:
            continue
        rows, columns = window = _window(leaf, y, x)
        near = y[rows], x[:, columns]
        below = image[:, rows, columns] * (1 - 0.55 * _shadow(leaf, *near, light))
        colour = _paint(leaf, *near, light, leaf_tint, folds, blotches[window])
        image[:, rows, columns] = below + alpha * (colour - below)
    return Sample(photograph(rng, image, y, x), labels, f"rosette{seed:03d}", labels > 0)


def read(split: str) -> Samples:
    """The plants of one split, from ``data/rosettes``: ``"train"`` (40), ``"val"`` (12) or ``"test"`` (12).

    >>> read("val").names[:2]
    ['rosette040', 'rosette041']
    """
    folder = shipped() / "rosettes"

    def one(name: str) -> Sample:
        image, labels = (read_array(folder / kind / f"{name}.png") for kind in ("images", "labels"))
        labels = labels.astype(np.int64)
        image = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255
        return Sample(image, labels, name, labels > 0)

    return Samples([f"rosette{seed:03d}" for seed in SPLITS[split]], one)


def write(folder: Path | None = None) -> None:
    """Write ``images/<name>.png`` and ``labels/<name>.png``, by default to ``data/rosettes``."""
    for seed in (seed for seeds in SPLITS.values() for seed in seeds):
        sample = make_rosette(seed, size=SHIPPED_SIZE)
        arrays = {"images": np.rint(sample.image.transpose(1, 2, 0) * 255), "labels": sample.labels}
        for kind, array in arrays.items():
            path = (folder or shipped() / "rosettes") / kind / f"{sample.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(path, optimize=True)


def _grow(rng: np.random.Generator, centre: np.ndarray) -> list[_Leaf]:
    """The leaves of one plant, the oldest first."""
    count = rng.integers(8, 17)
    reach = rng.uniform(0.82, 1.08)
    slender, toothed = rng.uniform(0.18, 0.25), rng.uniform(0.0, 0.15)
    start, turn = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    along = np.linspace(0, 1, _STATIONS)
    leaves = []
    for i in range(count):
        youth = i / (count - 1)
        # The first two leaves stay small, the next are the longest, the last have just begun to grow.
        length = reach * (1.02 - 0.78 * youth**0.9) * (0.62 if i < 2 else 1) * rng.uniform(0.86, 1.1)
        petiole = np.clip(0.40 - 0.24 * youth + rng.normal(0, 0.05), 0.12, 0.55)
        width = length * slender * (1 + 0.12 * youth) * rng.uniform(0.9, 1.12)
        stalk = 0.012 + 0.012 * length
        s = np.clip((along - petiole) / (1 - petiole), 0, 1)  # position on the blade
        blade = s ** rng.uniform(0.9, 1.3) * (1 - s) ** rng.uniform(0.5, 0.62)
        blade *= width / blade.max()
        sides = []
        for _ in range(2):
            teeth = np.abs(np.sin(np.pi * (s * rng.uniform(3.5, 5.5) + rng.uniform()))) - 0.64
            wave = np.sin(2 * np.pi * (s * rng.uniform(1, 2) + rng.uniform()))
            side = blade * (1 + toothed * teeth + 0.04 * wave)
            sides.append(np.where(along < 0.7, np.maximum(side, stalk), side))
        origin = centre + rng.normal(0, 0.012, 2)
        angle = start + turn * i * _GOLDEN_ANGLE + rng.normal(0, 0.12)
        bend = rng.normal(0, 0.09)
        leaves.append(_Leaf(origin, angle, length, bend, petiole, np.array(sides, np.float32), youth))
    return leaves


def _frame(leaf: _Leaf, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along (0 at the centre, 1 at the tip) and across (picture units) the bent midrib."""
    dy, dx = y - np.float32(leaf.centre[0]), x - np.float32(leaf.centre[1])
    sin, cos = np.float32(np.sin(leaf.angle)), np.float32(np.cos(leaf.angle))
    t = (cos * dx + sin * dy) / np.float32(leaf.length)
    return t, cos * dy - sin * dx - np.float32(leaf.bend * leaf.length) * t * t


def _window(leaf: _Leaf, y: np.ndarray, x: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold the leaf and its shadow: nothing else needs to be computed for it."""
    t = np.linspace(0, 1, 9)
    forward = np.array([np.sin(leaf.angle), np.cos(leaf.angle)])
    sideways = np.array([np.cos(leaf.angle), -np.sin(leaf.angle)])
    midrib = leaf.centre + leaf.length * (t[:, None] * forward + leaf.bend * t[:, None] ** 2 * sideways)
    margin = leaf.half_width.max() + 0.12
    low, high = midrib.min(0) - margin, midrib.max(0) + margin
    return tuple(slice(*np.searchsorted(axis.ravel(), [low[i], high[i]])) for i, axis in enumerate((y, x)))


def _depth(leaf: _Leaf, t: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Roughly the distance to the outline: positive inside the leaf, negative outside; picture units."""
    slope = np.gradient(leaf.half_width, leaf.length / _STATIONS, axis=1)
    station = np.clip(t * _STATIONS, 0, _STATIONS - 1).astype(np.int32)
    side = (u > 0).astype(np.int32)
    inside = (leaf.half_width[side, station] - np.abs(u)) / np.hypot(1, slope)[side, station]
    return np.minimum(inside, np.minimum(t + 0.01, 1 - t) * np.float32(leaf.length))


def _visible_parts(leaves: list[_Leaf], y: np.ndarray, x: np.ndarray) -> tuple[list[np.ndarray | None], np.ndarray]:
    """How much of each pixel of its window a leaf covers (None for a dropped leaf); the labels (size, size).

    Goes from the top leaf down. A leaf keeps its largest visible piece. The scrap of stalk that would show
    again on the far side of another leaf is not drawn, so that a label is one piece.
    """
    size = y.shape[0]
    owner = np.full((size, size), -1)
    alphas: list[np.ndarray | None] = [None] * len(leaves)
    for i in reversed(range(len(leaves))):
        rows, columns = window = _window(leaves[i], y, x)
        depth = _depth(leaves[i], *_frame(leaves[i], y[rows], x[:, columns]))
        alpha = np.clip(0.5 + depth * (size / 2), 0, 1)
        pieces, _ = ndimage.label((alpha > 0.5) & (owner[window] < 0))
        areas = np.bincount(pieces.ravel())[1:]
        if areas.size and areas.max() >= max(8, size**2 / 1400):
            kept = pieces == areas.argmax() + 1
            if areas.size > 1:
                scraps = ndimage.binary_dilation((pieces > 0) & ~kept) & ~ndimage.binary_dilation(kept)
                alpha[scraps] = 0
            owner[window][kept] = i
            alphas[i] = alpha
    shown = [i for i, alpha in enumerate(alphas) if alpha is not None]
    rank = np.zeros(len(leaves) + 1, np.int64)  # the last entry serves owner == -1
    rank[shown] = np.arange(1, len(shown) + 1)
    return alphas, rank[owner]


def _shadow(leaf: _Leaf, y: np.ndarray, x: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Soft shadow, 0 to 1, thrown away from the lamp; long leaves stand higher above the soil."""
    drop = np.float32(0.02 + 0.03 * leaf.length)
    depth = _depth(leaf, *_frame(leaf, y + drop * light[0], x + drop * light[1]))
    return np.clip(0.5 + depth / 0.09, 0, 1) ** 2


def _paint(
    leaf: _Leaf,
    y: np.ndarray,
    x: np.ndarray,
    light: np.ndarray,
    tint: np.ndarray,
    folds: np.ndarray,
    blotches: np.ndarray,
) -> np.ndarray:
    """Colour (3, rows, columns) of a leaf: tilted halves, bulges between the veins, pale midrib and stalk."""
    t, u = _frame(leaf, y, x)
    across = np.clip(u / leaf.half_width.max(), -1, 1)
    s = np.clip((t - leaf.petiole) / (1 - leaf.petiole), 0, 1)  # position on the blade
    on_blade = np.clip(s * 6, 0, 1)
    off_midrib = np.clip(np.abs(across) * 5, 0, 1)
    veins = np.cos(2 * np.pi * 5.5 * (s - 0.42 * np.abs(across))) * on_blade * off_midrib

    fold, dome, arch = folds
    sin, cos = np.sin(leaf.angle), np.cos(leaf.angle)
    facing = (fold * np.tanh(4 * across) + dome * across) * (light[0] * cos - light[1] * sin)
    facing = facing + (arch * (2 * s - 0.8) + 0.05 * veins) * (light[0] * sin + light[1] * cos)
    rim = np.clip(_depth(leaf, t, u) / 0.02, 0, 1)
    heart = np.clip(1 - t * leaf.length / 0.25, 0, 1)  # little light reaches the middle of the plant
    shade = (1 + facing + 0.045 * blotches * on_blade) * (0.86 + 0.14 * rim) * (1 - 0.14 * heart)

    pixel = float(y[1, 0] - y[0, 0])
    rib = np.exp(-((u / max(0.011 * (0.4 + leaf.length), 0.6 * pixel)) ** 2)) * (1 - 0.75 * s)
    side_ribs = np.clip(veins - 0.8, 0, 1) * 5 * (1 - np.abs(across))
    pale = np.clip(0.5 * rib + 0.14 * side_ribs + 0.18 * (1 - on_blade), 0, 1)
    green, white_green = tint[:, None, None], np.array([0.60, 0.72, 0.42])[:, None, None]
    return (shade * (green + pale * (white_green - green))).astype(np.float32)
