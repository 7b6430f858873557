"""What recorded trainings spent on labels, and what they scored: the points among which a budget is planned."""

from typing import NamedTuple

from .bench import Entries, by_seed
from .runs import load_run, recorded_runs

_LABELS = {"fraction", "annotate", "background"}  # the settings that say what is labelled


class Spent(NamedTuple):
    """What was labelled for a recorded training, and its scores.

    >>> Spent("leaves-10-ours", "objects", 72, 134, (0.69, 0.7)).long
    False
    """

    name: str  # of the row of the bench, or of the run
    way: str  # "objects" in every image, the same with "strokes", or whole "images" with all their background
    images: int  # that carry labels
    outlines: int  # of objects
    scores: tuple[float, ...]  # SBD of whole images, one for each seed
    long: bool = False  # a run of data/runs: many more steps than on the bench, and other images that score


def of_bench(bench: dict[str, Entries], like: str, *, images: int) -> list[Spent]:
    """The rows that differ from the row ``like`` in what is labelled alone; ``images`` are those trained on.

    ValueError if the row is not recorded.

    >>> from spoco_lite.results.bench import read_bench
    >>> {spent.way for spent in of_bench(read_bench(), "leaves-10-ours", images=72)} >= {"objects"}
    True
    """
    if like not in bench:
        raise ValueError(f"like: {like!r} is not recorded; recorded are: {', '.join(sorted(bench))}")

    def rest(entry: dict) -> tuple:
        others = {key: value for key, value in entry["settings"].items() if key not in _LABELS}
        return entry["base"], entry["peer"], entry["patch"], entry["steps"], others

    found = []
    for name, entries in bench.items():
        first, settings = entries[0], entries[0]["settings"]
        way = _way(settings)
        if way and rest(first) == rest(bench[like][0]):
            share = settings.get("fraction", 1) if way == "images" else 1
            labelled = max(1, round(share * images))
            found.append(Spent(name, way, labelled, first["objects"], tuple(by_seed(entries).round(4).tolist())))
    return sorted(found, key=lambda spent: (spent.way, spent.outlines))


def of_runs(dataset: str) -> list[Spent]:
    """The recorded runs of our recipe on a data set, scored with the default decoder.

    >>> "cvppp-10-ours" in [spent.name for spent in of_runs("cvppp")]
    True
    """
    found = []
    for name in recorded_runs():
        record = load_run(name)
        config, labelled, way = record["config"], record["data"], _way(record["config"])
        scored = record["scores"].get("whole image, default decoder")
        if config["dataset"] == dataset and config.get("unit") and config.get("foreground") and way and scored:
            sbd = (round(scored["mean"]["sbd"], 4),)
            spent = Spent(name, way, labelled["annotated_images"], labelled["annotated_objects"], sbd, long=True)
            found.append(spent)
    return sorted(found, key=lambda spent: (spent.way, spent.outlines))


def _way(settings: dict) -> str | None:
    """How labels are spent, or None where background is labelled in full among objects that are not."""
    background = settings.get("background", "none")
    if background == "all":
        return "images" if settings.get("annotate") == "images" or settings.get("fraction", 1) == 1 else None
    if settings.get("annotate", "per image") != "per image":
        return None
    return {"none": "objects", "strokes": "strokes"}[background]
