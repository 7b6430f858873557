"""``python -m spoco_lite data|train|evaluate``: the data sets, the loop and the scores from the command line."""

import argparse
import dataclasses
import sys

from .data import command as data_command
from .evaluate import evaluate_run
from .train import Config, train


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m spoco_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    trainer = commands.add_parser("train", help="train a run, or go on with one that was stopped")
    trainer.add_argument("folder", help="where the run is kept, for example runs/cvppp-10")
    trainer.add_argument(
        "--data-option",
        dest="data_options",
        action="append",
        type=_pair,
        default=[],
        metavar="KEY=VALUE",
        help="an option of the data set's reader, such as path=leaves or background=0; may be given several times",
    )
    for field in dataclasses.fields(Config):
        if field.name == "data_options":
            continue
        kind = {"type": int if field.type == int | None else field.type}
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif field.type == tuple[int, ...]:
            kind = {"type": int, "nargs": "+"}
        trainer.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=field.default,
            help=f"default: {field.default}",
            **kind,
        )

    scorer = commands.add_parser("evaluate", help="score a run and write the scores into its run.json")
    scorer.add_argument("folder", help="folder or name of a run")
    scorer.add_argument("--split", default="val", help="train, val or test; default: val")

    scorer.add_argument(
        "--tuning-images", type=int, default=12, help="training images that choose the decoder"
    )
    data_command.add_arguments(commands)

    parsed = parser.parse_args(arguments)
    if parsed.command == "data":
        return data_command.run(parsed)
    given = vars(parsed)
    command, folder = given.pop("command"), given.pop("folder")
    try:
        if command == "train":
            given["widths"] = tuple(given["widths"])
            given["data_options"] = dict(given["data_options"])
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


def _pair(text: str) -> tuple[str, str | int]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"found {text!r}; give KEY=VALUE")
    try:
        return key, int(value)
    except ValueError:
        return key, value


if __name__ == "__main__":
    sys.exit(main())
