"""Where data are looked for: ``$SPOCO_DATA``, what the project ships, the user's cache."""

import os
from pathlib import Path

import pooch

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped() -> Path:
    """The folder of what ships with the project: split files and recorded runs.

    In a checkout it is ``data/`` beside the module; in an installed package it lies inside the module.

    >>> (shipped() / "splits").is_dir()
    True
    """
    checkout = _PACKAGE.parent / "data"
    return checkout if (checkout / "splits").is_dir() else _PACKAGE / "shipped"


def find(folder: str, *, how: str) -> Path:
    """The first existing folder of that name; ``how`` is the advice in the FileNotFoundError if there is none.

    >>> find("rosettes", how="It ships with the project.").name
    'rosettes'
    """
    places = [shipped() / folder, Path(pooch.os_cache("spoco-lite")) / folder]
    if "SPOCO_DATA" in os.environ:
        places.insert(0, Path(os.environ["SPOCO_DATA"]) / folder)
    for place in places:
        if place.is_dir():
            return place
    looked = "\n  ".join(str(p) for p in places)
    raise FileNotFoundError(f"no folder {folder!r}. Looked at\n  {looked}\n{how}")
