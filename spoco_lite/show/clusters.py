"""Points of an embedding and what a clustering makes of them, side by side: in the plane, and in the picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse
from torch import Tensor

from ..clustering import mean_shift, segment
from ..metrics import symmetric_best_dice
from .plot import label_colours, match_colours, show_labels


def show_points(ax: Axes, embedding: Any, labels: Any) -> Axes:
    """Draw the pixels of an embedding ``(E, *S)`` in the plane of its first two components, coloured by ``labels``.

    The first component runs down and the second to the right. Where a network adds places (``unit``), these two are
    places, y and x, so that the plane lies as the picture does. Pixels of no object (``labels`` is 0) are grey, below
    the rest.

    >>> from matplotlib.figure import Figure
    >>> ax = show_points(Figure().subplots(), np.zeros((16, 2, 2)), np.array([[0, 1], [2, 2]]))
    >>> [len(dots.get_offsets()) for dots in ax.collections]
    [1, 3]
    """
    down, right = np.asarray(embedding)[:2].reshape(2, -1)
    labels = np.asarray(labels).reshape(1, -1)
    rest, objects = labels[0] == 0, labels[0] != 0
    ax.scatter(right[rest], down[rest], s=3, color="#bbbbbb", linewidth=0)
    ax.scatter(right[objects], down[objects], s=9, c=label_colours(labels)[0, objects], linewidth=0)
    ax.set(aspect="equal", xlabel="second component", ylabel="first component")
    ax.yaxis.set_inverted(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def show_tree(ax: Axes, clusterer: Any, colours: Sequence) -> Axes:
    """Draw the condensed tree of an ``hdbscan.HDBSCAN`` that was fitted, its clusters circled in their colours.

    >>> import hdbscan
    >>> from matplotlib.figure import Figure
    >>> points = np.random.default_rng(0).normal(np.repeat([0, 9], 20)[:, None], 1, (40, 2))
    >>> ax = show_tree(Figure().subplots(), hdbscan.HDBSCAN(min_cluster_size=9).fit(points), ["red", "blue"])
    >>> sum(isinstance(patch, Ellipse) for patch in ax.patches)
    2
    """
    clusterer.condensed_tree_.plot(select_clusters=True, selection_palette=colours, colorbar=False, axis=ax)
    for oval in ax.patches:
        if isinstance(oval, Ellipse):  # to a flat one hdbscan 0.8 gives an array of one height, which no axes draw
            oval.set_height(np.asarray(oval.height).item())
    return ax


def show_bandwidth(
    axes: Sequence[Axes], embedding: Tensor, foreground: Tensor, truth: Any, *, bandwidth: float = 1.0
) -> Sequence[Axes]:
    """Cluster the foreground by mean-shift and draw what comes out, on two axes: as points, and as a label map.

    Parameters
    ----------
    axes
        two axes.
    embedding, foreground
        (E, Y, X) floating point, and (Y, X) bool.
    truth
        (Y, X), the true objects: they lend their colours, and the title says how well they were found (SBD).
    bandwidth
        of :func:`spoco_lite.clusterers.mean_shift`; a circle shows its length.

    Example
    -------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> truth = torch.eye(8, dtype=torch.int64).repeat_interleave(4, 0).repeat_interleave(4, 1)
    >>> axes = show_bandwidth(Figure().subplots(1, 2), 4.0 * torch.stack([truth, truth]), truth > 0, truth)
    >>> axes[1].get_title()
    '1 found, SBD 1.00'
    """
    found = segment(embedding, cluster=partial(mean_shift, bandwidth=bandwidth), foreground=foreground).numpy()
    matched = match_colours(truth, found)
    inside = np.asarray(foreground)
    points, picture = axes
    show_points(points, embedding[:, foreground], matched[inside]).set_title(f"bandwidth {bandwidth:g}")
    low, high = points.get_xlim()[0], points.get_ylim()[0]  # the corner at the lower left
    points.add_patch(Circle((low + bandwidth, high - bandwidth), bandwidth, fill=False, color="black"))
    show_labels(picture, matched)
    picture.set_title(f"{found.max()} found, SBD {symmetric_best_dice(np.asarray(truth), found):.2f}", fontsize=10)
    return axes
