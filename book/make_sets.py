"""Write the table of data sets between the markers of a page: python book/make_sets.py FILE...

The numbers come from data/cards/cards.json, which book/make_cards.py measures on the files themselves.
"""

import json
import sys
from pathlib import Path

from make_results import fill_markers, table

CARDS = Path(__file__).resolve().parents[1] / "data" / "cards" / "cards.json"


def size(shapes: list[list[int]]) -> str:
    """The smallest and the largest image.

    >>> size([[256, 256], [360, 360]]), size([[24, 64, 64], [24, 64, 64]])
    ('256 x 256 to 360 x 360', '24 x 64 x 64')
    """
    ends = [" x ".join(map(str, shape)) for shape in (min(shapes), max(shapes))]
    return " to ".join(dict.fromkeys(ends))


def sets(cards: dict) -> str:
    header = ["Set", "Images", "Objects", "Size", "Pixels of objects"]
    rows = []
    for name, splits in cards.items():
        shares = [card["object_share"] for card in splits.values()]
        rows.append(
            [
                f"`{name}`",
                ", ".join(f"{split} {card['samples']}" for split, card in splits.items()),
                ", ".join(f"{card['objects']:,}" for card in splits.values()),
                size([shape for card in splits.values() for shape in card["shape"]]),
                " to ".join(dict.fromkeys(f"{share:.0%}" for share in (min(shares), max(shares)))),
            ]
        )
    return table(header, rows)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill_markers(file.read_text(), {"sets": sets(json.loads(CARDS.read_text()))}))
