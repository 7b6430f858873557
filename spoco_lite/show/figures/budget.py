"""Paint the budget: which objects of a set are labelled, what that costs, and what records made of as much."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from ...data.annotation import plan_annotation
from ...data.sample import Sample
from ...data.strokes import painted
from ..plot import show_labels
from .html import build, data_url
from .packing import pack

WAYS = {  # in words, and the marker of the still picture
    "objects": ("some in every image", "o"),
    "strokes": ("the same, with strokes", "^"),
    "images": ("whole images", "s"),
}
EACH = 2  # objects of each image, to begin with


def paint_the_budget(
    samples: Sequence[Sample],
    spent: Sequence[Any],
    *,
    seconds: tuple[float, float, float] = (5, 25, 10),
    columns: int = 9,
    caption: str = "",
) -> HTML:
    """A figure: choose how many objects of how many images are labelled, and see them, their cost, and the records.

    What is labelled is what :func:`spoco_lite.data.annotation.plan_annotation` labels with the seed 0. A score is
    interpolated between trainings that were recorded with labels of the same kind, over the logarithm of the number of
    outlines; never beyond them.

    Parameters
    ----------
    samples
        the set, small square images with dense labels; as many as the trainings of the bench saw.
    spent
        what records spent and scored (:class:`spoco_lite.results.budget.Spent`).
    seconds
        to open an image, to trace an object, and for the strokes of an image, to begin with.
    columns
        of the picture.

    Example
    -------
    >>> from spoco_lite.data.sets.rosettes import make_rosette
    >>> from spoco_lite.results.budget import Spent
    >>> plants = [make_rosette(seed, size=32) for seed in range(4)]
    >>> "spoco-figure" in paint_the_budget(plants, [Spent("a", "objects", 4, 9, (0.5,))], columns=2).data
    True
    """
    shapes = {sample.labels.shape for sample in samples}
    if len(shapes) != 1 or len(samples) % columns:
        raise ValueError(f"samples: expected full rows of {columns} images of one size, found {len(samples)}, {shapes}")
    elsewhere = [s.name for s in spent if not s.long and s.way != "images" and s.images != len(samples)]
    if elsewhere or not spent:
        found = elsewhere or "nothing"
        raise ValueError(f"spent: found {found}; give records of {len(samples)} images, as many as the samples")

    def mosaic(images: Sequence[np.ndarray]) -> np.ndarray:
        return np.block([list(images[k : k + columns]) for k in range(0, len(images), columns)])

    labels, plan = mosaic([s.labels for s in samples]), plan_annotation(samples, number=EACH)
    drawn = plan_annotation(samples, number=1, background="strokes").strokes
    strokes = (labels == 0) & mosaic([painted(drawn.get(s.name, ()), s.labels.shape) for s in samples])
    picture = np.stack([mosaic([s.image[c] for s in samples]) for c in range(3)], -1)
    still = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = still.subplots(1, 2, width_ratios=(1.15, 1))
    show_labels(left, mosaic([plan.apply(s).labels for s in samples]), picture)
    left.set_title(f"{EACH} of each image, labelled")
    for way, (words, marker) in WAYS.items():
        for long in (False, True):
            some = [s for s in spent if s.way == way and s.long == long]
            if some:
                minutes = [minutes_of(s.images, s.outlines, way == "strokes", seconds) for s in some]
                style = dict(color="#999999", label=f"{words}, long") if long else dict(color="#0072b2", label=words)
                right.plot(minutes, [np.mean(s.scores) for s in some], f"{marker}:" if long else f"{marker}-", **style)
    right.set(xscale="log", ylim=(0, 1), xlabel="minutes of drawing", ylabel="SBD", title="what was recorded")
    right.legend(frameon=False, fontsize=8)
    return build(
        "budget",
        {
            "labels": pack(labels, error=0.5),
            "strokes": pack(strokes, error=0.25),
            "image": data_url(picture, quality=75),
            "columns": columns,
            **_turns(samples),
            "each": EACH,
            "spent": [s._asdict() for s in sorted(spent, key=lambda s: s.outlines)],
            "seconds": seconds,
        },
        still=still,
        alt=f"Left, {len(samples)} small images with {EACH} labelled objects in each. Right, the SBD of recorded "
        "trainings over the minutes that their labels take.",
        caption=caption,
    )


def minutes_of(images: int, outlines: int, strokes: bool, seconds: tuple[float, float, float]) -> float:
    """What labels cost, in minutes.

    >>> minutes_of(6, 12, True, (10, 20, 5))
    5.5
    """
    open_image, trace, stroke = seconds
    return (images * (open_image + strokes * stroke) + outlines * trace) / 60


def _turns(samples: Sequence[Sample]) -> dict:
    """When each image is labelled, and when each of its objects: ``orders[image][id - 1]``, both from 0."""
    count, most = len(samples), max(int(s.labels.max()) for s in samples)
    orders = {s.name: [0] * int(s.labels.max()) for s in samples}
    for number in range(1, most):  # an object that is not among the first `number` comes later
        chosen = plan_annotation(samples, number=number).objects
        for name, order in orders.items():
            orders[name] = [turn + (k not in chosen[name]) for k, turn in enumerate(order, start=1)]
    turns = dict.fromkeys(orders, 0)
    for number in range(1, count):
        whole = plan_annotation(samples, "images", fraction=number / count).objects
        turns = {name: turn + (whole[name] is None) for name, turn in turns.items()}
    return {"turns": list(turns.values()), "orders": list(orders.values())}
