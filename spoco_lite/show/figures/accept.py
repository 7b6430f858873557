"""Accept or reject: the candidates of consistency clustering, one by one."""

from typing import Any

import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure

from ..plot import _array, _picture, match_colours, show_labels
from .html import build, data_url
from .packing import pack, pack_embedding

ERROR = 0.08  # of delta_var, for each pixel of g


def accept_or_reject(
    candidates: Any,
    emb_g: Any,
    image: Any,
    truth: Any,
    *,
    delta_var: float = 0.5,
    threshold: float = 0.6,
    drawn: int = 20,
    seed: int = 0,
    caption: str = "",
) -> HTML:
    """A figure: step through the candidates of f, compare each with its copies in g, and move the threshold.

    Parameters
    ----------
    candidates
        (Y, X) int: 0 none, 1..K clusters of f (:func:`spoco_lite.clustering.segment`).
    emb_g
        (E, Y, X), what g makes of the same image.
    image, truth
        (C, Y', X') in [0, 1], and (Y, X) int, the true objects, for the score and the colours.
    delta_var, drawn, seed
        as in :func:`spoco_lite.clustering.consistency_clustering`, which draws the same pixels.
    threshold
        to begin with.

    Example
    -------
    >>> truth = np.arange(64).reshape(8, 8) // 32 + 1
    >>> "spoco-figure" in accept_or_reject(truth, 4.0 * truth[None], np.zeros((3, 8, 8)), truth).data
    True
    """
    candidates, emb_g, truth = (_array(values) for values in (candidates, emb_g, truth))
    if emb_g.ndim != 3 or candidates.shape != emb_g.shape[1:] or truth.shape != candidates.shape:
        raise ValueError(
            f"expected candidates and truth (Y, X), emb_g (E, Y, X), "
            f"found {candidates.shape}, {truth.shape}, {emb_g.shape}"
        )
    if candidates.max() < 1:
        raise ValueError("candidates: found none; give a label map with objects")
    generator = torch.Generator().manual_seed(seed)
    pixels = []
    for k in range(1, candidates.max() + 1):
        members = np.flatnonzero(candidates == k)
        pixels.append(members[torch.randint(len(members), (drawn,), generator=generator).numpy()].tolist())
    matched = match_colours(truth, candidates)
    colours = [int(matched.flat[chosen[0]]) for chosen in pixels]
    still = Figure(figsize=(8, 3), layout="constrained")
    axes = still.subplots(1, 3)
    axes[0].imshow(_picture(image))
    axes[0].set(xticks=[], yticks=[], title="image")
    show_labels(axes[1], matched).set_title("candidates of f")
    show_labels(axes[2], truth).set_title("true objects")
    return build(
        "accept",
        {
            "g": pack_embedding(emb_g, error=ERROR * delta_var),
            "candidates": pack(candidates, error=0.5),
            "truth": pack(truth, error=0.5),
            "image": data_url(_picture(image)),
            "drawn": pixels,
            "colours": colours,
            "candidate": 1 + int(np.argmax([k in truth for k in colours])),  # the largest that shows an object
            "deltaVar": delta_var,
            "threshold": threshold,
        },
        still=still,
        alt="An image, the candidates of f as a label map, and the true objects.",
        caption=caption,
    )
