"""Write the tables of results between the markers of Markdown files: python book/make_results.py FILE...

`make book` fills the page of results, `make refresh` the README. The numbers come from the records in data/runs/
(fields: spoco_lite/runs.py); a record without scores yields no row.
"""

import json
import re
import sys
from pathlib import Path

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
METRICS = {"sbd": "SBD", "dic": "DiC", "abs_dic": "abs. DiC", "ap50": "AP"}
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
    """A table per data set and split: one row per run and way of scoring it, means over the images of the split."""
    groups = {}
    for record in records:
        for way, score in record["scores"].items():
            where = f"{record['data']['dataset']}, split {score['split']}, {len(score['images'])} images"
            annotated = f"{record['data']['annotated_objects']} of {record['data']['objects']}"
            means = [number(metric, score["mean"]) for metric in METRICS]
            groups.setdefault(where, []).append([f"`{record['name']}`", annotated, way, *means])
    header = ["Run", "Objects labelled", "Scored", *METRICS.values()]
    return "\n\n".join(f"**{where}**\n\n{table(header, rows)}" for where, rows in groups.items())


def number(metric: str, mean: dict) -> str:
    return f"{mean[metric]:{FORMATS.get(metric, '.3f')}}"


def steps(record: dict) -> str:
    """How many there were, and what had been planned at first if the plan was changed on the way."""
    changes = [f"; {c['steps_before']} were planned until step {c['at_step']}" for c in record["changes"]]
    return str(record["steps"]) + "".join(changes)


def provenance(records: list[dict]) -> str:
    """One column per run: where its numbers come from."""
    rows = {
        "Trained on": lambda r: (
            f"{r['data']['dataset']}, split {r['data']['split']}, {r['data']['images']} images"
        ),
        "Objects labelled": lambda r: f"{r['config']['fraction']:.0%}",
        "Image size": lambda r: f"{r['config']['size']} px",
        "Steps": steps,
        "Batch": lambda r: f"{r['config']['batch']} images",
        "Seed": lambda r: str(r["config"]["seed"]),
        "Parameters": lambda r: f"{r['parameters']:,}",
        "Device": lambda r: r["device"],
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
    return table(header, [[name, *(value(record) for record in records)] for name, value in rows.items()])


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
