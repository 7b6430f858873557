"""Records of trainings as lines of JSON, written whole or not at all."""

import json
from pathlib import Path

from spoco_lite.data.writing import whole


def read(path: Path) -> list[dict]:
    """The entries of a file; none if it is not there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def write(entries: list[dict], path: Path) -> None:
    """Replace the file by these entries.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> write([{"seed": 0}, {"seed": 1}], path)
    >>> read(path)
    [{'seed': 0}, {'seed': 1}]
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        temporary.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
