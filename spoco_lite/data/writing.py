"""Files that are written whole or not at all: a reader, or the next start after a kill, never meets half of one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
