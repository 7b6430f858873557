"""The records of the bench: small trainings with several seeds each, in ``data/bench`` (``book/bench`` makes them).

An entry is one training: ``row`` and ``seed`` name it, ``settings`` are the fields of its configuration that differ
from the base's, ``objects`` of ``of`` were labelled, ``cpu_minutes`` is what it took, and ``scores`` holds SBD, AP50
and difference in count of each held-out image, ``{way: {image: [SBD, AP50, DiC]}}``, in two ways: the whole image,
and inside the given mask. ``why`` tells what went right and wrong, as means over the images.

``data/own_images`` holds others (``book/bench/own_images.py``): of the sparse path, ten objects labelled in each of
eight ``images`` of a kind, with and without the weights of a run to ``start`` from; ``steps`` 0 is that run as
it is, or Otsu's threshold with a watershed. Their scores are means over the images to test on.
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


def sparse_path(
    images: str, data: Path | None = None, *, patch: str | None = None, rounds: int = 0
) -> dict[tuple[str | None, int], Entries]:
    """The trainings on images of a kind, ``"cells"`` or ``"nuclei"``: (start, steps) -> entries by seed.

    With a patch, those that were trained otherwise than the module does; with rounds, those in which so often the worst
    images were mended and as many steps trained again.

    >>> list(sparse_path("cells"))[0], len(sparse_path("cells")[None, 0])
    ((None, 0), 3)
    """
    path = (data or shipped()) / "own_images" / "trainings.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    found: dict[tuple[str | None, int], Entries] = {}
    for entry in sorted(entries, key=lambda e: (e["start"] or "", e["steps"], e["seed"])):
        if (entry["images"], entry["patch"], entry["rounds"]) == (images, patch, rounds):
            found.setdefault((entry["start"], entry["steps"]), []).append(entry)
    return found


def sparse_table(images: str, data: Path | None = None) -> list[list[str]]:
    """A header and the rows of :func:`sparse_path` in words.

    Minutes are those of one core; scores are means, with the worst and the best seed in brackets.

    >>> sparse_table("cells")[0]
    ['', 'minutes', 'clicks', 'SBD', 'AP50']
    """
    rows = [["", "minutes", "clicks", "SBD", "AP50"]]
    for rounds in range(4):
        for (start, steps), entries in sparse_path(images, data, rounds=rounds).items():
            begun = f"`{start}`" if start else "nothing"
            words = f"{begun}, as it is" if start else "threshold and watershed"
            words = f"from {begun}, {steps} steps" if steps else words
            words += f"; {rounds} x four images mended, {steps} more" * (rounds > 0)
            words += f" ({len(entries)} seeds)" * (len(entries) < 3)
            minutes = f"{np.mean([e['cpu_minutes'] for e in entries]):.1f}" if steps else ""
            clicks = f"{np.mean([e['clicks'] for e in entries]):.0f}" if rounds else ""
            scores = ([e[name] for e in entries] for name in ("symmetric_best_dice", "ap50"))
            rows.append([words, minutes, clicks, *map(_with_range, scores)])
    return rows


def _with_range(scores: list[float]) -> str:
    """
    >>> _with_range([0.5, 0.75, 1.0]), _with_range([0.5, 0.5])
    ('0.75 (0.50–1.00)', '0.50')
    """
    mean, least, most = f"{np.mean(scores):.2f}", f"{min(scores):.2f}", f"{max(scores):.2f}"
    return mean if least == most else f"{mean} ({least}–{most})"


def best_of(images: str, start: str | None, data: Path | None = None) -> tuple[float, float]:
    """SBD, a mean over the seeds, of the best recorded training with this start, and its minutes of one core.

    >>> sbd, minutes = best_of("cells", None)
    >>> 0.5 < sbd < 1, minutes > 0
    (True, True)
    """
    trained = [entries for (begun, steps), entries in sparse_path(images, data).items() if begun == start and steps]
    means = [[float(np.mean([e[k] for e in of])) for k in ("symmetric_best_dice", "cpu_minutes")] for of in trained]
    return tuple(max(means))
