"""``python -m spoco_lite sweep``: train many runs, what is missing and not what is recorded."""

import argparse

from ..training.sweep import grid, kept_score, minutes, sweep
from .train import add_config_arguments, config_from

VARIED = ("fraction", "seed", "annotate", "number", "background")  # options that take several values


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add ``sweep`` to the command line."""
    parser = commands.add_parser(
        "sweep",
        usage="%(prog)s [options] folder",
        help="train many runs: what is missing, not what is recorded",
        description="Train a run for each combination of the values given: what is missing, not what is recorded.",
    )
    parser.add_argument("folder", help="where the runs are kept, for example runs")
    parser.add_argument("--devices", nargs="+", help="such as cuda:0 cuda:1; default: all GPUs, or the CPU")
    parser.add_argument("--at-once", type=int, default=1, help="runs that share a device; default: 1")
    parser.add_argument("--evaluate", action="store_true", help="score each run when it is trained")
    add_config_arguments(parser, several=VARIED)


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code, 0, or 1 if a run failed."""
    values = {name: getattr(parsed, name) for name in VARIED}
    base = config_from(vars(parsed) | {name: several[0] for name, several in values.items()})
    configs = grid(base, **values)
    options = {"devices": parsed.devices, "at_once": parsed.at_once, "evaluate": parsed.evaluate}
    records = sweep(configs, parsed.folder, **options)
    width = max(map(len, configs))
    print(f"\n{'run':{width}}  {'steps':>6}  {'score':>6}  {'minutes':>7}")
    for name, record in records.items():
        print(f"{name:{width}}  {record['steps']:6}  {kept_score(record):>6}  {minutes(record):>7}")
    return 0 if len(records) == len(configs) else 1
