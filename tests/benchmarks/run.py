"""Benchmarks, each beside a peer in the same run: ``python tests/benchmarks/run.py [NAME ...]``, or ``make bench``.

The results go to data/benchmarks/<device>.json, from which the book's speed page is made. A benchmark that is named
replaces its own entry only. Leave the machine alone while it runs.
"""

import argparse
import datetime
import json
from pathlib import Path

import bench_augment
import bench_decoding
import bench_figures
import bench_loss
import bench_metrics
import bench_step
import bench_tiles
import torch

from spoco_lite.data.writing import write_json
from spoco_lite.results.runs import provenance

BENCHMARKS = {
    "loss": bench_loss.loss,
    "memory": bench_loss.memory,
    "volume": bench_decoding.volume,
    "metrics": bench_metrics.metrics,
    "augment": bench_augment.measure,
    "step": bench_step.step,
    "prediction": bench_step.prediction,
    "decoding": bench_decoding.decoding,
    "tiles": bench_tiles.tiles,
    "subsample": bench_decoding.subsample,
    "figures": bench_figures.figures,
}
FOLDER = Path(__file__).parents[2] / "data" / "benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"== {name}", flush=True)
        try:
            rows = BENCHMARKS[name]()
        except FileNotFoundError as error:
            print(f"   left out: {error}")
            continue
        keep(name, rows)


def keep(name: str, rows: list[dict]) -> None:
    """Print what was measured, and write it to the file of this machine."""
    where = provenance()
    path = FOLDER / f"{where['device'].lower().replace(' ', '-')}.json"
    record = json.loads(path.read_text()) if path.is_file() else {"device": where["device"], "results": {}}
    FOLDER.mkdir(parents=True, exist_ok=True)
    record["results"][name] = {
        "date": datetime.date.today().isoformat(),
        "commit": where["commit"],
        "versions": where["versions"],
        "threads": torch.get_num_threads(),
        "rows": rows,
    }
    write_json(path, record)
    print(*rows, f"written to {path}", sep="\n", flush=True)


if __name__ == "__main__":
    main()
