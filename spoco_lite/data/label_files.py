"""The label maps that prediction writes: TIFF files that say from what they were made."""

import hashlib
import json
from pathlib import Path

import numpy as np
import tifffile

from .writing import whole


def write_labels(path: Path, labels: np.ndarray, *, made_from: str) -> None:
    """Write labels ``(*S)``, compressed, whole or not at all. ``made_from`` says of what: :func:`made_from` reads it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "leaf.tif"
    >>> write_labels(path, np.eye(3, dtype=np.uint16), made_from="a picture")
    >>> made_from(path)
    'a picture'
    """
    options = {
        "compression": "zlib",
        "photometric": "minisblack",
        "bigtiff": labels.nbytes > 1 << 31,  # before compression, which may make it smaller, and may not
        "metadata": {"axes": "ZYX"[-labels.ndim :], "made_from": made_from},
    }
    with whole(path) as temporary:
        tifffile.imwrite(temporary, labels, **options)


def made_from(path: Path) -> str | None:
    """From what a label map was made; None if the file is missing or not whole.

    Raises ValueError for a TIFF that :func:`write_labels` did not write, or that was saved again since.

    >>> made_from(Path("nowhere.tif")) is None
    True
    """
    if not path.is_file():
        return None
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as file:
            ends = (np.add(page.dataoffsets, page.databytecounts).max() for page in file.pages)
            note = json.loads(file.pages.first.description or "{}").get("made_from")
            if max(ends) > size or len(file.pages) < (file.series[0].shape[0] if len(file.series[0].shape) == 3 else 1):
                return None
    except json.JSONDecodeError:
        note = None
    except Exception:  # whatever tifffile makes of a damaged file
        return None
    if note is None:
        raise ValueError(
            f"{path}: not written by this command, or changed since; move it away, or give another folder for output"
        )
    return note


def checksum(path: str | Path) -> str:
    """The SHA-256 of a file, or of all files of a folder (zarr) with their names.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> _ = path.write_text("abc")
    >>> checksum(path)[:8], checksum(path.parent)[:8]
    ('ba7816bf', 'df312bf8')
    """
    path, digest = Path(path), hashlib.sha256()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: a pipe or a device; give a file")  # to read it could take for ever
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        if file != path:
            digest.update(f"{file.relative_to(path)}\n".encode())
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()
