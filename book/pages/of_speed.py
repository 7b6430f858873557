"""The tables of the page on speed, from data/benchmarks/ (`make bench`), and what the recorded runs cost."""

import json
from functools import partial
from pathlib import Path

from of_runs import read_records
from tables import frame, gibibytes, markdown, seconds

TIME = {"Time": lambda r: seconds(r["seconds"])}


def share_of(row: dict, *, parts: tuple[str, ...]) -> str:
    """The share of the parts in the time of a step."""
    return f"{sum(row['parts'].get(part, 0) for part in parts) / sum(row['parts'].values()):.0%}"


NAMES = {"hdbscan": "HDBSCAN", "mean_shift": "mean-shift"}
BENCHMARKS = {  # columns of the table of each
    "loss": {"Forward and backward": "{what}", **TIME, "Times the loss": lambda r: f"{r.get('times_the_loss', 1):.1f}"},
    "memory": {"Voxels": "{voxels}", "Objects": "{objects}", "Memory": "{mib} MiB"},
    "decoding": {"Decoder": "{what}", "Time for an image": TIME["Time"]},
    "subsample": {
        "Clusterer": "{what}",
        "Pixels": "{pixels}",
        "Images": "{images}",
        "SBD": "{sbd:.3f}",
        "SBD, every pixel": "{sbd_every_pixel:.3f}",
        "Difference": lambda r: f"{r['sbd'] - r['sbd_every_pixel']:+.3f} ± {r['standard_error']:.3f}",
        **TIME,
        "Time, every pixel": lambda r: seconds(r["seconds_every_pixel"]),
    },
    "volume": {
        "Decoder": "{what}",
        **TIME,
        "Memory beyond the embeddings": "{mib} MiB",
        "Objects found": "{found} of {objects}",
    },
    "tiles": {
        "Segmented": "in {what}",
        "Voxels": "{voxels}",
        "Time": lambda r: f"{r['seconds'] / 60:.0f} min",
        "Memory of the process": "{peak_gib:.2f} GiB",
        "AP50": "{ap50:.3f}",
        "Objects": lambda r: f"{r['objects']}, found {r['objects'] + r['difference_in_count']}",
    },
    "metrics": {"Scoring": "{what}", **TIME},
    "figures": {"Figure": "{what}", "Time for a drawing": TIME["Time"]},
    "augment": {
        "Two views": "{name}",
        "Size of a view": lambda r: " x ".join(map(str, r["settings"]["size"])),
        "Samples a second": "{samples_per_second:.0f}",
    },
    "step": {
        "Training": "{what} ({dataset})",
        "Views of a step": lambda r: " x ".join(map(str, [r["batch"], *r["size"]])),
        "A step": TIME["Time"],
        **{part.capitalize(): partial(share_of, parts=(part,)) for part in ("data", "network", "loss")},
        "Rest": partial(share_of, parts=("optimiser", "momentum")),
        "Step / network": lambda r: f"{sum(r['parts'].values()) / r['parts']['network']:.2f}",
        "Memory": lambda r: gibibytes(r["peak_memory_mb"]),
        "Waits for the GPU": lambda r: r.get("host_waits"),
        "GPU busy": lambda r: f"{r['busy']:.0%}" if "busy" in r else None,
    },
    "prediction": {
        "Run": "`{run}`",
        "Segmented": "{what}",
        "Clusterer": lambda r: NAMES[r["cluster"]],
        "Network": lambda r: seconds(r["network_seconds"]),
        "Decoder": lambda r: seconds(r["decoder_seconds"]),
        "Decoder's share": lambda r: f"{r['decoder_seconds'] / (r['network_seconds'] + r['decoder_seconds']):.0%}",
    },
}


SOAK = {
    "Killed at random moments": "{what}",
    "Kills": "{kills}",
    "Started again until they ended": "{ends}",
    "Ended bit-equal": "{equal}",
}  # on the page on troubleshooting


def benchmark(name: str, columns: dict):
    """The function that makes the tables of a benchmark, one below the other for each machine."""

    def make(data: Path) -> str:
        parts = []
        for record in benchmarks(data):
            if name in record["results"]:
                table = frame(record["results"][name]["rows"], columns).dropna(axis=1, how="all")
                parts.append(f"*{record['device']}*\n\n{markdown(table)}")
        return "\n\n".join(parts) or "Not measured yet."

    make.__name__ = name
    return make


def benchmarks(data: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((data / "benchmarks").glob("*.json"))]


def machine(data: Path) -> str:
    """Where and with what each benchmark was measured."""
    columns = {
        "Benchmark": "{name}",
        "Machine": "{device}",
        "Threads": "{threads}",
        "Versions": lambda r: ", ".join(f"{k} {r['versions'][k]}" for k in ("torch", "hdbscan", "kornia")),
        "Commit": "`{commit}`",
        "Date": "{date}",
    }
    measured = (
        {"name": name, "device": record["device"]} | result
        for record in benchmarks(data)
        for name, result in record["results"].items()
    )
    return markdown(frame(measured, columns))


def training(data: Path) -> str:
    """What each recorded run cost."""
    columns = {
        "Run": "`{name}`",
        "Device": lambda r: (f"{r['processes']} processes, " if r.get("processes", 1) > 1 else "") + r["device"],
        "Minutes": lambda r: f"{r['seconds'] / 60:.0f}",
        "Steps": "{steps:,}",
        "A step": lambda r: seconds(r["seconds"] / r["steps"]),
        "Samples a second": lambda r: f"{r['config']['batch'] * r['steps'] / r['seconds']:.1f}",
        "Memory": lambda r: gibibytes(r["peak_memory_mb"]),
    }
    return markdown(frame(read_records(data), columns))


MAKERS = (
    *(benchmark(name, columns) for name, columns in BENCHMARKS.items()),
    benchmark("soak", SOAK),
    machine,
    training,
)
