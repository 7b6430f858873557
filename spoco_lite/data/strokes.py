"""Strokes of a brush on the background: drawn away from objects, kept as polylines, painted at any size."""

from itertools import pairwise

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt
from skimage.draw import line
from skimage.morphology import disk

Stroke = tuple[tuple[float, ...], ...]
"""Points (y, x) or (z, y, x) of a polyline, as fractions of the image's size; z is the same for all."""
POINTS = 9  # of each stroke
TRIES = 8  # directions that are looked at for each stroke; the one with most room is taken


def draw_strokes(labels: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Stroke, ...]:
    """Up to ``count`` short smooth strokes on the background (0) of a dense label map ``(*S)``.

    A stroke is a sixth of the image long, less where there is no room. Its middle line keeps three brush radii away
    from objects, unlabelled pixels and the rim; no stroke where nothing is that far away. In a volume each stroke lies
    in one z slice.

    >>> labels = np.zeros((60, 60), int)
    >>> labels[:, :40] = 1
    >>> (stroke,) = draw_strokes(labels, 1, np.random.default_rng(0))
    >>> len(stroke), min(x for y, x in stroke) > 40 / 60
    (9, True)
    """
    slices = labels.reshape(-1, *labels.shape[-2:])
    strokes, rooms = [], {}
    for _ in range(count):
        for z in rng.permutation(len(slices)):
            if z not in rooms:
                distance = distance_transform_edt(np.pad(slices[z] == 0, 1))[1:-1, 1:-1]
                rooms[z] = distance > 3 * _radius(labels.shape)
            places = np.argwhere(rooms[z])
            if len(places):
                path = max((_arc(rooms[z], rng.choice(places), rng) for _ in range(TRIES)), key=len)
                path = path[np.linspace(0, len(path) - 1, POINTS).round().astype(int)]
                where = [(path + 0.5) / slices[z].shape]
                if labels.ndim == 3:
                    where.insert(0, np.full((POINTS, 1), (z + 0.5) / len(slices)))
                strokes.append(tuple(map(tuple, np.hstack(where).round(5).tolist())))
                break
        else:
            break  # no slice has room, so the next stroke has none either
    return tuple(strokes)


def painted(strokes: tuple[Stroke, ...], shape: tuple[int, ...]) -> np.ndarray:
    """The pixels under the strokes: a bool mask of the given shape. The brush is 1% of the image wide, or 3 pixels.

    >>> painted((((0.5, 0.3), (0.5, 0.7)),), (5, 7)).astype(int)
    array([[0, 0, 0, 0, 0, 0, 0],
           [0, 0, 1, 1, 1, 0, 0],
           [0, 1, 1, 1, 1, 1, 0],
           [0, 0, 1, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0, 0]])
    """
    mask = np.zeros(shape, bool)
    for stroke in strokes:
        points = np.array(stroke)
        if points.shape[1] != len(shape):
            raise ValueError(f"strokes: have {points.shape[1]} axes, the label map has {len(shape)}")
        pixels = np.minimum(points * shape, np.array(shape) - 1).astype(int)
        flat = mask if len(shape) == 2 else mask[pixels[0, 0]]
        drawn = np.zeros(flat.shape, bool)
        for start, end in pairwise(pixels[:, -2:]):
            drawn[line(*start, *end)] = True
        flat |= binary_dilation(drawn, disk(_radius(shape)))
    return mask


def check_strokes(strokes: tuple[Stroke, ...], name: str) -> None:
    """ValueError if these are no strokes within an image; ``name`` is that of the image."""
    for stroke in strokes:
        points = np.array(stroke, float)
        if points.ndim != 2 or len(points) < 2 or points.shape[1] not in (2, 3):
            raise ValueError(f"strokes: one of {name} is no list of at least two points of 2 or 3 numbers")
        if not ((points >= 0) & (points <= 1)).all() or (points[:, :-2] != points[0, :-2]).any():
            raise ValueError(f"strokes: one of {name} leaves the image (0 to 1), or its slice")


def _radius(shape: tuple[int, ...]) -> int:
    return max(1, round(min(shape[-2:]) / 200))


def _arc(room: np.ndarray, middle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A path (n, 2) in steps of one pixel, bent a little, both ways from ``middle`` as far as there is room."""
    half = max(1, min(room.shape) // 12)
    along = np.arange(-half, half + 1)
    angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.7) * along / half
    path = np.stack([np.sin(angle), np.cos(angle)], 1).cumsum(0)
    path += middle - path[half]
    index = path.round().astype(int)
    inside = ((index >= 0) & (index < room.shape)).all(1)
    blocked = along[~(inside & room[tuple(index.clip(0, np.array(room.shape) - 1).T)])]
    first, last = blocked[blocked < 0].max(initial=-half - 1), blocked[blocked > 0].min(initial=half + 1)
    return path[(along > first) & (along < last)]
