"""Write the tables of results between the markers of Markdown files: python book/make_results.py FILE...

`make book` fills the page of results, `make refresh` the README. The numbers come from the records in data/runs/
(fields: spoco_lite/runs.py); a record without scores yields no row.
"""

import json
import re
import sys
from pathlib import Path

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
METRICS = {"sbd": "SBD", "dic": "difference in count", "abs_dic": "absolute difference in count", "ap50": "AP at 0.5"}
NONE = "No run has been recorded yet."


def read_records(runs: Path) -> list[dict]:
    """The records of all runs that have been scored, by name."""
    records = [json.loads(path.read_text()) for path in sorted(runs.glob("*/run.json"))]
    return [record for record in records if record["scores"]]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def results(records: list[dict]) -> str:
    """One row per run and way of scoring it: means over the images of the split."""
    scores = [(record, label, score) for record in records for label, score in record["scores"].items()]
    metrics = [m for m in METRICS if any(m in score["mean"] for _, _, score in scores)]
    rows = []
    for record, label, score in scores:
        annotated = f"{record['data']['annotated_objects']} of {record['data']['objects']}"
        where = f"{score['split']}, {len(score['images'])} images"
        means = [number(metric, score["mean"].get(metric)) for metric in metrics]
        rows.append([f"`{record['name']}`", record["data"]["dataset"], annotated, where, label, *means])
    return table(["Run", "Data", "Objects labelled", "Scored on", "How", *(METRICS[m] for m in metrics)], rows)


def number(metric: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:+.1f}" if metric == "dic" else f"{value:.1f}" if metric == "abs_dic" else f"{value:.3f}"


def provenance(records: list[dict]) -> str:
    """One column per run: where its numbers come from."""
    rows = {
        "Images": lambda r: f"{r['data']['images']} ({r['data']['split']})",
        "Objects labelled": lambda r: f"{r['config']['fraction']:.0%}",
        "Image size": lambda r: f"{r['config']['size']} px",
        "Steps of a batch": lambda r: f"{r['steps']} of {r['config']['batch']}",
        "Seed": lambda r: str(r["config"]["seed"]),
        "Parameters": lambda r: f"{r['parameters']:,}",
        "Device": lambda r: r["device"],
        "Time": lambda r: f"{r['seconds'] / 60:.0f} min",
        "Peak memory": lambda r: f"{r['peak_memory_mb'] / 1024:.1f} GiB",
        "Commit": lambda r: f"`{r['commit']}`" if r["commit"] else "not in a checkout",
        "Versions": lambda r: ", ".join(f"{name} {version}" for name, version in r["versions"].items()),
        "Checksum of the data": lambda r: f"`{r['data']['checksum'][:12]}`",
    }
    header = ["", *(f"`{record['name']}`" for record in records)]
    return table(header, [[name, *(value(record) for record in records)] for name, value in rows.items()])


def fill(text: str, runs: Path = RUNS) -> str:
    """The text with the tables between their markers, whatever stood there before."""
    records = read_records(runs)
    for make in (results, provenance):
        name = make.__name__
        region = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        content = make(records) if records else NONE
        text = region.sub(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
    return text


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill(file.read_text()))
