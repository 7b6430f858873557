"""Sparse annotation as an experiment: which objects of which image are annotated, and what that costs.

Each image has one order in which its objects are annotated; it follows from the seed and the image's name alone.
A plan only decides how many objects of each image are annotated. So plans of one seed are nested: what 10%
annotates is among what 20% annotates. The order of the images has no influence.
"""

import dataclasses
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .sample import Sample
from .strokes import Stroke, check_strokes, draw_strokes, painted
from .writing import whole

HOW = ("per image", "set", "images")
BACKGROUND = ("none", "all", "strokes")


class Cost(NamedTuple):
    """What a plan annotates, beside what there is. ``_asdict()`` for a record."""

    images: int
    annotated_images: int  # with at least one annotated pixel
    objects: int
    annotated_objects: int
    pixels: int  # or voxels
    annotated_pixels: int  # of objects and background


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is annotated in each image of a set; made by :func:`plan_annotation`, or read from its file.

    Parameters
    ----------
    how, fraction, number, seed, background
        as they were given to :func:`plan_annotation`.
    objects
        of every image of the set, the ids that are annotated; None if the image is not annotated at all.
    strokes
        of an image, its strokes on the background, polylines in fractions of the image's size.

    Raises
    ------
    ValueError
        a field holds what :func:`plan_annotation` never gives.
    """

    how: str
    fraction: float | None
    number: int | None
    seed: int
    background: str
    objects: dict[str, tuple[int, ...] | None]
    strokes: dict[str, tuple[Stroke, ...]]

    def __post_init__(self):
        _check_options(self.how, self.fraction, self.number, self.seed, self.background)
        for name, ids in self.objects.items():
            whole = type(ids) is tuple and all(type(k) is int and k > 0 for k in ids)
            if ids is not None and (not whole or len(set(ids)) < len(ids)):
                raise ValueError(f"objects: {name} has {ids}; give different whole numbers above 0, or none")
        for name, strokes in self.strokes.items():
            if self.objects.get(name) is None:
                raise ValueError(f"strokes: {name} has some, but is not an annotated image of the plan")
            check_strokes(strokes, name)

    @property
    def annotated_objects(self) -> int:
        """The number of annotated objects, the budget to give to a plan that shall cost as much."""
        return sum(len(ids or ()) for ids in self.objects.values())

    def apply(self, sample: Sample) -> Sample:
        """The sample with the labels that the plan annotates; all else becomes -1, unlabelled.

        Strokes are scaled to the size of the sample, and mark background (0) only where the sample has it.
        ValueError: the image is not the plan's, lacks an object that the plan annotates, or has other axes.
        """
        name, labels = sample.name, sample.labels
        if name not in self.objects:
            raise ValueError(f"{name}: not an image of this plan; make a plan for the set that holds it")
        ids = self.objects[name]
        if ids is None:
            return sample._replace(labels=np.full_like(labels, -1))
        ids = np.array(ids, np.int64)
        missing = ids[~np.isin(ids, labels)]
        if len(missing):
            raise ValueError(
                f"{name}: the plan annotates object {missing[0]}, which the label map {labels.shape} lacks; "
                "apply a plan to the label maps, and at the size, from which it was made"
            )
        keep = np.isin(labels, ids)
        if self.background == "all":
            keep |= labels == 0
        elif self.background == "strokes":
            keep |= (labels == 0) & painted(self.strokes.get(name, ()), labels.shape)
        return sample._replace(labels=np.where(keep, labels, -1))

    def cost(self, samples: Iterable[Sample]) -> Cost:
        """Count what the plan annotates in these samples; each is read once. Errors as :meth:`apply`."""
        total = np.zeros(len(Cost._fields), np.int64)
        for sample in samples:
            labels = self.apply(sample).labels
            annotated = int((labels >= 0).sum())
            objects = [len(np.unique(which[which > 0])) for which in (sample.labels, labels)]
            total += (1, annotated > 0, *objects, labels.size, annotated)
        return Cost(*total.tolist())

    def write(self, path: str | Path) -> None:
        """Write the plan as JSON, one image on each line."""
        parts = []
        for key, value in vars(self).items():
            text = json.dumps(value)
            if isinstance(value, dict):
                lines = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
                text = "{\n " + ",\n ".join(lines) + "\n}"
            parts.append(f"{json.dumps(key)}: {text}")
        with whole(path) as temporary:
            temporary.write_text("{\n" + ",\n".join(parts) + "\n}\n")

    @classmethod
    def read(cls, path: str | Path) -> "Plan":
        """Read what :meth:`write` wrote. FileNotFoundError or ValueError, naming the file, if that fails."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; give one that Plan.write wrote")
        try:
            content = json.loads(path.read_text())
            fields = [field.name for field in dataclasses.fields(cls)]
            if not isinstance(content, dict) or set(content) != set(fields):
                raise ValueError(f"expected an object of {', '.join(fields)}")
            for key in ("objects", "strokes"):
                content[key] = {name: _tuples(entry) for name, entry in content[key].items()}
            return cls(**content)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not an annotation plan ({error}); write it anew") from error


def plan_annotation(
    samples: Sequence[Sample],
    how: str = "per image",
    *,
    fraction: float | None = None,
    number: int | None = None,
    seed: int = 0,
    background: str = "none",
    strokes: int = 3,
) -> Plan:
    """Decide what is annotated in a set of densely annotated samples. Each is read once.

    Parameters
    ----------
    samples
        with different names. What is -1 in them cannot be annotated.
    how, fraction, number
        give either a ``fraction``, 0 < fraction <= 1, or a ``number`` of objects:

        * ``"per image"``: ``round(fraction * n)`` of the n objects of each image, at least one; or ``number`` of
          them, all where an image has fewer;
        * ``"set"``: ``round(fraction * n)`` of the n objects of the set, at least one; or ``number`` of them. An
          image may be left with none;
        * ``"images"``: whole images, ``round(fraction * n)`` of n, at least one; or so many that the number of
          their objects is nearest to ``number`` (the fewer, if two are as near). The rest is not annotated at all.
    seed
        non-negative.
    background
        of the annotated images: ``"none"``, as in the paper's sparse setting, ``"all"`` or ``"strokes"``.
    strokes
        how many short strokes are drawn on the background of an image, away from objects; in a volume each in
        one z slice. Fewer where there is no room. The first of many are those of few.

    Raises
    ------
    ValueError
        an option is wrong, a name occurs twice, or there is nothing to annotate.

    Example
    -------
    >>> image, labels = np.zeros((3, 1, 5), np.float32), np.array([[0, 4, 4, 7, 9]])
    >>> samples = [Sample(image, labels, "a"), Sample(image, labels, "b")]
    >>> plan = plan_annotation(samples, fraction=0.34)
    >>> plan.objects, plan.apply(samples[0]).labels.tolist()
    ({'a': (7,), 'b': (4,)}, [[-1, -1, -1, 7, -1]])
    >>> plan_annotation(samples, "images", number=3, background="all").cost(samples)
    Cost(images=2, annotated_images=1, objects=6, annotated_objects=3, pixels=10, annotated_pixels=5)
    """
    _check_options(how, fraction, number, seed, background)
    _check_whole("strokes", strokes, 1)
    orders: dict[str, list[int]] = {}
    turns: dict[str, list[float]] = {}  # when in the set it is the image's turn, then its objects', in order
    drawn: dict[str, tuple[Stroke, ...]] = {}
    for sample in samples:
        name, labels = sample.name, sample.labels
        if name in orders:
            raise ValueError(f"{name}: the name of two images; give each its own")
        ids = np.unique(labels[labels > 0])
        if how == "per image" and len(ids) == 0:
            raise ValueError(f"{name}: the image has no object to annotate; leave it out, or take how='set'")
        key = [seed, zlib.crc32(name.encode())]
        orders[name] = ids[np.random.default_rng(key).permutation(len(ids))].tolist()
        rng = np.random.default_rng([*key, 1])
        turns[name] = [rng.random(), *sorted(rng.random(len(ids)))]
        if background == "strokes":
            drawn[name] = draw_strokes(labels, strokes, np.random.default_rng([*key, 2]))
    counts = _counts(how, fraction, number, turns)
    objects: dict[str, tuple[int, ...] | None] = dict.fromkeys(sorted(orders))
    objects |= {name: tuple(sorted(orders[name][:count])) for name, count in counts.items()}
    if not any(objects.values()):
        raise ValueError("samples: there is no object to annotate; give images with objects, or more of them")
    shown = {name: drawn[name] for name in objects if name in counts and drawn.get(name)}
    if background == "strokes" and not shown:
        raise ValueError("background: no image has room for a stroke; give some with much background (0)")
    options = {"how": how, "fraction": fraction, "number": number, "seed": seed, "background": background}
    return Plan(**options, objects=objects, strokes=shown)


def _check_options(how, fraction, number, seed, background) -> None:
    for option, value, known in (("how", how, HOW), ("background", background, BACKGROUND)):
        if value not in known:
            raise ValueError(f"{option}: found {value!r}; give one of {known}")
    if (fraction is None) == (number is None):
        raise ValueError(f"fraction, number: found {fraction} and {number}; give one of the two")
    if fraction is not None and not (isinstance(fraction, int | float) and 0 < fraction <= 1):
        raise ValueError(f"fraction: found {fraction}; give a number above 0 and up to 1 (all)")
    if number is not None:
        _check_whole("number", number, 1)
    _check_whole("seed", seed, 0)


def _check_whole(option: str, value, smallest: int) -> None:
    if type(value) is not int or value < smallest:
        raise ValueError(f"{option}: found {value!r}; give a whole number of at least {smallest}")


def _tuples(entry):
    """Lists within lists, as JSON has them, as tuples within tuples."""
    return tuple(map(_tuples, entry)) if isinstance(entry, list) else entry


def _counts(how: str, fraction: float | None, number: int | None, turns: dict) -> dict[str, int]:
    """How many objects of each image are annotated; an image that is not annotated at all is not listed."""
    sizes = {name: len(times) - 1 for name, times in turns.items()}
    if how == "per image":
        return {name: min(number or max(1, round(fraction * n)), n) for name, n in sizes.items()}
    total = sum(sizes.values())
    if number and number > total:
        raise ValueError(f"number: found {number}; the set has {total} objects")
    if how == "set":
        first = sorted((time, name) for name, times in turns.items() for time in times[1:])
        chosen = Counter(name for _, name in first[: number or max(1, round(fraction * total))])
        return {name: chosen[name] for name in sizes}
    order = sorted(sizes, key=lambda name: (turns[name][0], name))
    if number:
        reached = np.cumsum([sizes[name] for name in order])
        images = int(np.abs(reached - number).argmin()) + 1
    else:
        images = max(1, round(fraction * len(order)))
    return {name: sizes[name] for name in order[:images]}
