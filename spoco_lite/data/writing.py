"""Files that are written whole or not at all, and by one process at a time.

A reader, or the next start after a kill, never meets half of a file.
"""

import datetime
import json
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import DTypeLike


@contextmanager
def whole(path: str | Path, *, mark: object = "") -> Iterator[Path]:
    """A name beside ``path`` to write to; what stands there at the end of the block takes the place of ``path``.

    After an error ``path`` is as it was. Processes that write one path at the same time each need a ``mark``, their
    number for example; the last one stays.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with whole(path) as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> path.read_text(), [p.name for p in path.parent.iterdir()]
    ('all of it', ['note.txt'])
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}{mark}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class InUse(ValueError):
    """Another process works here."""


@contextmanager
def alone(lock: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Only one process at a time is within this block. ``lock`` is a file that is there as long as the block lasts.

    The lock is the operating system's: after a kill it is free again, and it holds on network folders whose server
    knows locks. If another process has it, ``wait`` for it; else :class:`InUse`, a ValueError, says who that is.

    >>> import tempfile
    >>> lock = Path(tempfile.mkdtemp()) / ".lock"
    >>> with alone(lock):
    ...     lock.is_file()
    True
    >>> lock.is_file()
    False
    """
    lock = Path(lock)
    held = FileLock(lock, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout:
        who = ""
        with suppress(OSError):  # it may end just now
            who = lock.read_text(encoding="utf-8")
        raise InUse(
            f"{lock.parent}: {who or 'another process'} works here; wait until it is done, or stop it"
        ) from None
    try:
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        lock.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {now},", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            lock.unlink()  # while it is held: whoever waits for this very file sees that it is gone, and tries again
        held.release()


def new_memmap(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap:
    """A new npy file of zeros, mapped into memory, with all its room on the disk: an OSError if there is too little.

    Without that a map whose disk is full ends the process, with no message.

    >>> import tempfile
    >>> new_memmap(Path(tempfile.mkdtemp()) / "labels.npy", (2, 3), np.uint32).sum()
    np.uint64(0)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with path.open("wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        if hasattr(os, "posix_fallocate"):
            file.flush()
            os.posix_fallocate(file.fileno(), start, size)
        else:
            for at in range(0, size, 1 << 20):
                file.write(bytes(min(1 << 20, size - at)))
    return np.lib.format.open_memmap(path, mode="r+")


def write_json(path: str | Path, record: dict) -> None:
    """Write a record as JSON.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.json"
    >>> write_json(path, {"steps": 5})
    >>> json.loads(path.read_text())
    {'steps': 5}
    """
    with whole(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def same_settings(path: Path, settings: dict, what: str) -> None:
    """Write what decides the files of a folder into one of them, or compare it with what decided those that are there.

    ``what`` is the name of the files; ValueError, which says what differs, if they were made otherwise.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "settings.json"
    >>> same_settings(path, {"tile": 64}, "tiles")
    >>> same_settings(path, {"tile": 64}, "tiles")
    """
    if not path.is_file():
        return write_json(path, settings)
    before = json.loads(path.read_text())
    other = ", ".join(key for key in settings if before.get(key) != settings[key])
    if other:
        raise ValueError(f"{path.parent}: holds {what} of another {other}; delete it, or give another folder")
