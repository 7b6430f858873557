"""``python -m spoco_lite data|train|evaluate``: the data sets, the loop and the scores from the command line."""

import argparse
import sys

from . import train_command
from .data import command as data_command
from .evaluate import evaluate_run

COMMANDS = {"data": data_command, "train": train_command}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m spoco_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS.values():
        module.add_arguments(commands)
    scorer = commands.add_parser("evaluate", help="score a run and write the scores into its run.json")
    scorer.add_argument("folder", help="folder or name of a run")
    scorer.add_argument("--split", default="val", help="train, val or test; default: val")
    scorer.add_argument(
        "--tuning-images", type=int, default=12, help="training images that choose the decoder"
    )

    parsed = parser.parse_args(arguments)
    try:
        if parsed.command != "evaluate":
            return COMMANDS[parsed.command].run(parsed)
        record = evaluate_run(parsed.folder, split=parsed.split, tuning_images=parsed.tuning_images)
        for label, scores in record["scores"].items():
            print(f"{label}: {scores['mean']}")
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
