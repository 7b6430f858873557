"""Push it around: the toy of chapter 2, with the six terms as forces."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from ...objective import SpocoLoss
from ..plane import show_plane
from ..plot import _array
from .html import build

WEIGHTS = {name: weight for name, weight in SpocoLoss().weights.items() if name != "foreground"}


def push_it_around(
    emb_f: Any,
    emb_g: Any,
    labels: Any,
    truth: Any,
    *,
    delta_var: float = 0.5,
    delta_dist: float = 2.0,
    threshold: float = 0.5,
    weights: Mapping[str, float] = WEIGHTS,
    caption: str = "",
) -> HTML:
    """A figure: the pixels of a small picture as points in the plane, moved by the terms of the loss, or by hand.

    Parameters
    ----------
    emb_f, emb_g
        (2, Y, X), where f and g put the pixels.
    labels, truth
        (Y, X) int: what is annotated, -1 elsewhere, and what is there.
    delta_var, delta_dist, threshold
        as in the terms (:mod:`spoco_lite.losses`).
    weights
        of each term, to begin with.

    Example
    -------
    >>> emb, truth = np.random.default_rng(0).normal(size=(2, 4, 6)), np.arange(24).reshape(4, 6) // 8
    >>> "spoco-figure" in push_it_around(emb, emb, np.where(truth == 2, -1, truth), truth).data
    True
    """
    emb_f, emb_g, labels, truth = (_array(values) for values in (emb_f, emb_g, labels, truth))
    if emb_f.shape != (2, *truth.shape) or emb_g.shape != emb_f.shape or labels.shape != truth.shape:
        raise ValueError(
            f"expected emb_f and emb_g (2, Y, X), labels and truth (Y, X), found {emb_f.shape}, {emb_g.shape}, "
            f"{labels.shape}, {truth.shape}"
        )
    hidden = np.flatnonzero((labels < 0) & (truth > 0))  # a pixel of an object that nobody drew is the most telling
    still = Figure(figsize=(6, 4), layout="constrained")
    show_plane(still.subplots(), emb_f, labels, truth, delta_var=delta_var, delta_dist=delta_dist)
    return build(
        "push",
        {
            "rows": truth.shape[0],
            "columns": truth.shape[1],
            "f": _points(emb_f),
            "g": _points(emb_g),
            "labels": labels.ravel().tolist(),
            "truth": truth.ravel().tolist(),
            "chosen": int(hidden[len(hidden) // 2]) if len(hidden) else 0,
            "deltaVar": delta_var,
            "deltaDist": delta_dist,
            "threshold": threshold,
            "weights": dict(weights),
            "rate": 5,
            "momentum": 0.99,
        },
        still=still,
        alt="Points in the plane. Dots in the colours of their annotated objects, with a solid and a dashed circle "
        "around each mean; rings for an object that nobody annotated; small grey dots for the background.",
        caption=caption,
    )


def _points(embedding: np.ndarray) -> list[float]:
    """x and y of each pixel in turn, to a ten-thousandth."""
    return embedding.reshape(2, -1).T.ravel().round(4).tolist()
