"""Many runs with one call, which trains what is missing and skips what is recorded.

Each run is a process of its own, so that one that fails stops no other, and several can share a GPU. What it prints
goes to ``train.log`` in its folder. Stopped by Ctrl-C, all of them save, and the same call goes on.
"""

import _thread
import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from ..prediction.evaluate import evaluate_run
from ..results.runs import WEIGHTS, load_run
from .checkpoint import NAME as CHECKPOINT
from .checkpoint import different
from .config import Config
from .loop import train
from .processes import device_of

LOG = "train.log"
LAST_LINES = 5  # of the log of a run that failed


def grid(base: Config, **values: list) -> dict[str, Config]:
    """A configuration for each combination of values, under a name that says what is special about it.

    >>> list(grid(Config(dataset="cvppp"), fraction=[0.1, 1.0], seed=[0, 1]))
    ['cvppp-10', 'cvppp-10-seed1', 'cvppp-100', 'cvppp-100-seed1']
    >>> list(grid(Config(fraction=0.1), background=["strokes"], widths=[(4, 8)], number=[None, 3]))
    ['rosettes-10-strokes-widths4-8', 'rosettes-number3-strokes-widths4-8']
    """
    configs = {}
    for combination in itertools.product(*values.values()):
        config = dataclasses.replace(base, **dict(zip(values, combination)))
        parts = [config.dataset] + ([f"{config.fraction * 100:g}"] if config.number is None else [])
        for field in dataclasses.fields(Config):
            value = getattr(config, field.name)
            if field.name in values and field.name != "fraction" and value != field.default:
                parts.append(_words(field.name, value))
        configs["-".join(parts)] = config
    return configs


def _words(name: str, value) -> str:
    if isinstance(value, str):
        return value.replace(" ", "-")
    return name + ("-".join(map(str, value)) if isinstance(value, tuple) else str(value))


def sweep(
    configs: dict[str, Config],
    folder: str | Path,
    *,
    devices: list[str] | None = None,
    at_once: int = 1,
    evaluate: bool = False,
) -> dict[str, dict]:
    """Train each run in ``folder/<name>``; returns the records of those that are complete, by name.

    Parameters
    ----------
    configs
        by name of the run, in the order in which they are started.
    devices
        such as ``["cuda:0", "cuda:1"]``; by default all GPUs, or the CPU.
    at_once
        how many runs share a device.
    evaluate
        score each run as well (:func:`spoco_lite.prediction.evaluate.evaluate_run`).

    Raises ValueError if a run of that name is recorded with another configuration, before anything is started.

    >>> import tempfile
    >>> tiny = Config(size=32, steps=1, widths=(4, 8), embedding_dim=4, held_out=0)
    >>> records = sweep({"a": tiny}, tempfile.mkdtemp(), devices=["cpu"])  # doctest: +ELLIPSIS
    1 of 1 runs to do
    [1/1] a: 1 steps, ... min
    >>> records["a"]["steps"]
    1
    """
    folder = Path(folder)
    devices = devices or [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    for device in devices:
        device_of(device)
    if at_once < 1:
        raise ValueError(f"at_once: found {at_once}; give 1 or more runs on each device")
    waiting = [name for name in configs if not _complete(folder / name, configs[name], evaluate)]
    print(f"{len(waiting)} of {len(configs)} runs to do", flush=True)
    free, running = list(devices) * at_once, {}
    environment = {"TQDM_MININTERVAL": "30"} | os.environ  # a log is no place for ten bars a second
    if len(free) > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // len(free))))
    count, done = len(waiting), 0
    try:
        while waiting or running:
            while waiting and free:
                name, device = waiting.pop(0), free.pop(0)
                job = {"folder": str(folder / name), "device": device, "evaluate": evaluate}
                job["config"] = configs[name].plain()
                running[name] = _start(job, environment), device
            time.sleep(0.1)
            for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
                process, device = running.pop(name)
                process.stdin.close()
                free.append(device)
                done += 1
                outcome = _failure(folder / name) if process.returncode else _summary(load_run(folder / name))
                print(f"[{done}/{count}] {name}: {outcome}", flush=True)
    finally:
        for process, _ in running.values():
            process.stdin.close()  # each child takes this for Ctrl-C, and saves
        for process, _ in running.values():
            process.wait()
    complete = [name for name in configs if _complete(folder / name, configs[name], evaluate)]
    return {name: load_run(folder / name) for name in complete}


def _complete(folder: Path, config: Config, evaluate: bool) -> bool:
    """Whether the run is recorded, and scored if it should be; if its weights were lost, a checkpoint has them."""
    if not (folder / "run.json").is_file():
        return False
    if not (folder / WEIGHTS).is_file() and (folder / CHECKPOINT).is_file():
        return False
    record = load_run(folder)
    there = Config.from_record(record["config"])
    names = sorted(different(there.plain(), config.plain()))
    if names:
        listed = ", ".join(f"{n} was {getattr(there, n)!r}, is now {getattr(config, n)!r}" for n in names)
        raise ValueError(f"{folder}: recorded with another configuration ({listed}). Take another folder.")
    return bool(record["scores"]) or not evaluate


def _start(job: dict, environment: dict) -> subprocess.Popen:
    """A child with a job. It lives as long as the pipe to it is open: it stops when this process closes it or dies."""
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spoco_lite.training.sweep"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C in a terminal reaches this process alone
        )
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    return process


def _summary(record: dict) -> str:
    score = kept_score(record)
    return f"{record['steps']} steps, " + (f"score {score}, " if score else "") + f"{minutes(record)} min"


def _failure(folder: Path) -> str:
    # A bar writes all its states into one line.
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "\n    ".join([f"failed; the end of {folder / LOG}:", *lines])


def kept_score(record: dict) -> str:
    """The score on the images held out, if there were any, of the weights that were kept."""
    score = (record.get("kept") or {}).get("score")
    return "" if score is None else f"{score:.3f}"


def minutes(record: dict) -> str:
    return f"{record['seconds'] / 60:.1f}"


def _child() -> int:
    """One run, in a process of its own: what to do is the first line of the standard input."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    job = json.loads(sys.stdin.buffer.readline())
    folder, config = Path(job["folder"]), Config.from_record(job["config"])
    device = torch.device(job["device"])
    on_device = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    try:
        threading.Thread(target=_stop_with_the_parent, daemon=True).start()
        with on_device:  # the record names this one, and the memory that was used on it
            if not _complete(folder, config, evaluate=False):
                train(config, folder, device=device)
            if job["evaluate"]:
                evaluate_run(folder)
    except (ValueError, OSError, FloatingPointError, MemoryError, torch.OutOfMemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _stop_with_the_parent() -> None:
    os.read(0, 1)  # nothing more is written: this returns when the pipe is closed
    _thread.interrupt_main()


if __name__ == "__main__":
    sys.exit(_child())
