"""Write the tables of the page "What matters" between its markers: python book/make_ablations.py FILE...

The numbers come from the records in data/ablations/, which ablations.py writes.
"""

import json
import sys
from pathlib import Path

from make_comparisons import paired
from make_results import fill_markers, table

from spoco_lite.training.config import Config

ABLATIONS = Path(__file__).resolve().parents[1] / "data" / "ablations"
WAYS = {"whole image": "whole image", "inside the given foreground": "inside the mask"}  # of the record: of the table
NONE = "Not measured yet."


def base_of(record: dict) -> dict | None:
    """The row of the base itself; None while it is missing."""
    return next((r for r in record["rows"] if r["topic"] == "Base"), None)


def difference(row: dict, base: dict, way: str) -> tuple[float, float]:
    """Mean over the images of the row's SBD less the base's, and its standard error."""
    return paired(*(r["scores"][way]["images"] for r in (row, base)))


def spread(record: dict, way: str) -> float | None:
    """From the worst to the best of the runs that differ in nothing but the seed; None if there is one only."""
    scores = [r["scores"][way]["sbd"] for r in record["rows"] if r["topic"] in ("Base", "Seed")]
    return max(scores) - min(scores) if len(scores) > 1 else None


def settings(record: dict) -> str:
    """What the base is."""
    base, row = record["base"], base_of(record)
    closest, widest = Config.from_record(base).view_scale
    shown = {
        "Data set": base["dataset"],
        "Objects labelled": f"{base['fraction']:.0%}, {base['annotate']}, background: {base['background']}",
        "Image size": f"{base['size']} px",
        "Scale of the views": f"{closest} to {widest} pixels of the image for one of the view",
        "Widths": ", ".join(map(str, base["widths"])),
        "Steps": f"{base['steps']}, batch {base['batch']}",
        "Images held out": str(base["held_out"]),
        "Kernel threshold": str(base["kernel_threshold"]),
        "Momentum": str(base["momentum"]),
    }
    for way, decoder in record["decoders"].items():
        shown[f"Decoder, {WAYS[way]}"] = ", ".join(f"{name}: {value}" for name, value in decoder.items())
    if row:
        shown["Minutes"] = f"{row['seconds'] / 60:.0f}"
    return table(["The base", ""], [[name, value] for name, value in shown.items()])


def noise(record: dict) -> str:
    seeds = sum(r["topic"] in ("Base", "Seed") for r in record["rows"])
    if seeds < 2:
        return "The base has been trained with one seed only, so the noise between seeds is not known yet."
    spreads = [f"{spread(record, way):.3f} ({name})" for way, name in WAYS.items()]
    return f"From the worst to the best of {seeds} seeds of the base, the SBD differs by {' and '.join(spreads)}."


def trainings(record: dict) -> str:
    return rows(record, at_test=False)


def at_test(record: dict) -> str:
    return rows(record, at_test=True)


def rows(record: dict, *, at_test: bool) -> str:
    """One row per change, those of one topic together; bold where the page says that it matters."""
    base, chosen = base_of(record), [r for r in record["rows"] if r["at_test"] == at_test]
    if not chosen or not base:
        return NONE
    topics = [r["topic"] for r in chosen]
    header = ["What", "Change"]
    for name in WAYS.values():
        header += [f"SBD, {name}", "less the base"]
    body = []
    for r in sorted(chosen, key=lambda r: topics.index(r["topic"])):
        cells = [r["topic"], r["change"]]
        for way in WAYS:
            less = "" if r is base else compared(r, base, way, spread(record, way))
            cells += [f"{r['scores'][way]['sbd']:.3f}", less]
        body.append(cells if at_test else [*cells, f"{r['seconds'] / 60:.0f}"])
    return table(header if at_test else [*header, "Minutes"], body)


def compared(row: dict, base: dict, way: str, seeds: float | None) -> str:
    if row["scores"][way] == base["scores"][way]:
        return "same"  # not a difference that is small: this row leaves this way as it was
    mean, error = difference(row, base, way)
    text = f"{mean:+.3f} ± {error:.3f}"
    beyond_images = abs(mean) > 2 * error
    beyond_seeds = row["at_test"] or (seeds is not None and row["topic"] != "Seed" and abs(mean) > seeds)
    return f"**{text}**" if beyond_images and beyond_seeds else text


def origin(record: dict) -> str:
    """Where the numbers come from: one row for each machine and commit."""
    groups = {}
    for r in record["rows"]:
        key = r["device"], r["commit"] or "not in a checkout", r["scored_commit"] or "not in a checkout"
        groups[key] = groups.get(key, 0) + 1
    body = [[device, f"`{commit}`", f"`{scored}`", str(n)] for (device, commit, scored), n in groups.items()]
    return table(["Machine", "Commit of the training", "Commit of the scores", "Rows"], body)


TABLES = {f.__name__: f for f in (settings, noise, trainings, at_test, origin)}


def fill(text: str, folder: Path = ABLATIONS) -> str:
    """The page with its tables, one below the other for each data set; without records it says so."""
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return fill_markers(text, {name: "\n\n".join(make(r) for r in records) or NONE for name, make in TABLES.items()})


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill(file.read_text()))
