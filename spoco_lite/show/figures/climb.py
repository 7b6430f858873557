"""Climb: mean-shift on two components of an embedding, seed by seed."""

from typing import Any

import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure

from ..clusters import show_bandwidth
from ..plot import _array, _picture
from .html import build, data_url
from .packing import pack


def climb(
    embedding: Any,
    image: Any,
    truth: Any,
    foreground: Any,
    *,
    bandwidth: float = 1.0,
    seeds: int = 60,
    caption: str = "",
) -> HTML:
    """A figure: seeds climb to the modes of the foreground's pixels, in the plane of the first two components.

    Parameters
    ----------
    embedding
        (E, Y, X); its first two components are used, those that hold places where a network adds them (``unit``).
    image
        (C, Y', X') in [0, 1].
    truth, foreground
        (Y, X), true objects for the colours, and bool: which pixels are clustered.
    bandwidth
        of :func:`spoco_lite.clusterers.mean_shift`, to begin with.
    seeds
        how many pixels climb.

    Example
    -------
    >>> truth = np.eye(4, dtype=int).repeat(8, 0).repeat(8, 1)
    >>> emb = 4.0 * np.stack([truth, truth]) + np.random.default_rng(0).normal(0, 0.1, (2, 32, 32))
    >>> "spoco-figure" in climb(emb, np.zeros((3, 32, 32)), truth, truth > 0).data
    True
    """
    embedding, truth, foreground = (_array(values) for values in (embedding, truth, foreground))
    if (
        embedding.ndim != 3
        or len(embedding) < 2
        or truth.shape != embedding.shape[1:]
        or foreground.shape != truth.shape
    ):
        raise ValueError(
            f"expected embedding (E, Y, X) with E of 2 or more, truth and foreground (Y, X), found {embedding.shape}, "
            f"{truth.shape}, {foreground.shape}"
        )
    pixels = np.flatnonzero(foreground)
    if len(pixels) < seeds:
        raise ValueError(f"foreground: found {len(pixels)} pixels for {seeds} seeds")
    plane = embedding[:2]
    still = Figure(figsize=(8, 3.4), layout="constrained")
    show_bandwidth(
        still.subplots(1, 2),
        torch.as_tensor(plane, dtype=torch.float32),
        torch.as_tensor(foreground),
        truth,
        bandwidth=bandwidth,
    )
    return build(
        "climb",
        {
            "points": pack(plane.reshape(2, -1)[:, pixels], error=0.01),
            "pixels": pack(pixels, error=0.5),
            "truth": pack(truth, error=0.5),
            "objects": len(np.unique(truth[truth > 0])),
            "image": data_url(_picture(image)),
            "seeds": np.sort(np.random.default_rng(0).permutation(len(pixels))[:seeds]).tolist(),
            "bandwidth": bandwidth,
        },
        still=still,
        alt="Left, the pixels of the foreground as points in the plane, coloured by cluster, and a circle as wide as "
        "the bandwidth. Right, the label map that results.",
        caption=caption,
    )
