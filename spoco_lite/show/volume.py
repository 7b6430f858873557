"""A volume as it looks from outside: its objects, lit, on a turntable."""

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.segmentation import find_boundaries

from .plot import _array


def turntable(labels: Any, spacing: tuple[float, float, float], *, views: int = 24, size: int = 96, tilt: float = 20.0):
    """The objects of a volume, seen from all round: what light they send back, and which object is where.

    Each voxel of a surface is drawn as a small disc; of several at one place, the nearest hides the others. The light
    falls from beside the eye.

    Parameters
    ----------
    labels
        (Z, Y, X) int, 0 background, 1..K objects. z points up.
    spacing
        micrometres of a voxel along z, y, x: with the wrong ones balls look like lentils.
    views
        pictures of one turn.
    size
        pixels along both sides of a picture.
    tilt
        degrees by which one looks down on the volume.

    Returns
    -------
    light (views, size, size) in [0, 1], seen (views, size, size) int: the object at each pixel, 0 where there is none.
    ValueError if the volume holds no object.

    Example
    -------
    >>> labels = np.zeros((8, 8, 8), int); labels[2:6, 2:6, 2:6] = 3
    >>> light, seen = turntable(labels, (1.0, 1.0, 1.0), views=4, size=32)
    >>> light.shape, np.unique(seen).tolist(), bool(light[seen == 0].max() == 0)
    ((4, 32, 32), [0, 3], True)
    """
    labels = np.pad(_array(labels), 1)  # so that an object ends where the volume does
    if labels.ndim != 3 or not (labels > 0).any():
        raise ValueError(f"labels: expected (Z, Y, X) with at least one object, found shape {labels.shape}")
    normals = np.zeros((3, *labels.shape))
    for axis in range(3):
        for step in (-1, 1):
            normals[axis] -= step * (np.roll(labels, step, axis) != labels) / spacing[axis]  # out of the object
    on = (labels > 0) & find_boundaries(labels, connectivity=1, mode="inner")
    normals = np.stack([gaussian_filter(n * on, 1)[on] for n in normals], 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    ids, places = labels[on], np.argwhere(on) * np.array(spacing)
    places -= (places.max(0) + places.min(0)) / 2
    scale = size / (2.1 * np.linalg.norm(places, axis=1).max())
    disc = np.argwhere(np.hypot(*(np.indices((9, 9)) - 4.0)) <= 0.75 * max(spacing) * scale) - 4

    light, seen = np.zeros((views, size, size)), np.zeros((views, size, size), int)
    for view, turn in enumerate(np.linspace(0, 2 * np.pi, views, endpoint=False)):
        right = np.array([0, np.sin(turn), np.cos(turn)])
        away = np.array([0, np.cos(turn), -np.sin(turn)])
        lean = np.deg2rad(tilt)
        up = np.array([np.cos(lean), 0, 0]) + np.sin(lean) * away
        to_eye = np.array([np.sin(lean), 0, 0]) - np.cos(lean) * away
        lit = (normals @ (to_eye + 0.4 * up - 0.4 * right) / np.sqrt(1.32)).clip(0, 1)
        near = np.argsort(places @ to_eye)  # the farthest first: who comes later covers
        spots = np.stack([size / 2 - scale * (places @ up), size / 2 + scale * (places @ right)], 1)[near]
        y, x = (spots.round().astype(int)[:, None] + disc).clip(0, size - 1).transpose(2, 0, 1)
        light[view][y, x] = (0.25 + 0.75 * lit)[near, None]
        seen[view][y, x] = ids[near, None]
    return light, seen
