"""Write the tables of results between the markers of Markdown files: python book/make_results.py FILE...

`make book` fills the page of results, `make refresh` the README. The numbers come from the records in data/runs/
(fields: spoco_lite/runs.py); a record without scores yields no row.
"""

import json
import re
import sys
from pathlib import Path

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
METRICS = {
    "sbd": "SBD",
    "dic": "DiC",
    "abs_dic": "abs. DiC",
    "ap50": "AP",
    "ap": "mean AP",
    "are": "ARE",
    "vi_split": "VI split",
    "vi_merge": "VI merge",
}
FORMATS = {"dic": "+.1f", "abs_dic": ".1f"}
NONE = "No run has been recorded yet."


def read_records(runs: Path) -> list[dict]:
    """The records of all runs that have been scored, by name."""
    records = [json.loads(path.read_text()) for path in sorted(runs.glob("*/run.json"))]
    return [record for record in records if record["scores"]]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def results(records: list[dict]) -> str:
    """A table per data set and split: one row per run and way of scoring it, means over the images of the split.

    Columns for what older records lack appear where every row has it.
    """
    groups = {}
    for record in records:
        for way, score in record["scores"].items():
            where = f"{record['data']['dataset']}, split {score['split']}, {count(len(score['images']), 'image')}"
            groups.setdefault(where, []).append(cells(record, way, score["mean"]))
    return "\n\n".join(f"**{where}**\n\n{common_columns(rows)}" for where, rows in groups.items())


def cells(record: dict, way: str, mean: dict) -> dict[str, str]:
    """The row of a run and a way of scoring it: column name -> text."""
    budget = f"{record['data']['annotated_objects']} of {objects(record)}"
    row = {"Run": f"`{record['name']}`", "Objects labelled": budget}
    tuning = record.get("tuning", {}).get(way.split(", ")[0], {})
    if "held_out_objects" in record["data"] and "objects" in tuning:
        # The held-out images choose the weights and the decoder; without them, images of the training do the latter.
        used = record["data"]["held_out_objects"]
        row["Objects to choose"] = str(max(used, tuning["objects"]) if "tuned" in way else used)
    if record.get("kept"):
        row["Kept step"] = str(record["kept"]["step"])
    row["Scored"] = way
    return row | {title: number(metric, mean) for metric, title in METRICS.items() if metric in mean}


def objects(record: dict) -> int:
    """All objects of the training split, those of the images held out included."""
    return record["data"]["objects"] + record["data"].get("held_out_objects", 0)


def common_columns(rows: list[dict[str, str]]) -> str:
    header = [name for name in rows[0] if all(name in row for row in rows)]
    return table(header, [[row[name] for name in header] for row in rows])


def count(number: int, thing: str) -> str:
    """
    >>> count(1, "image"), count(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {thing}" + "s" * (number != 1)


def number(metric: str, mean: dict) -> str:
    return f"{mean[metric]:{FORMATS.get(metric, '.3f')}}"


def steps(record: dict) -> str:
    """How many there were, and what had been planned at first if the plan was changed on the way."""
    changes = [f"; {c['steps_before']} were planned until step {c['at_step']}" for c in record["changes"]]
    return str(record["steps"]) + "".join(changes)


def asked(record: dict) -> str:
    """How much was to be labelled."""
    config = record["config"]
    whole = "of the images, all objects" if config.get("annotate") == "images" else ""
    number = config.get("number")
    return f"{config['fraction']:.0%} {whole}".strip() if number is None else f"{number} {whole}".strip()


def image_size(record: dict) -> str:
    size = record["config"]["size"]
    size = " x ".join(map(str, size)) + " voxels" if isinstance(size, list) else f"{size} px"
    return size + (", windows" if record["config"].get("crop") else "")


def provenance(records: list[dict]) -> str:
    """One column per run: where its numbers come from. A row that no record has anything for is left out."""
    rows = {
        "Trained on": lambda r: (
            f"{r['data']['dataset']}, split {r['data']['split']}, {count(r['data']['images'], 'image')}"
        ),
        "Held out": lambda r: count(len(r["held_out"]), "image") if r.get("held_out") else "",
        "Objects labelled": asked,
        "Background labelled": lambda r: r["config"].get("background", ""),
        "Image size": image_size,
        "Network": lambda r: " ".join(map(str, r["config"].get("widths", ()))),
        "Embedding": lambda r: str(r["config"].get("embedding_dim", "")),
        "Steps": steps,
        "Kept": lambda r: f"those of step {r['kept']['step']}" if r.get("kept") else "",
        "Batch": lambda r: count(r["config"]["batch"], "image"),
        "Seed": lambda r: str(r["config"]["seed"]),
        "Parameters": lambda r: f"{r['parameters']:,}",
        "Device": lambda r: r["device"],
        "Precision": lambda r: r.get("precision", ""),
        "Processes": lambda r: str(r.get("processes", "")),
        "Time": lambda r: f"{r['seconds'] / 60:.0f} min",
        "Peak memory": lambda r: f"{r['peak_memory_mb'] / 1024:.1f} GiB",
        "Commit": lambda r: f"`{r['commit']}`" if r["commit"] else "not in a checkout",
        "Commit of the scores": lambda r: (
            f"`{r['scored_commit']}`" if r["scored_commit"] else "not in a checkout"
        ),
        "Versions": lambda r: ", ".join(f"{name} {version}" for name, version in r["versions"].items()),
        "Checksum of the data": lambda r: f"`{r['data']['checksum'][:12]}`",
    }
    header = ["", *(f"`{record['name']}`" for record in records)]
    filled = [[name, *(value(record) for record in records)] for name, value in rows.items()]
    return table(header, [row for row in filled if any(row[1:])])


def fill(text: str, runs: Path = RUNS) -> str:
    """The text with the tables between their markers, whatever stood there before."""
    records = read_records(runs)
    return fill_markers(text, {f.__name__: f(records) if records else NONE for f in (results, provenance)})


def fill_markers(text: str, contents: dict[str, str]) -> str:
    """Put each content between ``<!-- name:begin -->`` and ``<!-- name:end -->``, where the text has these."""
    for name, content in contents.items():
        region = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text = region.sub(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
    return text


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill(file.read_text()))
