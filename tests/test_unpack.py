"""Archives that try to leave the folder, to link, to burst, or that are damaged; and the ones that are wanted."""

import io
import stat
import tarfile
import zipfile

import pytest

from spoco_lite.data.fetch.unpack import unpack

FILES = {"root/raw/00.tif": b"image", "root/raw/01.tif": b"other", "root/README.md": b"text"}


def make_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


def make_tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o4777
            out.addfile(info, io.BytesIO(content))
    return path


MAKERS = {
    "zip": make_zip,
    "tar": lambda path, files: make_tar(path, files, "w"),
    "tar.gz": make_tar,
    "tar.xz": lambda path, files: make_tar(path, files, "w:xz"),
}


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def out(tmp_path):
    """The folder to unpack to; the test fails if anything is written beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "archive").mkdir()
    yield tmp_path / "out"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "out"]


@pytest.mark.parametrize("kind", MAKERS)
def test_all_files_or_those_wanted_at_their_new_place(kind, out):
    archive = MAKERS[kind](out.parent / "archive" / f"a.{kind}", FILES)
    assert len(unpack(archive, out / "all")) == 3
    assert contents(out / "all") == FILES
    unpack(archive, out / "some", members=(r"[^/]+/raw/(\d+\.tif)", r"train/images/\1"))
    assert contents(out / "some") == {"train/images/00.tif": b"image", "train/images/01.tif": b"other"}


def test_no_mode_is_taken_from_the_archive(out):
    (path, *_) = unpack(make_tar(out.parent / "archive/a.tar.gz", FILES), out)
    assert not path.stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


OUTSIDE = ["../evil", "a/../../evil", "/tmp/evil", "..", "a\\..\\..\\evil", "C:/evil", "//server/evil"]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_outside_the_folder_is_refused_even_if_not_wanted(kind, name, out):
    archive = MAKERS[kind](out.parent / "archive" / f"a.{kind}", {name: b"evil"} | FILES)
    with pytest.raises(ValueError, match=r"a\.\w.*: refused, .*outside the folder"):
        unpack(archive, out, members=(r"root/(.*)", r"\1"))
    assert contents(out) == {}


def test_a_replacement_cannot_lead_outside_either(out):
    archive = make_zip(out.parent / "archive/a.zip", {"root/x": b""})
    with pytest.raises(ValueError, match="outside the folder"):
        unpack(archive, out, members=(r"root/(.*)", r"../\1"))


@pytest.mark.parametrize(
    "kind, word", [("SYMTYPE", "link"), ("LNKTYPE", "link"), ("FIFOTYPE", "device"), ("CHRTYPE", "device")]
)
def test_links_and_devices_in_a_tar_are_refused(kind, word, out):
    path = out.parent / "archive/a.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("root/raw")
        info.type, info.linkname = getattr(tarfile, kind), "/etc"
        tar.addfile(info)
        inside = tarfile.TarInfo("root/raw/passwd")
        tar.addfile(inside)
    with pytest.raises(ValueError, match=f"'root/raw' is a {word}"):
        unpack(path, out)
    assert list(out.rglob("*")) == []


def test_a_link_in_a_zip_is_refused(out):
    path = out.parent / "archive/a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("root/raw")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    with pytest.raises(ValueError, match="'root/raw' is a link"):
        unpack(path, out)
    assert list(out.rglob("*")) == []


@pytest.mark.parametrize("kind", MAKERS)
def test_limits_of_bytes_and_files(kind, out):
    archive = MAKERS[kind](out.parent / "archive" / f"a.{kind}", {"a": b"0" * 3_000_000, "b": b"0" * 3_000_000})
    with pytest.raises(ValueError, match="b: unpacks to more than 5000000 bytes"):
        unpack(archive, out / "bytes", max_bytes=5_000_000)
    with pytest.raises(ValueError, match="more than 1 files"):
        unpack(archive, out / "files", max_files=1)
    assert len(unpack(archive, out / "fits", max_bytes=6_000_000, max_files=2)) == 2


def test_the_limit_counts_what_comes_out_and_not_what_the_header_claims(out):
    path = make_zip(out.parent / "archive/a.zip", {"bomb": b"0" * 10_000_000})
    raw = path.read_bytes()
    assert raw.count((10_000_000).to_bytes(4, "little")) == 2  # local header and directory
    path.write_bytes(raw.replace((10_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(ValueError):
        unpack(path, out, max_bytes=1000)
    assert sum(len(c) for c in contents(out).values()) <= 1000


def test_a_name_that_comes_twice_or_is_file_and_folder(out):
    twice = make_tar(out.parent / "archive/a.tar", {"x": b"1"}, "w")
    with tarfile.open(twice, "a") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    both = make_tar(out.parent / "archive/b.tar", {"x": b"1", "x/y": b"2"}, "w")
    for number, archive in enumerate((twice, both)):
        with pytest.raises(ValueError, match="there twice, or is file and folder"):
            unpack(archive, out / str(number))


def test_nothing_that_is_there_is_overwritten(out):
    (out / "root").mkdir()
    (out / "root/README.md").write_bytes(b"mine")
    with pytest.raises(ValueError, match="README.md is there twice"):
        unpack(make_zip(out.parent / "archive/a.zip", FILES), out)
    assert (out / "root/README.md").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", MAKERS)
def test_damaged_archives_are_named(kind, out):
    big = {"root/a": bytes(range(256)) * 4000}
    archive = MAKERS[kind](out.parent / "archive" / f"a.{kind}", big)
    raw = archive.read_bytes()
    archive.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match=r"a\.\w.*: not a readable zip or tar"):
        unpack(archive, out / "cut")
    archive.write_bytes(b"<html>Please log in</html>")
    with pytest.raises(ValueError, match=r"a\.\w.*: not a readable zip or tar"):
        unpack(archive, out / "page")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_changed_bytes_are_found_by_the_archives_own_checksum(kind, out):
    archive = MAKERS[kind](out.parent / "archive" / f"a.{kind}", {"root/a": bytes(range(256)) * 4000})
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 2] ^= 255
    archive.write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.\w.*: not a readable zip or tar"):
        unpack(archive, out)


def test_an_encrypted_zip_is_named(out):
    path = make_zip(out.parent / "archive/a.zip", {"x": b"1"}, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[6] |= 1  # flag of the local header
    raw[raw.index(b"PK\1\2") + 8] |= 1  # and of the directory
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="encrypted"):
        unpack(path, out)


def test_the_wrong_archive_is_said_to_be_wrong(out):
    archive = make_zip(out.parent / "archive/a.zip", FILES)
    with pytest.raises(ValueError, match=r"none of its 3 files matches 'Images/"):
        unpack(archive, out, members=(r"Images/(.*)", r"\1"))
