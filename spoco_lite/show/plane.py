"""A two-dimensional embedding space, with the lengths of the loss drawn to scale."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from .plot import PALETTE


def show_plane(ax: Axes, embedding: Any, labels: Any, truth: Any, *, delta_var: float, delta_dist: float) -> Axes:
    """Draw the pixels of an embedding (2, Y, X) as points of the plane.

    ``truth`` (Y, X) holds all objects, ``labels`` (Y, X) what is annotated of them, -1 elsewhere. Annotated pixels are
    dots in the colour of their object, unlabelled background is small and grey, unlabelled objects are rings. Around
    the mean of each annotated object, a cross, lie a solid circle of radius ``delta_var`` and a dashed one of
    ``delta_dist``.

    >>> labels = np.array([[1, -1, -1]])
    >>> ax = show_plane(Figure().subplots(), np.zeros((2, 1, 3)), labels, np.array([[1, 0, 2]]),
    ...                 delta_var=0.5, delta_dist=2)
    >>> [circle.radius for circle in ax.patches]
    [0.5, 2.0]
    """
    embedding, labels, truth = (np.asarray(values) for values in (embedding, labels, truth))
    ax.scatter(*embedding[:, truth == 0], c="#aaaaaa", s=6)
    annotated = np.unique(labels[labels > 0])
    for k in np.setdiff1d(truth[truth > 0], annotated):
        ax.scatter(*embedding[:, truth == k], fc="none", ec=PALETTE[(k - 1) % len(PALETTE)], s=16)
    for k in annotated:
        ax.scatter(*embedding[:, truth == k], color=PALETTE[(k - 1) % len(PALETTE)], s=12)
        mean = embedding[:, labels == k].mean(1).tolist()
        ax.plot(*mean, "k+", ms=10, mew=2)
        ax.add_patch(Circle(mean, delta_var, fill=False, color="k"))
        ax.add_patch(Circle(mean, delta_dist, fill=False, color="k", ls="--", lw=0.8))
    ax.set(xlim=(-4, 4), ylim=(-2.7, 3.3), aspect="equal", xticks=[], yticks=[])
    return ax


def show_move(
    before: Any, after: Any, labels: Any, truth: Any, *, title: str, delta_var: float, delta_dist: float
) -> Figure:
    """A new figure of two planes: ``before`` with an arrow to where each pixel goes, and ``after``, with a title.

    >>> here, labels = np.zeros((2, 1, 2)), np.array([[1, -1]])
    >>> figure = show_move(here, here + 1, labels, np.array([[1, 0]]), title="moved", delta_var=0.5, delta_dist=2)
    >>> plt.close(figure)
    """
    before, after = np.asarray(before), np.asarray(after)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), layout="constrained")
    show_plane(left, before, labels, truth, delta_var=delta_var, delta_dist=delta_dist)
    left.set_title("before, and where each pixel will go")
    moved = np.linalg.norm(after - before, axis=0) > 1e-9
    arrows = dict(angles="xy", scale_units="xy", scale=1, width=0.003, alpha=0.35)
    left.quiver(*before[:, moved], *(after - before)[:, moved], **arrows)
    show_plane(right, after, labels, truth, delta_var=delta_var, delta_dist=delta_dist).set_title(title)
    return figure
