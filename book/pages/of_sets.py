"""The table of the data sets, from data/cards/cards.json, which book/make_cards.py measures on the files themselves."""

import json
from pathlib import Path

from tables import frame, markdown


def sets(data: Path) -> str:
    """A row for each set: what is in its splits."""
    cards = json.loads((data / "cards" / "cards.json").read_text())
    columns = {
        "Set": lambda name: f"`{name}`",
        "Images": lambda name: ", ".join(f"{split} {card['samples']}" for split, card in cards[name].items()),
        "Objects": lambda name: ", ".join(f"{card['objects']:,}" for card in cards[name].values()),
        "Size": lambda name: size([shape for card in cards[name].values() for shape in card["shape"]]),
        "Pixels of objects": lambda name: span([f"{card['object_share']:.0%}" for card in ranked(cards[name])]),
    }
    return markdown(frame(cards, columns))


def ranked(splits: dict) -> list[dict]:
    """The splits with the smallest and with the largest share of object pixels."""
    order = sorted(splits.values(), key=lambda card: card["object_share"])
    return [order[0], order[-1]]


def size(shapes: list[list[int]]) -> str:
    """The smallest and the largest image.

    >>> size([[256, 256], [360, 360]]), size([[24, 64, 64], [24, 64, 64]])
    ('256 x 256 to 360 x 360', '24 x 64 x 64')
    """
    return span([" x ".join(map(str, shape)) for shape in (min(shapes), max(shapes))])


def span(ends: list[str]) -> str:
    return " to ".join(dict.fromkeys(ends))


MAKERS = (sets,)
