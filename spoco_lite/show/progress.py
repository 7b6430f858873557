"""How far a long work is: a bar where somebody watches, a line a minute where the output goes to a file or a pipe."""

import sys
import time
from collections.abc import Callable

from tqdm.auto import tqdm

EVERY = 60.0  # seconds between two lines


def watched() -> bool:
    """Whether a person sees the output as it comes: a terminal, or a notebook."""
    ipython = sys.modules.get("IPython")  # loaded, and running this program?
    return sys.stderr.isatty() or (ipython is not None and ipython.get_ipython() is not None)


class Lines:
    """What :class:`tqdm.tqdm` is in a terminal, for a file: the same calls, a line a minute at most and one at the end.

    >>> clock = iter([0, 30, 61, 62, 80, 300])
    >>> with Lines(total=100, desc="run", unit="step", say=print, clock=lambda: next(clock)) as lines:
    ...     for _ in range(4):
    ...         lines.update(10)
    run: 20 of 100 steps, 1 min
    run: 40 of 100 steps, 5 min
    """

    def __init__(
        self, *, total: int, initial: int = 0, desc: str, unit: str, say: Callable | None = None, clock=time.monotonic
    ):
        self.total, self.done, self.desc, self.unit = total, initial, desc, unit
        self.say, self.clock, self.note = say or _to_stderr, clock, ""
        self.start = self.said = clock()
        self.silent = False  # has something been done since the last line?

    def update(self, count: int = 1) -> None:
        self.done += count
        self.silent = True
        now = self.clock()
        if now - self.said >= EVERY:
            self._line(now)

    def _line(self, now: float) -> None:
        self.said, self.silent = now, False
        minutes = f"{(now - self.start) / 60:.0f} min"
        self.say(f"{self.desc}: {self.done} of {self.total} {self.unit}s, {minutes}{self.note}")

    def set_postfix(self, values: dict) -> None:
        self.note = "".join(f", {name} {value}" for name, value in values.items())

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_) -> None:
        if self.silent:
            self._line(self.clock())


def progress_of(*, total: int, initial: int = 0, desc: str, unit: str, shown: bool = True):
    """A bar, or :class:`Lines`, or if not ``shown`` nothing; a context with ``update`` and ``set_postfix``.

    >>> with progress_of(total=2, desc="images", unit="image", shown=False) as bar:
    ...     bar.update()
    """
    if shown and not watched():
        return Lines(total=total, initial=initial, desc=desc, unit=unit)
    return tqdm(total=total, initial=initial, desc=desc, unit=unit, disable=not shown)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
