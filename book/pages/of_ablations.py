"""The tables of the page "What matters", from the records in data/ablations/, which book/ablations.py writes."""

import json
from pathlib import Path

from tables import commit, difference, frame, markdown

from spoco_lite.training.config import Config

WAYS = {"whole image": "whole image", "inside the given foreground": "inside the mask"}  # of the record: of the table
NONE = "Not measured yet."


def read(data: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((data / "ablations").glob("*.json"))]


def base_of(record: dict) -> dict | None:
    """The row of the base itself; None while it is missing."""
    return next((r for r in record["rows"] if r["topic"] == "Base"), None)


def spread(record: dict, way: str) -> float | None:
    """From the worst to the best of the runs that differ in nothing but the seed; None if there is one only."""
    scores = [r["scores"][way]["sbd"] for r in record["rows"] if r["topic"] in ("Base", "Seed")]
    return max(scores) - min(scores) if len(scores) > 1 else None


def compared(row: dict, record: dict, way: str) -> str | None:
    """A row less the base: mean and standard error; bold where it matters."""
    base, seeds = base_of(record), spread(record, way)
    if row is base:
        return None
    if row["scores"][way] == base["scores"][way]:
        return "same"  # not a difference that is small: this row leaves this way as it was
    mean, error = difference(*(r["scores"][way]["images"] for r in (row, base)))
    text = f"{mean:+.3f} ± {error:.3f}"
    beyond_seeds = row["at_test"] or (seeds is not None and row["topic"] != "Seed" and abs(mean) > seeds)
    return f"**{text}**" if abs(mean) > 2 * error and beyond_seeds else text


def rows(record: dict, *, at_test: bool) -> str:
    """One row per change, those of one topic together."""
    chosen = [r for r in record["rows"] if r["at_test"] == at_test]
    if not chosen or not base_of(record):
        return NONE
    topics = [r["topic"] for r in chosen]
    columns = {"What": "{topic}", "Change": "{change}"}
    for way, name in WAYS.items():
        columns[f"SBD, {name}"] = lambda r, way=way: f"{r['scores'][way]['sbd']:.3f}"
        columns[f"{name}, less the base"] = lambda r, way=way: compared(r, record, way)
    if not at_test:
        columns["Minutes"] = lambda r: f"{r['seconds'] / 60:.0f}"
    return markdown(frame(sorted(chosen, key=lambda r: topics.index(r["topic"])), columns))


def settings_of(record: dict) -> str:
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
    return markdown(frame(shown, {"The base": str, "": shown.get}))


def noise_of(record: dict) -> str:
    seeds = sum(r["topic"] in ("Base", "Seed") for r in record["rows"])
    if seeds < 2:
        return "The base has been trained with one seed only, so the noise between seeds is not known yet."
    spreads = [f"{spread(record, way):.3f} ({name})" for way, name in WAYS.items()]
    return f"From the worst to the best of {seeds} seeds of the base, the SBD differs by {' and '.join(spreads)}."


def origin_of(record: dict) -> str:
    """Where the numbers come from: one row for each machine and commit."""
    columns = {
        "Machine": "{device}",
        "Commit of the training": lambda r: commit(r["commit"]),
        "Commit of the scores": lambda r: commit(r["scored_commit"]),
    }
    table = frame(record["rows"], columns)
    return markdown(table.value_counts(sort=False).reset_index(name="Rows")) if len(table) else NONE


def settings(data: Path) -> str:
    return each(data, settings_of)


def noise(data: Path) -> str:
    return each(data, noise_of)


def trainings(data: Path) -> str:
    return each(data, lambda record: rows(record, at_test=False))


def at_test(data: Path) -> str:
    return each(data, lambda record: rows(record, at_test=True))


def origin(data: Path) -> str:
    return each(data, origin_of)


def each(data: Path, make) -> str:
    """One below the other for each data set; without records it says so."""
    return "\n\n".join(map(make, read(data))) or NONE


MAKERS = (settings, noise, trainings, at_test, origin)
