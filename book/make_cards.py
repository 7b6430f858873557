"""Measure every data set that is on this computer, and draw those whose terms allow it: python book/make_cards.py

Writes data/cards/cards.json, which the chapter *The data* shows, and data/cards/<card>.jpg; a set that is not here
keeps the card that it has. A set of which two targets can be loaded has two cards. Where the pictures come from, and
under which terms, says data/cards/README.md: no set without redistribution may be added to ``PICTURES``.
"""

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from spoco_lite import data
from spoco_lite.data.paths import shipped
from spoco_lite.data.sample import Sample
from spoco_lite.show.plot import panels, show_labels

CARDS = {name: (name, {}) for name in data.DATASETS if name not in ("folder", "ovules")}
CARDS |= {"ovules": ("ovules", {"target": "nuclei"}), "ovules-cells": ("ovules", {"target": "cells"})}
"""The cards: a data set, and the options with which it is loaded."""

PICTURES = {  # split, positions in it, and for a volume how deep the slice lies
    "rosettes": ("train", (0, 12), None),
    "cells3d": ("train", (0,), 0.5),
    "bbbc038": ("train", (1, 90), None),
    "bbbc050": ("train", (0, 8), 0.5),
    "ovules": ("train", (0,), 0.5),
    "ovules-cells": ("test", (0,), 0.5),
    "vnc": ("test", (0,), 0.5),
}
MAX_BYTES = 32_000  # of a picture


def measure(samples: Iterable[Sample]) -> dict:
    """What a card says about one split; each sample is read once.

    Returns
    -------
    dict
        samples, objects; channels; shape, the smallest and the largest length of each axis in pixels; voxel_size in
        um, of each axis the smallest and the largest, None if unknown; object_share and unlabelled_share of all
        pixels; objects_per_image and object_pixels, each smallest, median, largest.
    """
    shapes, voxels, counts, sizes, channels = [], [], [], [], set()
    unlabelled = 0
    for sample in samples:
        ids, pixels = np.unique(sample.labels, return_counts=True)
        shapes.append(sample.labels.shape)
        channels.add(len(sample.image))
        voxels.append(sample.voxel_size)
        counts.append(int((ids > 0).sum()))
        sizes.extend(pixels[ids > 0].tolist())
        unlabelled += int(pixels[ids < 0].sum())
    total = int(np.prod(shapes, axis=1, dtype=np.int64).sum())
    return {
        "samples": len(shapes),
        "objects": len(sizes),
        "channels": sorted(channels),
        "shape": _span(shapes),
        "voxel_size": None if None in voxels else np.round(_span(voxels), 6).tolist(),
        "object_share": round(sum(sizes) / total, 4),
        "unlabelled_share": round(unlabelled / total, 4),
        "objects_per_image": _spread(counts),
        "object_pixels": _spread(sizes),
    }


def _span(rows: list[tuple]) -> list[list]:
    """The smallest and the largest number of each axis."""
    return [np.min(rows, axis=0).tolist(), np.max(rows, axis=0).tolist()]


def _spread(values: list[int]) -> list[float]:
    return [min(values), float(np.median(values)), max(values)]


def card_of(card: str) -> dict:
    """Every split of a card whose files are all here, measured. Empty if there is none."""
    name, options = CARDS[card]
    measured = {}
    for split in data.SPLITS:
        try:
            measured[split] = measure(data.load(name, split, **options))
        except FileNotFoundError:
            continue  # the set, or this split of it, is not on this computer
        except ValueError as error:
            if not str(error).startswith("split: "):  # the set has no such split
                raise
    return measured


def draw(card: str) -> bytes:
    """A JPEG of at most ``MAX_BYTES``: image and objects, side by side, of one or two samples."""
    (name, options), (split, positions, depth) = CARDS[card], PICTURES[card]
    samples = data.load(name, split, **options)
    images, titles, maps = [], [], []
    for sample in (samples[position] for position in positions):
        z = () if depth is None else (int(depth * len(sample.labels)),)
        image, labels = sample.image[(slice(None), *z)], sample.labels[z]
        images += [image, image]
        maps += [None, labels]
        titles += ["image" if depth is None else f"image, slice {z[0]}", "objects"]
    axes = panels(images, titles, width=2.3)
    for ax, labels, image in zip(axes, maps, images):
        if labels is not None:
            show_labels(ax, labels, image)
    for quality in range(85, 20, -5):
        file = BytesIO()
        axes[0].figure.savefig(file, format="jpg", dpi=110, pil_kwargs={"quality": quality, "optimize": True})
        if file.tell() <= MAX_BYTES:
            break
    plt.close(axes[0].figure)
    return file.getvalue()


def write(folder: Path) -> None:
    """Renew cards.json and the pictures in a folder, of what is on this computer."""
    path = folder / "cards.json"
    cards = json.loads(path.read_text()) if path.is_file() else {}
    for card in CARDS:
        measured = card_of(card)
        if not measured:
            print(f"{card}: not here, its card stays as it is")
            continue
        cards[card] = measured
        if card in PICTURES:
            (folder / f"{card}.jpg").write_bytes(draw(card))
        print(f"{card}: {', '.join(measured)}")
    lines = {
        card: ",\n".join(f'  "{split}": {json.dumps(measured)}' for split, measured in splits.items())
        for card, splits in sorted(cards.items())
    }
    path.write_text("{\n" + ",\n".join(f' "{card}": {{\n{text}\n }}' for card, text in lines.items()) + "\n}\n")


if __name__ == "__main__":
    write(shipped() / "cards")
