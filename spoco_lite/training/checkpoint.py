"""The checkpoint of a run: written whole or not at all, read without unpickling, and refused if it is another run's."""

import csv
import io
import json
from pathlib import Path

import torch

from ..data.writing import whole
from ..results.runs import of_today

NAME = "checkpoint.pt"


def write_checkpoint(state: dict, folder: Path) -> None:
    """Write the state beside the old one, then put it in its place: a kill leaves one that is whole.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_checkpoint({"config": {"seed": 1}, "step": 5}, folder)
    >>> read_checkpoint(folder, {"seed": 1}, "cpu")["step"]
    5
    """
    with whole(folder / NAME) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # what PyTorch makes of a full disk
            reason = str(error).splitlines()[0]
            raise OSError(f"{folder / NAME}: could not be written ({reason}); is the disk full?") from error


def read_checkpoint(folder: Path, config: dict, device: torch.device | str) -> dict | None:
    """The state that was written last, or None. Only ``steps`` may differ from this configuration.

    Raises ValueError for a file that cannot be read, and for the checkpoint of another configuration.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        state = of_today(state)
        there = dict(state["config"])
    except OSError:
        raise
    except Exception as error:  # whatever PyTorch makes of a damaged file, or of one that something else wrote
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path}: not a readable checkpoint ({reason}); delete it to start again") from error
    changed = different(there, config)
    if changed - {"steps"}:
        listed = ", ".join(f"{key} was {there.get(key)!r}, is now {config.get(key)!r}" for key in sorted(changed))
        raise ValueError(f"{path}: belongs to another configuration ({listed}). Take another folder, or delete it.")
    return state


def different(a: dict, b: dict) -> set[str]:
    """The names of what differs between two configurations; NaN is the same as NaN.

    >>> different({"seed": 1, "decoder": {"x": float("nan")}}, {"seed": 2, "decoder": {"x": float("nan")}})
    {'seed'}
    """
    return {key for key in a.keys() | b.keys() if json.dumps(a.get(key)) != json.dumps(b.get(key))}


def write_table(rows: list[dict], path: Path) -> None:
    """Write the entries of a curve as CSV; a value that an entry lacks stays empty.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> write_table([{"step": 1}, {"step": 2, "score_g": 0.5}], path)
    >>> path.read_text().split()
    ['step,score_g', '1,', '2,0.5']
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    with whole(path) as temporary:
        temporary.write_text(text.getvalue())
