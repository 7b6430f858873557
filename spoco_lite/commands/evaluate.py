"""``python -m spoco_lite evaluate``: score a run on a split of its data set."""

import argparse
from pathlib import Path

from ..data import SPLITS
from ..prediction.evaluate import evaluate_run


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add ``evaluate`` to the command line."""
    parser = commands.add_parser("evaluate", help="score a run and write the scores into its run.json")
    parser.add_argument("folder", help="folder of a run")
    parser.add_argument("--split", choices=SPLITS, help="default: val, or test where the data set has no val")
    parser.add_argument(
        "--tuning-images", type=int, default=12, help="training images that choose the tuned decoder; default: 12"
    )


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code."""
    record = evaluate_run(parsed.folder, split=parsed.split, tuning_images=parsed.tuning_images)
    for label, scores in record["scores"].items():
        print(f"{label}: {', '.join(f'{name} {value:.3f}' for name, value in scores['mean'].items())}")
    folder = Path(parsed.folder)
    print(f"image by image: {folder / 'scores.csv'}; pictures: {folder / 'examples.jpg'}")
    return 0
