"""``python -m spoco_lite train``: every field of the configuration is an option."""

import argparse
import dataclasses
import json
from collections.abc import Iterable

from ..training.config import Config
from ..training.loop import train

# How many numbers an option takes, where it is not one.
SEVERAL = {"size": "+", "widths": "+", "zoom": "+", "scale": 2, "unit": "+"}
PAIRS = {  # fields that hold several options of something else
    "data_options": ("--data-option", "of the data set's reader, such as path=leaves or background=0"),
    "loss_options": ("--loss-option", "of SpocoLoss, such as anchor=pixel"),
    "decoder": ("--decoder", "of the decoder in validation, such as min_size=20"),
}


def add_arguments(commands) -> None:
    parser = commands.add_parser("train", help="train a run, or go on with one that was stopped")
    parser.add_argument("folder", help="where the run is kept, for example runs/cvppp-10")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: cuda if there is one, else cpu")
    parser.add_argument("--compiled", action="store_true", help="run the network through torch.compile")
    add_config_arguments(parser)


def add_config_arguments(parser: argparse.ArgumentParser, *, without: Iterable[str] = ()) -> None:
    """An option for each field of :class:`Config`, but for those named."""
    for field in dataclasses.fields(Config):
        if field.name in without:
            continue
        if field.name in PAIRS:
            option, help = PAIRS[field.name]
            parser.add_argument(
                option,
                dest=field.name,
                action="append",
                type=key_and_value,
                default=[],
                metavar="KEY=VALUE",
                help=f"{help}; may be given several times",
            )
            continue
        kind = {"type": field_type(field.name), "nargs": SEVERAL.get(field.name)}
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", default=field.default, help=f"default: {field.default}", **kind
        )


def field_type(name: str) -> type:
    """The type of one number or word of a field.

    >>> field_type("steps"), field_type("scale"), field_type("dataset")
    (<class 'int'>, <class 'float'>, <class 'str'>)
    """
    kinds = {"number": int, "size": int, "widths": int, "zoom": float, "scale": float, "unit": float}
    return kinds.get(name) or next(f.type for f in dataclasses.fields(Config) if f.name == name)


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
            words += [word for key, v in pairs for word in (PAIRS[field.name][0], f"{key}={v}")]
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
    kept = record["kept"]["step"]
    print(f"{parsed.folder}: {record['steps']} steps in {record['seconds']} s; the weights are those of step {kept}")
    return 0
