"""``python -m spoco_lite train|evaluate``: the loop and the scores from the command line."""

import argparse
import dataclasses
import sys

from .evaluate import evaluate_run
from .train import Config, train


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m spoco_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    trainer = commands.add_parser("train", help="train a run, or go on with one that was stopped")
    trainer.add_argument("folder", help="where the run is kept, for example runs/cvppp-10")
    for field in dataclasses.fields(Config):
        kind = {"type": field.type}
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif field.type == tuple[int, ...]:
            kind = {"type": int, "nargs": "+"}
        trainer.add_argument(
            f"--{field.name.replace('_', '-')}", default=field.default, help=f"default: {field.default}", **kind
        )

    scorer = commands.add_parser("evaluate", help="score a run and write the scores into its run.json")
    scorer.add_argument("folder", help="folder or name of a run")
    scorer.add_argument("--split", default="val", help="train, val or test; default: val")

    scorer.add_argument("--tuning-images", type=int, default=12, help="training images that choose the decoder")

    given = vars(parser.parse_args(arguments))
    command, folder = given.pop("command"), given.pop("folder")
    try:
        if command == "train":
            given["widths"] = tuple(given["widths"])
            record = train(Config(**given), folder)
            print(f"{folder}: {record['steps']} steps in {record['seconds']} s")
        else:
            for label, scores in evaluate_run(folder, **given)["scores"].items():
                print(f"{label}: {scores['mean']}")
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from the last checkpoint in {folder}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
