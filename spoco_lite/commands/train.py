"""``python -m spoco_lite train``: every field of the configuration is an option."""

import argparse
import dataclasses
import json
import shlex
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..training import processes
from ..training.config import Config
from ..training.loop import train

PAIRS = {"data_options": "--data-option", "loss_options": "--loss-option", "decoder": "--decoder"}  # of dictionaries
METAVARS = {int: "N", float: "X", str: "WORD"}


def add_arguments(commands) -> None:
    parser = commands.add_parser(
        "train",
        usage="%(prog)s [options] folder",
        help="train a run, or go on with one that was stopped",
        description="Train a run, or go on with one that was stopped: the same command does both.",
    )
    parser.add_argument("folder", help="where the run is kept, for example runs/cvppp-10")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: cuda if there is one, else cpu")
    parser.add_argument("--compiled", action="store_true", help="run the network through torch.compile")
    add_config_arguments(parser)


def add_config_arguments(parser: argparse.ArgumentParser, *, several: Iterable[str] = ()) -> None:
    """An option for each field of :class:`Config`, in its groups; those named take ``several`` values, in a list."""
    groups = {}
    for field in dataclasses.fields(Config):
        name = field.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        if field.name in several:
            words = option_of(field) | {"nargs": "+", "default": [field.default]}
            words["help"] += "; one value or several"
        else:
            words = option_of(field)
        groups[name].add_argument(PAIRS.get(field.name, f"--{field.name.replace('_', '-')}"), **words)


def option_of(field: dataclasses.Field) -> dict:
    """The keywords of ``add_argument`` for a field of :class:`Config`, from its type and what it says of itself.

    >>> steps, scale = (next(f for f in dataclasses.fields(Config) if f.name == n) for n in ("steps", "scale"))
    >>> option_of(steps)
    {'help': 'steps of the whole training; default: 1000', 'default': 1000, 'type': <class 'int'>, 'metavar': 'N'}
    >>> option_of(scale)["nargs"], option_of(scale)["type"]
    (2, <class 'float'>)
    """
    about = field.metadata["about"].replace("%", "%%")
    if field.name in PAIRS:
        several = {"dest": field.name, "action": "append", "type": key_and_value, "metavar": "KEY=VALUE", "default": []}
        return {"help": f"{about}; may be given several times", **several}
    shown = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    words = {"help": about if shown is None else f"{about}; default: {shown}", "default": field.default}
    if field.type is bool:
        return words | {"action": argparse.BooleanOptionalAction}
    union = isinstance(field.type, types.UnionType)
    for kind in typing.get_args(field.type) if union else [field.type]:
        if typing.get_origin(kind) is tuple:
            first, *rest = typing.get_args(kind)
            words |= {"type": first, "nargs": "+" if rest == [...] else 1 + len(rest)}
        elif kind is not type(None):
            words["type"] = kind
    choices = field.metadata["choices"]
    return words | ({"choices": choices} if choices else {"metavar": METAVARS[words["type"]]})


def config_from(given: dict) -> Config:
    """The configuration from parsed options; others among them are left alone."""
    values = {f.name: given[f.name] for f in dataclasses.fields(Config)}
    for name in PAIRS:
        values[name] = dict(values[name])
    if isinstance(values["size"], list) and len(values["size"]) == 1:
        values["size"] = values["size"][0]
    return Config(**values)


def options_of(config: Config) -> list[str]:
    """The options that give a configuration: those of the fields that are not as by default.

    >>> options_of(Config(steps=200, crop=True, size=(8, 64, 64), decoder={"min_size": 20}))
    ['--size', '8', '64', '64', '--crop', '--steps', '200', '--decoder', 'min_size=20']
    """
    words = []
    for field in dataclasses.fields(Config):
        value, default = getattr(config, field.name), getattr(Config(), field.name)
        option = f"--{field.name.replace('_', '-')}"
        if value == default:
            continue
        if field.name in PAIRS:
            pairs = ((key, v if isinstance(v, str) else json.dumps(v)) for key, v in value.items())
            words += [word for key, v in pairs for word in (PAIRS[field.name], f"{key}={v}")]
        elif field.type is bool:
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, *map(str, value if isinstance(value, tuple) else [value])]
    return words


def key_and_value(text: str) -> tuple[str, object]:
    """What stands on either side of ``=``; numbers and true and false are read as such.

    >>> key_and_value("background=0"), key_and_value("path=a=b")
    (('background', 0), ('path', 'a=b'))
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"found {text!r}; give KEY=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def run(parsed: argparse.Namespace) -> int:
    record = train(config_from(vars(parsed)), parsed.folder, device=parsed.device, compiled=parsed.compiled)
    if processes.first():
        print("\n".join(_told(record, parsed.folder)))
    return 0


def _told(record: dict, folder: str) -> Iterator[str]:
    """What came of a training, where its pictures are, and what to do next."""
    took, kept = f"{record['steps']} steps in {record['seconds']} s", record["kept"]
    yield f"{folder}: {took}; the weights are those of step {kept['step']}"
    if kept["score"] is not None:
        sparse = record["config"]["dataset"] == "folder" and record["data"]["annotated_pixels"] < 1
        measure = "best Dice of the labelled objects, or SBD where all are" if sparse else "SBD"
        yield f"score of {len(record['held_out'])} images held out ({measure}): {kept['score']:.3f}"
    there = [name for name in ("curve.png", "held_out.jpg") if (Path(folder) / name).is_file()]
    yield f"pictures: {', '.join(str(Path(folder) / name) for name in there)}"
    quoted = shlex.quote(folder)
    yield f"next: python -m spoco_lite evaluate {quoted}"
    yield f"      python -m spoco_lite predict {quoted} IMAGES OUTPUT"
