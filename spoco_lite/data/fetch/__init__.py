"""Fetch open data sets from their owners' addresses, and keep a record of checksums to compare with.

They go to the folder that ``$SPOCO_DATA`` names, or else to the user's cache (``pooch.os_cache("spoco-lite")``), where
:func:`spoco_lite.data.paths.find` looks too. A set appears there when it is complete, and not before. Beside its
folder stands a record, ``<name>.sha256``: a comment for every address with the checksum of what came from there, and
a line for every file, so that ``sha256sum -c <name>.sha256`` works.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pooch
import requests

from ..paths import find
from .sources import SOURCES, File, Source

_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def target() -> Path:
    """The folder that fetched data sets go to."""
    return Path(os.environ.get("SPOCO_DATA") or pooch.os_cache("spoco-lite"))


def source(name: str) -> Source:
    """What is known about a data set; ValueError for an unknown name.

    >>> source("vnc").terms
    'CC BY-NC-SA 3.0'
    """
    if name not in SOURCES:
        raise ValueError(f"data set: found {name!r}; known are {', '.join(sorted(SOURCES))}")
    return SOURCES[name]


def advice(name: str) -> str:
    """One sentence on how to get a data set: the command, or where to register.

    >>> advice("vnc")
    'Fetch it: python -m spoco_lite data fetch vnc'
    """
    what = source(name)
    if what.files:
        return f"Fetch it: python -m spoco_lite data fetch {name}"
    if what.how is None:
        return f"{name} comes with this project: nothing to fetch"
    return f"{what.how} As things are, it would be looked for in {target() / name}."


def where(name: str) -> Path | None:
    """The folder of a data set on this computer; None if it is not there.

    >>> where("rosettes").name
    'rosettes'
    """
    try:
        return find(name, how=advice(name))
    except FileNotFoundError:
        return None


def fetch(name: str, *, timeout: float = 30.0) -> Path:
    """Download and unpack a data set; returns its folder. One that is there already is left as it is.

    Of a set that was stopped on its way, the files that are complete are not downloaded again.

    Parameters
    ----------
    timeout
        seconds without a byte after which a connection counts as broken.

    Raises
    ------
    ValueError
        no such set, none to download, or a checksum that differs.
    ConnectionError, PermissionError, OSError
        no network or a broken transfer; no write permission; a full disk. Each says what to do.
    """
    if not source(name).files:
        raise ValueError(advice(name))
    if found := where(name):
        return found
    root = target()
    staging, folder, record = root / ".fetching" / name, root / name, root / f"{name}.sha256"
    with _plain_errors(root):
        staging.mkdir(parents=True, exist_ok=True)
        new = staging / "unpacked"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        before, came, paths = _addresses(record), {}, []
        for file in source(name).files:
            path = _retrieve(file, staging, before.get(file.url), record, timeout)
            came[file.url] = pooch.file_hash(str(path))
            paths.append(path)
        for file, path in zip(source(name).files, paths):
            if file.members:
                unpack(path, new, *file.members)
            else:
                shutil.copyfile(path, new / path.name)  # the download stays until all is done
        lines = [f"# {digest}  {url}\n" for url, digest in came.items()]
        for path in sorted(p for p in new.rglob("*") if p.is_file()):
            lines.append(f"{pooch.file_hash(str(path))}  {name}/{path.relative_to(new).as_posix()}\n")
        written = staging / record.name
        written.write_text("".join(lines), encoding="utf-8")
        os.replace(written, record)
        os.replace(new, folder)
        shutil.rmtree(staging)
        with contextlib.suppress(OSError):  # another set may be on its way
            staging.parent.rmdir()
    return folder


def changed(name: str, folder: Path) -> list[str] | None:
    """Files of a fetched set that are missing or differ from its record; None if there is no record."""
    record = folder.parent / f"{name}.sha256"
    if not record.is_file():
        return None
    wrong = []
    for line in record.read_text(encoding="utf-8").splitlines():
        digest, path = line.split("  ", 1)
        if digest.startswith("#"):
            continue
        full = folder.parent / path
        if not full.is_file():
            wrong.append(f"{path}: missing")
        elif pooch.file_hash(str(full)) != digest:
            wrong.append(f"{path}: changed")
    return wrong


def _retrieve(file: File, folder: Path, before: str | None, record: Path, timeout: float) -> Path:
    """One file, by pooch, checked against the known checksum, else against that of an earlier fetch."""
    pooch.get_logger().setLevel(logging.WARNING)  # the command line says it
    earlier = f"that of an earlier fetch (to trust the new file, delete {record})"
    known, by = (file.sha256, "the known one") if file.sha256 else (before, earlier)
    loader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=timeout)
    try:
        path = pooch.retrieve(file.url, known and f"sha256:{known}", file.name, folder, downloader=loader)
    except requests.RequestException as error:
        raise ConnectionError(
            f"{file.url}: no connection, or a broken one. Check the network and the proxy, and give the same command "
            f"again; without a network, download it elsewhere (book, page Data sets). Reason: {error}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{file.url}: the SHA-256 of what came differs from {by}: {known}. Nothing was kept. Fetch again; if it "
            "differs again, the owner has replaced the file: get it by hand, as the book's page Data sets says."
        ) from error
    return Path(path)


def unpack(archive: Path, folder: Path, wanted: str, place: str) -> None:
    r"""From a zip file that a checksum vouches for, the members that a regular expression matches, each to its place.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(root / "a.zip", "w") as archive:
    ...     archive.writestr("main/stack/00.tif", b"image")
    >>> unpack(root / "a.zip", root, r"main/(stack/.+)", r"\1")
    >>> (root / "stack/00.tif").read_bytes()
    b'image'
    """
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            match = re.fullmatch(wanted, member.filename)
            if match and not member.is_dir():
                path = folder / match.expand(place)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(opened.read(member))


def _addresses(record: Path) -> dict[str, str]:
    """Checksums by address from the record of an earlier fetch."""
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    return {url: digest for digest, url in (x[2:].split("  ", 1) for x in lines if x.startswith("# "))}


@contextlib.contextmanager
def _plain_errors(root: Path) -> Iterator[None]:
    """Say in plain words that a folder cannot be written to or that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_PERMISSION:
            raise PermissionError(
                f"{root}: cannot write there ({error}). Set SPOCO_DATA to a folder of yours and repeat the command."
            ) from error
        if error.errno in _FULL:
            raise OSError(
                f"{root}: the disk is full ({error}). Make room, or set SPOCO_DATA to a folder on another disk; the "
                "same command goes on."
            ) from error
        raise
