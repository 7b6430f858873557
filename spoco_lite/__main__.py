"""``python -m spoco_lite data|train|sweep|evaluate|predict|show|export``: everything from the command line."""

import argparse
import sys

try:
    import torch

    from .commands import data, evaluate, export, predict, show, sweep, train
except KeyboardInterrupt:  # while PyTorch is loaded, which takes seconds
    sys.exit("\nstopped before anything was done")

COMMANDS = {
    module.__name__.rpartition(".")[2]: module for module in (data, train, sweep, evaluate, predict, show, export)
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m spoco_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS.values():
        module.add_arguments(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    parsed = make_parser().parse_args(arguments)
    try:
        return COMMANDS[parsed.command].run(parsed)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise  # of the processor's memory PyTorch says no more than that
        print(f"error: out of memory ({error}); take a smaller batch, size or tile", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
