"""The experiment bench: small trainings that differ in one thing each, with three seeds: python book/bench FOLDER

FOLDER keeps the trainings. Each entry, a row with a seed, goes to data/bench/<base>.jsonl as it is done; entries that
are there are not made again. Stopped or killed, the same command goes on. Each training takes one thread and about five
minutes; two run at a time.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import ledger
from rows import ROWS, SEEDS, Row

HERE = Path(__file__).resolve().parent
RECORDS = HERE.parents[1] / "data" / "bench"


def entries(base: str, records: Path = RECORDS) -> list[dict]:
    """What is recorded of a base."""
    return ledger.read(records / f"{base}.jsonl")


def check(row: Row, entry: dict) -> None:
    """Complain of an entry that was made with other settings than its row has now."""
    now = json.loads(json.dumps([row.settings, row.peer, row.patch]))
    if now != [entry["settings"], entry["peer"], entry["patch"]]:
        raise ValueError(f"{row.name}: recorded with {entry['settings']}, is now {row.settings}; rename the row")


def missing(names: list[str], records: Path = RECORDS) -> list[tuple[Row, int]]:
    """Rows and seeds without an entry, all rows with the first seed, then with the next; none twice."""
    rows = {row.name: row for row in ROWS}
    assert len(rows) == len(ROWS), "two rows of one name"
    there = set()
    for base in {row.base for row in ROWS}:
        for entry in entries(base, records):
            if entry["row"] in rows:
                check(rows[entry["row"]], entry)
            there.add((entry["row"], entry["seed"]))
    chosen = [row for row in ROWS if not names or any(row.name.startswith(name) for name in names)]
    # Peers without a training have no seed.
    plan = [(row, seed) for row in chosen for seed in (SEEDS if row.peer != "threshold" else SEEDS[:1])]
    return [(row, seed) for row, seed in plan if (row.name, seed) not in there]


def start(row: Row, seed: int, folder: Path) -> subprocess.Popen:
    """A process for one entry. It ends when this one does: it notices that its pipe is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "job.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, str(HERE / "job.py"), row.name, str(seed), str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )


def run(names: list[str], folder: Path, *, at_once: int, records: Path = RECORDS) -> int:
    """Make what is missing; returns how many entries failed."""
    waiting = missing(names, records)
    total, running, failed = len(waiting), {}, 0
    print(f"{total} entries to make", flush=True)
    while waiting or running:
        while waiting and len(running) < at_once:
            row, seed = waiting.pop(0)
            place = folder / f"{row.name}-{seed}"
            running[place] = row, start(row, seed, place)
        time.sleep(0.5)
        for place in [place for place, (_, process) in running.items() if process.poll() is not None]:
            row, process = running.pop(place)
            done = place / "entry.json"
            if process.returncode or not done.is_file():
                failed += 1
                print(f"{place.name}: failed, see {place / 'job.log'}", flush=True)
                continue
            entry = json.loads(done.read_text())
            records.mkdir(parents=True, exist_ok=True)
            with open(records / f"{row.base}.jsonl", "a") as file:
                file.write(json.dumps(entry) + "\n")
            left = len(waiting) + len(running)
            print(f"[{total - left}/{total}] {place.name}: {summary(entry)}", flush=True)
    return failed


def summary(entry: dict) -> str:
    """Mean SBD and AP50 of each way, and the minutes, in a line."""
    ways = [
        f"{way} {sum(v[0] for v in images.values()) / len(images):.3f} / "
        f"{sum(v[1] for v in images.values()) / len(images):.3f}"
        for way, images in entry["scores"].items()
    ]
    return ", ".join([*ways, f"{entry['cpu_minutes']} min"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the trainings are kept")
    parser.add_argument("--rows", nargs="+", default=[], help="only rows whose names begin so")
    parser.add_argument("--at-once", type=int, default=2, help="trainings at a time, each on one thread")
    parsed = parser.parse_args()
    sys.exit(min(1, run(parsed.rows, parsed.folder, at_once=parsed.at_once)))
