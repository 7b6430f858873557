"""Ctrl-C between two steps instead of within one."""

import signal
import threading


class Interrupts:
    """Within ``with Interrupts() as interrupts:`` the first Ctrl-C only sets ``interrupts.asked``; a second one stops.

    Outside the main thread, where Python delivers no signals, it does nothing.

    >>> with Interrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupts.asked
    True
    """

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "Interrupts":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *error) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
