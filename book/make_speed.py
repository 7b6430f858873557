"""Write the tables of the speed page between its markers: python book/make_speed.py FILE...

The numbers come from the records in data/benchmarks/ (`make bench`) and data/runs/.
"""

import json
import sys
from pathlib import Path

from make_results import RUNS, fill_markers, read_records, table

BENCHMARKS = Path(__file__).resolve().parents[1] / "data" / "benchmarks"


def seconds(value: float) -> str:
    """Three digits, in the unit that reads best.

    >>> seconds(0.0228), seconds(0.758), seconds(21.6787)
    ('23 ms', '0.76 s', '22 s')
    """
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def loss(rows: list[dict]) -> str:
    body = [[r["what"], seconds(r["seconds"]), f"{r.get('times_the_loss', 1):.1f}"] for r in rows]
    return table(["Forward and backward", "Time", "Times the loss"], body)


def memory(rows: list[dict]) -> str:
    return table(
        ["Voxels", "Objects", "Memory"], [[r["voxels"], str(r["objects"]), f"{r['mib']} MiB"] for r in rows]
    )


def decoding(rows: list[dict]) -> str:
    return table(["Decoder", "Time for an image"], [[r["what"], seconds(r["seconds"])] for r in rows])


def subsample(rows: list[dict]) -> str:
    header = [
        "Clusterer",
        "Pixels",
        "Images",
        "SBD",
        "SBD, every pixel",
        "Difference",
        "Time",
        "Time, every pixel",
    ]
    body = []
    for r in rows:
        difference = f"{r['sbd'] - r['sbd_every_pixel']:+.3f} ± {r['standard_error']:.3f}"
        scores = [f"{r['sbd']:.3f}", f"{r['sbd_every_pixel']:.3f}", difference]
        times = [seconds(r["seconds"]), seconds(r["seconds_every_pixel"])]
        body.append([r["what"], r["pixels"], str(r["images"]), *scores, *times])
    return table(header, body)


def volume(rows: list[dict]) -> str:
    header = ["Decoder", "Time", "Memory beyond the embeddings", "Objects found"]
    body = [
        [r["what"], seconds(r["seconds"]), f"{r['mib']} MiB", f"{r['found']} of {r['objects']}"] for r in rows
    ]
    return table(header, body)


def metrics(rows: list[dict]) -> str:
    return table(["Scoring", "Time"], [[r["what"], seconds(r["seconds"])] for r in rows])


def augment(rows: list[dict]) -> str:
    header = ["Two views", "Size of a view", "Samples a second"]
    return table(
        header,
        [
            [r["name"], " x ".join(map(str, r["settings"]["size"])), f"{r['samples_per_second']:.0f}"]
            for r in rows
        ],
    )


def training(runs: list[dict]) -> str:
    """What the recorded runs took, and how many samples a second their steps asked for."""
    header = ["Run", "Device", "Minutes", "Steps a second", "Samples a second", "Memory"]
    body = []
    for r in runs:
        rate = r["steps"] / r["seconds"]
        samples = rate * r["config"]["batch"]
        body.append(
            [
                f"`{r['name']}`",
                r["device"],
                f"{r['seconds'] / 60:.0f}",
                f"{rate:.2f}",
                f"{samples:.1f}",
                f"{r['peak_memory_mb'] / 1024:.1f} GiB",
            ]
        )
    return table(header, body)


def machine(records: list[dict]) -> str:
    body = []
    for record in records:
        for name, result in record["results"].items():
            versions = ", ".join(f"{k} {result['versions'][k]}" for k in ("torch", "hdbscan", "kornia"))
            row = [
                name,
                record["device"],
                str(result["threads"]),
                versions,
                f"`{result['commit']}`",
                result["date"],
            ]
            body.append(row)
    return table(["Benchmark", "Machine", "Threads", "Versions", "Commit", "Date"], body)


TABLES = {f.__name__: f for f in (loss, memory, decoding, subsample, volume, metrics, augment)}


def fill(text: str) -> str:
    """The page with all its tables, one below the other for each machine."""
    records = [json.loads(path.read_text()) for path in sorted(BENCHMARKS.glob("*.json"))]
    tables = {"machine": machine(records), "training": training(read_records(RUNS))}
    for name, make in TABLES.items():
        parts = [(r["device"], make(r["results"][name]["rows"])) for r in records if name in r["results"]]
        tables[name] = "\n\n".join(f"*{device}*\n\n{text}" for device, text in parts) or "Not measured yet."
    return fill_markers(text, tables)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(fill(path.read_text()))
