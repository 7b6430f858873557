"""Write the table of data sets between the markers of a page: python book/make_sets.py FILE...

The numbers come from data/cards/cards.json, which book/make_cards.py measures on the files themselves.
"""

import json
import sys
from pathlib import Path

from make_results import fill_markers, table

CARDS = Path(__file__).resolve().parents[1] / "data" / "cards" / "cards.json"


def span(values: list[list[int]]) -> str:
    """The smallest and the largest size, axis by axis.

    >>> span([[256, 256], [360, 360]]), span([[24, 64, 64], [24, 64, 64]])
    ('256-360 x 256-360', '24 x 64 x 64')
    """
    low, high = values
    return " x ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(low, high))


def sets(cards: dict) -> str:
    header = [
        "Set",
        "Split",
        "Images",
        "Objects",
        "Size",
        "Voxel in µm",
        "Pixels of objects",
        "Objects in an image",
    ]
    rows = []
    for name, splits in cards.items():
        for split, card in splits.items():
            voxel = " x ".join(f"{v:.4g}" for v in card["voxel_size"][0]) if card["voxel_size"] else ""
            low, median, high = card["objects_per_image"]
            counts = [f"{card['object_share']:.0%}", f"{low} to {high}, median {median:g}"]
            sizes = [str(card["samples"]), str(card["objects"]), span(card["shape"]), voxel]
            rows.append([f"`{name}`", split, *sizes, *counts])
    return table(header, rows)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill_markers(file.read_text(), {"sets": sets(json.loads(CARDS.read_text()))}))
