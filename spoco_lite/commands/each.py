"""One bad file must not end a folder: what is wrong with it is said, and the others are done."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Thing = TypeVar("Thing")


def each(things: Iterable[Thing], work: Callable[[Thing], int | None], *, path: Path | None = None) -> int:
    """Do it for each; returns how many went wrong. ``work`` may return how many did inside it.

    Things are paths, or parts of the file at ``path``.

    >>> each([Path("a.png"), Path("b.png")], lambda path: print(path.stem))
    a
    b
    0
    """
    wrong = 0
    for thing in things:
        try:
            wrong += work(thing) or 0
        except Exception as error:  # of whatever kind
            wrong += 1
            print(f"error: {in_words(error, path or thing)}", file=sys.stderr)
    return wrong


def in_words(error: Exception, path: Path) -> str:
    """What an error says, with the file if it does not name it, and with its kind if it is none of ours.

    >>> in_words(ValueError("images/a.png: is empty"), Path("images/a.png"))
    'images/a.png: is empty'
    >>> in_words(RuntimeError("out of memory"), Path("images/a.png"))
    'images/a.png: RuntimeError: out of memory'
    """
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return f"{kind}{error}" if str(path.parent) in str(error) else f"{path}: {kind}{error}"
