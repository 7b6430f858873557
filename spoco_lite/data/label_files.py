"""The label maps that prediction writes: TIFF files that say from what they were made."""

import hashlib
import json
from pathlib import Path

import numpy as np
import tifffile

from .writing import whole


def write_labels(
    path: Path, labels: np.ndarray, *, made_from: str, voxel_size: tuple[float, ...] | None = None
) -> None:
    """Write labels ``(*S)``, compressed, whole or not at all. ``made_from`` says of what: :func:`made_from` reads it.

    ``voxel_size``, micrometres along each axis, is written as Fiji reads it, where its format can hold the numbers: up
    to 65,535 objects, 2 GiB, and not one slice alone. Else programs still find the pixels per centimetre.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "leaf.tif"
    >>> write_labels(path, np.eye(3, dtype=np.uint16), made_from="a picture")
    >>> made_from(path)
    'a picture'
    """
    metadata = {"axes": "ZYX"[-labels.ndim :], "made_from": made_from}
    big = labels.nbytes > 1 << 31  # before compression, which may make it smaller, and may not
    options = {"compression": "zlib", "photometric": "minisblack", "bigtiff": big, "metadata": metadata}
    if voxel_size:
        fiji = labels.dtype == np.uint16 and not big and labels.shape[:-2] != (1,)  # of one slice it makes an image
        unit, name = (1.0, "NONE") if fiji else (1e4, "CENTIMETER")
        options |= {"imagej": fiji, "resolution": tuple(unit / s for s in voxel_size[:-3:-1]), "resolutionunit": name}
        metadata |= {"unit": "um"} | ({"spacing": voxel_size[0]} if labels.ndim == 3 else {})
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
            about = file.imagej_metadata if file.is_imagej else json.loads(file.pages.first.description or "{}")
            note = about.get("made_from")
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
