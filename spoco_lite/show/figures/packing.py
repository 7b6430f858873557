"""Arrays as text that travels inside a page: whole multiples of a step, differences, deflate, base64.

``unpack`` in ``core.js`` is the way back.
"""

import base64
import zlib
from typing import Any

import numpy as np


def pack(values: Any, *, error: float) -> dict:
    """Numbers, each within ``error`` of what the browser gets.

    Integers are kept exactly with an error below one half. ValueError for numbers that are not finite, or that are
    more than about 30,000 steps of ``2 * error`` away from their neighbours.

    >>> packed = pack([[0.0, 1.0], [0.5, -1.0]], error=0.05)
    >>> packed["shape"], packed["step"]
    ([2, 2], 0.1)
    >>> unpack(packed).round(2).tolist()
    [[0.0, 1.0], [0.5, -1.0]]
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"values: found shape {values.shape} with {values.size} numbers; give some, all finite")
    step = 2 * error
    rows = np.rint(values / step).astype(np.int64).reshape(-1, values.shape[-1])
    differences = np.diff(rows, axis=1, prepend=0)  # from the left neighbour
    differences[:, 0] = np.diff(rows[:, 0], prepend=0)  # at the left rim, from the one above
    zigzag = np.where(differences < 0, -2 * differences - 1, 2 * differences).ravel()
    if zigzag.max() > 0xFFFF:
        raise ValueError(f"error: {error} makes steps too small for the values; give a larger one")
    planes = np.stack([zigzag & 0xFF, zigzag >> 8]).astype(np.uint8)  # the second is nearly empty, and packs to nothing
    text = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()
    return {"shape": list(values.shape), "step": step, "data": text}


def unpack(packed: dict) -> np.ndarray:
    """What the browser makes of :func:`pack`; for tests, and for the still pictures."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).reshape(2, -1).astype(np.int64)
    zigzag = planes[0] + (planes[1] << 8)
    differences = np.where(zigzag % 2, -(zigzag + 1) // 2, zigzag // 2).reshape(-1, packed["shape"][-1])
    differences[:, 0] = differences[:, 0].cumsum()
    return (differences.cumsum(1) * packed["step"]).reshape(packed["shape"]).astype(np.float32)


def pack_embedding(embedding: Any, *, error: float) -> dict:
    """An embedding ``(E, *S)``, turned so that few components are left, each pixel within ``error`` of its place.

    Distances between pixels are all that a figure asks of it; they are off by less than twice the error, in practice
    hardly by more than once. Turning to the principal components changes no distance, and those that hardly vary can
    go. How many stay is what packs best.

    >>> line = np.outer(np.ones(16), np.random.default_rng(0).random(64)).reshape(16, 8, 8)  # 16 numbers say one thing
    >>> pack_embedding(line, error=0.05)["shape"]
    [1, 8, 8]
    """
    embedding = np.asarray(embedding, dtype=np.float64)
    points = embedding.reshape(len(embedding), -1)
    points = points - points.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(points @ points.T)
    turned = axes[:, ::-1].T @ points  # the component that varies most comes first
    candidates = []
    for count in range(1, len(turned) + 1):
        lost = np.sqrt((turned[count:] ** 2).sum(0).max(initial=0))
        if lost < 0.9 * error:
            each = float(np.sqrt((error**2 - lost**2) / count))  # a corner of the cell is as far as the error allows
            candidates.append(pack(turned[:count].reshape(count, *embedding.shape[1:]), error=each))
    return min(candidates, key=lambda packed: len(packed["data"]))
