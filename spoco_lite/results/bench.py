"""The records of the bench: small trainings with several seeds each, in ``data/bench`` (``book/bench`` makes them).

An entry is one training: ``row`` and ``seed`` name it, ``settings`` are the fields of its configuration that differ
from the base's, ``objects`` of ``of`` were labelled, ``cpu_minutes`` is what it took, and ``scores`` holds SBD, AP50
and difference in count of each held-out image, ``{way: {image: [SBD, AP50, DiC]}}``, in two ways: the whole image,
and inside the given mask. ``why`` tells what went right and wrong, as means over the images.
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats

from ..data.paths import shipped

WHOLE, INSIDE = "whole image", "inside the mask"  # the ways of an entry
SCORES = ("SBD", "AP50", "DiC")

Entries = list[dict]


def read_bench(data: Path | None = None) -> dict[str, Entries]:
    """The entries of each row that is recorded, by seed.

    >>> entries = read_bench()["leaves-10-ours"]
    >>> [entry["seed"] for entry in entries][:3]
    [0, 1, 2]
    """
    found: dict[str, Entries] = {}
    for path in sorted((data or shipped()).glob("bench/*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            found.setdefault(entry["row"], []).append(entry)
    return {row: sorted(entries, key=lambda e: e["seed"]) for row, entries in found.items()}


def by_seed(entries: Entries, *, way: str = WHOLE, score: str = "SBD") -> np.ndarray:
    """The mean over the images, for each seed: (seeds,).

    >>> by_seed([{"seed": 0, "scores": {INSIDE: {"a": [0.5, 0, 0], "b": [1.0, 0, 0]}}}], way=INSIDE)
    array([0.75])
    """
    place = SCORES.index(score)
    return np.array([np.mean([image[place] for image in e["scores"][way].values()]) for e in entries])


def less(entries: Entries, base: Entries, *, way: str = WHOLE, score: str = "SBD") -> np.ndarray:
    """How much better than the base, for each seed that both have: (seeds,).

    Two trainings with one seed share the labelled objects and the images that score.

    >>> image = lambda seed, sbd: {"seed": seed, "scores": {WHOLE: {"a": [sbd, 0, 0]}}}
    >>> less([image(0, 0.5), image(1, 0.75)], [image(1, 0.5)])
    array([0.25])
    """
    seeds = [e["seed"] for e in entries]
    both = sorted(set(seeds) & {e["seed"] for e in base})
    ours, theirs = (by_seed([e for e in of if e["seed"] in both], way=way, score=score) for of in (entries, base))
    return ours - theirs


def interval(values: np.ndarray, confidence: float = 0.95) -> float:
    """Half the width of the confidence interval of a mean: Student's, of normal values; infinite for a single one.

    >>> round(interval(np.array([1.0, 2.0, 3.0])), 2)
    2.48
    """
    if len(values) < 2:
        return float("inf")
    error = np.std(values, ddof=1) / len(values) ** 0.5
    return float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error)


def verdict(differences: np.ndarray) -> str:
    """What the seeds say of a difference, in words.

    >>> verdict(np.array([0.1, 0.12, 0.11])), verdict(np.array([-0.1, 0.12, 0.11]))
    ('better', 'not told apart: less than 0.31 would not show')
    """
    if len(differences) < 3:
        return "too few seeds to tell"
    half = interval(differences)
    if abs(differences.mean()) > half:
        return "better" if differences.mean() > 0 else "worse"
    return f"not told apart: less than {half:.2f} would not show"
