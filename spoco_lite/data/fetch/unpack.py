"""Unpack an archive that one does not trust: nothing outside the folder, no links, no bombs."""

import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 4 * 2**30  # several times the largest set that is fetched
MAX_FILES = 100_000
_BLOCK = 1 << 20


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    members: tuple[str, str] = (r"(.+)", r"\1"),
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> list[Path]:
    """Write the regular files of a zip or tar archive (plain, gz, bz2, xz) into a folder; returns their paths.

    Contents alone are written: no owner, no mode, no date, and never over a file that is there. An archive is refused
    as a whole if any member, wanted or not, is a link or a device or would lie outside the folder. The limits count
    what is written while it is written, because the sizes in an archive's headers are claims.

    Parameters
    ----------
    members : regular expression that a wanted member's whole name matches, and the path that it gets.
    max_bytes, max_files : limits for all files together.

    Raises
    ------
    ValueError
        names the archive and the member; the folder may then hold files of the members before it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with zipfile.ZipFile(f"{place}/a.zip", "w") as out:
    ...         out.writestr("stack/raw/00.tif", b"image")
    ...     [path.relative_to(place).as_posix() for path in unpack(f"{place}/a.zip", f"{place}/b")]
    ['b/stack/raw/00.tif']
    """
    archive, folder = Path(archive), Path(folder)
    pattern, written, total, seen = re.compile(members[0]), [], 0, 0
    try:
        for name, kind, opener in _members(archive):
            _check(name, kind)
            if kind == "folder":
                continue
            seen += 1
            if seen > max_files:
                raise ValueError(f"more than {max_files} files")
            match = pattern.fullmatch(name)
            if not match:
                continue
            wanted = match.expand(members[1])
            _check(wanted, kind)
            path = folder / wanted
            path.parent.mkdir(parents=True, exist_ok=True)
            with opener() as source, open(path, "xb") as target:
                while block := source.read(_BLOCK):
                    total += len(block)
                    if total > max_bytes:
                        raise ValueError(f"{name}: unpacks to more than {max_bytes} bytes in all")
                    target.write(block)
            written.append(path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ValueError(f"{archive}: refused, {name} is there twice, or is file and folder at once") from error
    except _UNREADABLE as error:
        if getattr(error, "errno", None) is not None:  # the disk's fault, not the archive's
            raise
        raise ValueError(f"{archive}: not a readable zip or tar archive ({error})") from error
    except ValueError as error:
        raise ValueError(f"{archive}: refused, {error}") from error
    if not written:
        raise ValueError(f"{archive}: none of its {seen} files matches {members[0]!r}; not the archive expected")
    return written


# RuntimeError: an encrypted member, or a compression that zipfile lacks. OSError: damaged gzip and bzip2 data.
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, OSError)


def _members(archive: Path) -> Iterator[tuple[str, str, Callable[[], IO[bytes]]]]:
    """Name, kind ("file", "folder", or what else it is) and opener of each member."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                mode = info.external_attr >> 16  # 0 where the archive was not made on Unix
                kind = "folder" if info.is_dir() else "file"
                if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    kind = "link" if stat.S_ISLNK(mode) else "device"
                yield info.filename, kind, lambda info=info: opened.open(info)
    else:
        with tarfile.open(archive) as opened:
            for info in opened:
                kind = "file" if info.isreg() else "folder" if info.isdir() else "device"
                if info.issym() or info.islnk():
                    kind = "link"
                yield info.name, kind, lambda info=info: opened.extractfile(info)
            while opened.fileobj.read(_BLOCK):  # to the end, where gzip keeps its checksum
                pass


def _check(name: str, kind: str) -> None:
    """Refuse a member that is no plain file or folder, or whose name leads out of the folder on any system."""
    if kind not in ("file", "folder"):
        raise ValueError(f"{name!r} is a {kind}")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or set(name) & set("\\:\0"):
        raise ValueError(f"{name!r} would lie outside the folder")
