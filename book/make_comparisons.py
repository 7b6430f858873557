"""Write what the recorded runs say beside each other into a page: python book/make_comparisons.py FILE..."""

import math
import statistics
import sys
from pathlib import Path

from make_results import (
    BACKGROUNDS,
    RUNS,
    background,
    by_data_set,
    fill_markers,
    number,
    read_records,
    table,
    tuned,
)

from spoco_lite.prediction.decoders import WHOLE_IMAGE, WITH_MASK

NONE = "There are no such runs yet."


def paired(ours: dict[str, float], theirs: dict[str, float]) -> tuple[float, float]:
    """Mean over the images of our score less theirs, and its standard error.

    >>> [round(number, 6) for number in paired({"x": 0.5, "y": 0.9}, {"x": 0.4, "y": 0.6})]
    [0.2, 0.1]
    """
    each = [ours[name] - theirs[name] for name in theirs]
    error = statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    return statistics.mean(each), error


def budget(records: list[dict]) -> str:
    """Runs with one share of the labels, each beside the one with the fewest labels on its background."""
    rows = []
    for group in by_data_set(records).values():
        for share in dict.fromkeys(r["config"]["fraction"] for r in group):
            first, *others = (r for r in group if r["config"]["fraction"] == share)
            for record in others if share < 1 else ():
                row = {"Run": f"`{record['name']}`", "Beside": f"`{first['name']}`"}
                for title, way in (("Inside the mask", WITH_MASK), ("Whole image", WHOLE_IMAGE)):
                    row[title] = difference(record, first, way)
                rows.append(list(row.values()))
    return table(list(row), rows) if rows else NONE


def difference(record: dict, other: dict, way: str) -> str:
    """Of SBD with the tuned decoders; nothing where one of the two has no score."""
    scores = [tuned(r, way) for r in (record, other)]
    if None in scores:
        return ""
    mean, error = paired(*({image["name"]: image["sbd"] for image in score["images"]} for score in scores))
    return f"{mean:+.3f} ± {error:.3f}"


def left_over(records: list[dict]) -> str:
    """What the loss had left at the end of each training, and how often an image was seen.

    The curve averages over all images, where one without labels counts as 0. Here it is the mean of those with labels.
    """
    rows = []
    for record in records:
        data, last, whole = record["data"], record["curve"][-1], tuned(record, WHOLE_IMAGE)
        labelled = data.get("annotated_images", data["images"]) / data["images"]
        row = {
            "Run": f"`{record['name']}`",
            "Background": BACKGROUNDS[background(record)],
            "Passes": f"{record['steps'] * record['config']['batch'] / data['images']:.0f}",
            **{term.capitalize(): f"{last[term] / labelled:.2f}" for term in ("pull", "push", "instance")},
            "SBD": number("sbd", whole["mean"]) if whole else "",
        }
        rows.append(list(row.values()))
    return table(list(row), rows) if rows else NONE


def fill(text: str, runs: Path = RUNS) -> str:
    """The text with the tables between their markers."""
    records = read_records(runs)
    return fill_markers(text, {f.__name__: f(records) for f in (budget, left_over)})


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill(file.read_text()))
