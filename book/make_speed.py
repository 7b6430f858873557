"""Write the tables of the speed page between its markers: python book/make_speed.py FILE...

The numbers come from the records in data/benchmarks/ (`make bench`) and data/runs/.
"""

import json
import sys
from pathlib import Path

from make_results import NONE, RUNS, fill_markers, read_records, table

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
    return table(["Voxels", "Objects", "Memory"], [[r["voxels"], str(r["objects"]), f"{r['mib']} MiB"] for r in rows])


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
    body = [[r["what"], seconds(r["seconds"]), f"{r['mib']} MiB", f"{r['found']} of {r['objects']}"] for r in rows]
    return table(header, body)


def tiles(rows: list[dict]) -> str:
    header = ["Segmented", "Voxels", "Time", "Memory of the process", "AP50", "Objects"]
    return table(
        header,
        [
            [
                f"in {r['what']}",
                r["voxels"],
                f"{r['seconds'] / 60:.0f} min",
                f"{r['peak_gib']:.2f} GiB",
                f"{r['ap50']:.3f}",
                f"{r['objects']}, found {r['objects'] + r['difference_in_count']}",
            ]
            for r in rows
        ],
    )


def metrics(rows: list[dict]) -> str:
    return table(["Scoring", "Time"], [[r["what"], seconds(r["seconds"])] for r in rows])


def augment(rows: list[dict]) -> str:
    header = ["Two views", "Size of a view", "Samples a second"]
    return table(
        header,
        [[r["name"], " x ".join(map(str, r["settings"]["size"])), f"{r['samples_per_second']:.0f}"] for r in rows],
    )


def step(rows: list[dict]) -> str:
    """Time of a step, the share of each part in it, and on a GPU how well it is kept busy."""
    on_gpu = any("host_waits" in r for r in rows)
    parts = list(rows[0]["parts"])
    header = ["Training", "Views of a step", "A step", *(p.capitalize() for p in parts), "Memory"]
    body = []
    for r in rows:
        views = " x ".join(map(str, [r["batch"], *r["size"]]))
        total = sum(r["parts"].values())
        shares = [f"{r['parts'][p] / total:.0%}" for p in parts]
        row = [f"{r['what']} ({r['dataset']})", views, seconds(r["seconds"]), *shares, gibibytes(r["peak_memory_mb"])]
        body.append(row + [str(r["host_waits"]), f"{r['busy']:.0%}"] if on_gpu else row)
    return table([*header, "Waits for the GPU", "GPU busy"] if on_gpu else header, body)


def prediction(rows: list[dict]) -> str:
    header = ["Run", "Segmented", "Clusterer", "Network", "Decoder", "Decoder's share"]
    names = {"hdbscan": "HDBSCAN", "mean_shift": "mean-shift"}
    body = []
    for r in rows:
        times = [seconds(r["network_seconds"]), seconds(r["decoder_seconds"])]
        share = r["decoder_seconds"] / (r["network_seconds"] + r["decoder_seconds"])
        body.append([f"`{r['run']}`", r["what"], names[r["cluster"]], *times, f"{share:.0%}"])
    return table(header, body)


def training(runs: list[dict]) -> str:
    """What each recorded run cost."""
    header = ["Run", "Device", "Minutes", "Steps", "A step", "Samples a second", "Memory"]
    body = []
    for r in runs:
        each = r["seconds"] / r["steps"]
        processes = r.get("processes", 1)  # older records know of one only
        device = r["device"] if processes == 1 else f"{processes} processes, {r['device']}"
        costs = [f"{r['seconds'] / 60:.0f}", f"{r['steps']:,}", seconds(each), f"{r['config']['batch'] / each:.1f}"]
        body.append([f"`{r['name']}`", device, *costs, gibibytes(r["peak_memory_mb"])])
    return table(header, body) if body else NONE


def gibibytes(mebibytes: float) -> str:
    return f"{mebibytes / 1024:.1f} GiB"


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


MAKERS = (loss, memory, decoding, subsample, volume, tiles, metrics, augment, step, prediction)
TABLES = {f.__name__: f for f in MAKERS}


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
