"""``data check FOLDER``: what a folder of one's own images holds, its traps, and the command to train with."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.survey import Survey, survey
from ..data.traps import traps
from ..results.runs import load_run, recorded_runs
from ..training.advice import propose, steps_in
from .train import options_of

SHOWN = 12  # images that are listed


def check_folder(path: Path, options: dict, *, minutes: float) -> int:
    """Print all of it; returns the exit code, 1 if an image cannot be read."""
    unknown = ", ".join(set(options) - {"background", "unlabeled", "stretch"})
    if unknown:
        raise ValueError(f"--data-option: found {unknown}; known to check are background, unlabeled and stretch")
    found = survey(path, background=options.get("background"), unlabeled=options.get("unlabeled"))
    for error in found.errors:
        print(f"error: {error}")
    if found.images:
        _describe(found)
        for line in traps(found):
            print(f"! {line}")
    if found.errors or not found.images:
        print("not complete: see above")
        return 1
    config = propose(found, stretch=options.get("stretch"))
    if "train" not in found.splits():
        print("With a training split this goes on to propose a command.")
        return 1
    steps = steps_in(config, minutes)
    config = replace(config, steps=steps, validate_every=max(100, -(-steps // 4)), log_every=max(10, steps // 40))
    words = ["python", "-m", "spoco_lite", "train", f"runs/{path.resolve().name}", *options_of(config)]
    print(f"\nFor about {minutes:g} minutes on this machine:\n\n{_wrapped(words)}\n")
    _reached()
    return 0


def _describe(found: Survey) -> None:
    for split in found.splits():
        images = found.of(split)
        meanings = [
            f"{number[str(split)]} is {name}"
            for name, number in (("background", found.background), ("unlabelled", found.unlabeled))
            if str(split) in number
        ]
        print(f"{split or 'no split'}: {_counted(len(images), 'image')}; {', '.join(meanings) or 'all is object'}")
        for facts in images[:SHOWN]:
            shape, objects = " x ".join(map(str, facts.shape)), len(found.objects(facts))
            unlabelled, background = (found.share(facts, of) for of in (found.unlabeled, found.background))
            print(
                f"  {facts.name}: {shape}, {_counted(facts.channels, 'channel')}, {facts.dtype}, "
                f"up to {facts.high:.0%} of the range; {_counted(objects, 'object')}, "
                f"{unlabelled:.0%} unlabelled, {background:.0%} background"
            )
        if len(images) > SHOWN:
            print(f"  and {len(images) - SHOWN} more")
    extents = found.extents()
    if len(extents):
        low, middle, high = np.percentile(extents.mean(1), (5, 50, 95))
        touching = {(f.name, n) for f in found.images for pair in f.touching for n in pair if n in found.objects(f)}
        print(
            f"objects: median diameter {middle:.0f} pixels, nine in ten between {low:.0f} and {high:.0f}; "
            f"{len(touching)} of {len(extents)} touch another"
        )


def _reached() -> None:
    """What recorded trainings by the same recipe have reached, and after how long."""
    for name in recorded_runs():
        record = load_run(name)
        scores, data = record.get("scores", {}), record["data"]
        if record["config"].get("foreground") and scores:
            *_, way = scores
            mean = scores[way]["mean"]
            print(
                f"recorded: {name}, {data['annotated_objects']} of {data['objects']} objects in {data['images']} "
                f"images, {record['seconds'] / 60:.0f} minutes: SBD {mean['sbd']:.2f}, AP50 {mean['ap50']:.2f}"
            )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _wrapped(words: Sequence[str]) -> str:
    """A command in lines that a shell takes as one.

    >>> print(_wrapped(["train", "runs/cells", "--size", "128", "128", "--crop"]))
    train runs/cells \\
        --size 128 128 \\
        --crop
    """
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--") and lines[-1]:
            lines.append([])
        lines[-1].append(word)
    return " \\\n    ".join(shlex.join(line) for line in lines)
