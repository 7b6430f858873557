"""Kill trainings and predictions at random moments, start them again, and compare the end with an undisturbed one.

``python tests/benchmarks/soak.py --kills 50``. It must be bit-equal: every weight, the optimiser, the curve, the label
map. The figures go beside those of the benchmarks, and from there to the page on troubleshooting.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from run import keep

from spoco_lite.commands import predict as predict_command
from spoco_lite.results.runs import build_pair, save_weights
from spoco_lite.training import loop
from spoco_lite.training.config import Config

TRAINING = Config(
    size=32, widths=(4, 8), embedding_dim=4, batch=2, held_out=1, steps=30, log_every=3, validate_every=10
)
VOLUMES = Config(size=(16, 16, 16), crop=True, in_channels=1, widths=(4, 8), embedding_dim=4)


def train(folder: Path) -> None:
    loop.CHECKPOINT_SECONDS = 0  # one after each step, so that many kills fall into the writing of one
    loop.train(TRAINING, folder, device="cpu", progress=False)


def trained(folder: Path) -> list:
    """All that must be equal: weights, the state of the optimiser, the curve and its table, but for the seconds."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    moments = [value for one in state["optimizer"]["state"].values() for value in one.values()]
    numbers = [value.tolist() for value in [*state["pair"].values(), *moments]]
    curve = [{k: v for k, v in entry.items() if k != "seconds"} for entry in state["curve"]]
    table = (folder / "log.csv").read_text().count("\n")
    left = [path.name for path in folder.iterdir()]
    return [numbers, curve, table, sorted(left), (folder / "weights.safetensors").read_bytes()]


def predict(folder: Path) -> None:
    parser = argparse.ArgumentParser()
    predict_command.add_arguments(parser.add_subparsers())
    words = ["predict", folder.parent / "run", folder.parent / "volume.npy", folder, "--tile", 16, "--device", "cpu"]
    if predict_command.run(parser.parse_args(list(map(str, words)))):
        sys.exit(1)


def predicted(folder: Path) -> list:
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def soak(what: str, work: Callable, result: Callable, root: Path, kills: int, rng: random.Random) -> dict:
    """Kill ``work(folder)`` so many times, in as many folders as that takes; compare what each ends with."""
    fork = multiprocessing.get_context("fork")  # what is loaded once serves all, so that kills fall into the work

    def start(folder: Path) -> multiprocessing.Process:
        process = fork.Process(target=quiet, args=(work, folder))
        process.start()
        return process

    def seconds() -> float:
        return time.perf_counter() - begun

    begun = time.perf_counter()
    start(root / "undisturbed").join()
    longest = seconds()  # of a whole one; the machine may be less busy later, and then few would be hit
    expected = result(root / "undisturbed")
    done = ends = equal = 0
    while done < kills:
        folder = root / f"{what}-{ends}"
        while True:
            fresh, begun = not folder.exists(), time.perf_counter()
            process = start(folder)
            process.join(rng.uniform(0.2 * longest, longest) if done < kills else None)
            if not process.is_alive():
                longest = min(longest, seconds()) if fresh else longest
                break
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            done += 1
        ends += 1
        equal += process.exitcode == 0 and result(folder) == expected
        print(f"{what}: {done} kills, {equal} of {ends} ended bit-equal", flush=True)
    return {"what": what, "kills": done, "ends": ends, "equal": equal}


def quiet(work: Callable, folder: Path) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    work(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each of the two; default: 50")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        rows = [soak("training", train, trained, root / "training", given.kills, rng)]
        (root / "prediction" / "run").mkdir(parents=True)
        loop.write_json(root / "prediction" / "run" / "run.json", {"config": VOLUMES.plain()})
        save_weights(build_pair(VOLUMES.plain()), root / "prediction" / "run" / "weights.safetensors")
        volume = np.random.default_rng(0).integers(0, 4000, (28, 30, 28)).astype(np.uint16)
        np.save(root / "prediction" / "volume.npy", volume)
        rows.append(soak("prediction", predict, predicted, root / "prediction", given.kills, rng))
    keep("soak", rows)
    return 0 if all(row["equal"] == row["ends"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
