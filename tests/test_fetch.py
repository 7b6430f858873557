"""Fetching whole data sets from a server on this computer: records, checksums, archives, folders, and the command."""

import errno
import hashlib
import io
import os
import re
import zipfile

import http_server
import pooch
import pytest

from spoco_lite.__main__ import main
from spoco_lite.data import fetch
from spoco_lite.data.fetch import sources
from spoco_lite.data.fetch.sources import File, Source

RAW = bytes(range(256)) * 3000  # 768,000 bytes


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    with http_server.running() as one:
        yield one


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    return tmp_path / "data"


@pytest.fixture
def offer(server, root, monkeypatch):
    """Make the server's files the data set ``vnc``: offer(name=content, ...), with or without checksums."""

    def add(files, *, checksums=True, members=None):
        server.files |= files
        known = (File(f"{server.url}/{n}", sha(c) if checksums else None, members) for n, c in files.items())
        one = Source("test", "1 MB", "CC0", tuple(known))
        monkeypatch.setitem(sources.SOURCES, "vnc", one)

    return add


STACK = zipped({"repository-main/stack1/raw/00.tif": RAW, "repository-main/other.txt": b"not wanted"})
MEMBERS = (r"[^/]+/(stack1/.+)", r"\1")


def test_files_arrive_whole_with_a_record_and_nothing_else(offer, root, server):
    offer({"a.h5": RAW, "b.h5": b"b"})
    assert fetch.fetch("vnc") == root / "vnc"
    assert {p.name: p.read_bytes() for p in (root / "vnc").iterdir()} == {"a.h5": RAW, "b.h5": b"b"}
    assert sorted(p.name for p in root.iterdir()) == ["vnc", "vnc.sha256"]
    assert f"{sha(RAW)}  vnc/a.h5\n" in (root / "vnc.sha256").read_text()
    assert fetch.changed("vnc", root / "vnc") == []
    fetch.fetch("vnc")
    assert server.asked == ["a.h5", "b.h5"]  # what is there is not downloaded again


def test_an_archive_is_unpacked_into_the_layout_of_the_loader(offer, root):
    offer({"stack.zip": STACK}, members=MEMBERS)
    fetch.fetch("vnc")
    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert files == {"vnc.sha256", "vnc/stack1/raw/00.tif"}
    assert f"# {sha(STACK)}  " in (root / "vnc.sha256").read_text()


def test_ctrl_c_keeps_the_files_that_are_complete(offer, root, server, monkeypatch, capsys):
    offer({"a.h5": RAW, "b.h5": b"b"})
    ours = pooch.HTTPDownloader.__call__

    def stopped(self, url, *arguments, **options):
        if url.endswith("b.h5"):
            raise KeyboardInterrupt
        return ours(self, url, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pooch.HTTPDownloader, "__call__", stopped)
        assert main(["data", "fetch", "vnc"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert fetch.where("vnc") is None
    assert main(["data", "fetch", "vnc"]) == 0
    assert server.asked == ["a.h5", "b.h5"]
    assert {p.name: p.read_bytes() for p in (root / "vnc").iterdir()} == {"a.h5": RAW, "b.h5": b"b"}


@pytest.mark.parametrize("fault", ["cut", 503, "gone"])
def test_a_broken_network_is_said_and_leaves_nothing(fault, offer, server, root, capsys):
    offer({"a.h5": RAW})
    server.faults = [fault]
    if fault == "gone":
        server.shutdown()
        server.server_close()
    assert main(["data", "fetch", "vnc"]) == 1
    error = capsys.readouterr().err
    assert f"{server.url}/a.h5: no connection" in error and "Check the network" in error
    assert [p.name for p in root.rglob("*") if p.is_file()] == []


def test_a_wrong_checksum_keeps_nothing(offer, root, server):
    offer({"a.h5": RAW})
    server.files["a.h5"] = RAW[:-1] + b"x"
    with pytest.raises(ValueError, match=f"differs from the known one: {sha(RAW)}.*Nothing was kept"):
        fetch.fetch("vnc")
    assert [p.name for p in root.rglob("*") if p.is_file()] == []
    server.files["a.h5"] = RAW
    fetch.fetch("vnc")
    assert (root / "vnc/a.h5").read_bytes() == RAW


def test_without_a_known_checksum_the_first_file_is_trusted_and_the_next_compared(offer, root, server, capsys):
    offer({"a.h5": RAW}, checksums=False)
    assert main(["data", "fetch", "vnc"]) == 0
    out = capsys.readouterr().out
    assert f"{sha(RAW)}  {server.url}/a.h5" in out and "trusted as they came" in out
    (root / "vnc/a.h5").rename(root / "away")
    (root / "vnc").rmdir()
    server.files["a.h5"] = b"another"
    with pytest.raises(ValueError, match=r"that of an earlier fetch.*delete .*vnc.sha256"):
        fetch.fetch("vnc")
    assert not (root / "vnc").exists()
    (root / "vnc.sha256").unlink()
    assert (fetch.fetch("vnc") / "a.h5").read_bytes() == b"another"


def test_an_archive_without_a_known_checksum_is_refused(offer):
    with pytest.raises(ValueError, match="stack.zip: an archive is unpacked only if its checksum is known"):
        offer({"stack.zip": STACK}, checksums=False, members=MEMBERS)


def test_a_kill_while_unpacking_leaves_no_half_set(offer, root, server, monkeypatch):
    offer({"stack.zip": STACK}, members=MEMBERS)

    def killed(archive, folder, *members):
        (folder / "half").write_text("")
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(fetch, "unpack", killed)
        fetch.fetch("vnc")
    assert fetch.where("vnc") is None
    fetch.fetch("vnc")
    assert [p.name for p in (root / "vnc").iterdir()] == ["stack1"]
    assert len(server.asked) == 1  # the archive was whole already


def test_no_permission_names_the_folder_and_the_way_out(offer, root, monkeypatch):
    offer({"a.h5": RAW})
    root.write_text("a file where the folder should be")
    with pytest.raises(PermissionError, match=r"data: cannot write there.*Set SPOCO_DATA to a folder of yours"):
        fetch.fetch("vnc")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(offer, root):
    offer({"a.h5": RAW})
    root.mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="cannot write there"):
        fetch.fetch("vnc")


def test_a_full_disk_is_said_plainly(offer, root, monkeypatch):
    offer({"a.h5": RAW})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch.shutil, "copyfile", full)
    with pytest.raises(OSError, match="data: the disk is full.*Make room"):
        fetch.fetch("vnc")


def test_the_cache_is_used_without_the_variable(offer, root, monkeypatch):
    offer({"a.h5": RAW})
    monkeypatch.delenv("SPOCO_DATA")
    assert fetch.fetch("vnc") == root.parent / "cache/vnc" == fetch.where("vnc")


def test_addresses_are_safe_and_checksums_whole():
    for file in (file for one in sources.SOURCES.values() for file in one.files):
        assert file.url.startswith("https://")
        assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32


@pytest.mark.parametrize(
    "name, member, wanted",
    [
        ("bbbc050", "Images/train/Images/Emb01_t401.tif", "train/images/Emb01_t401.tif"),
        ("bbbc050", "GroundTruth/test/GroundTruth_QCANet/Emb1_t301.tif", "test/labels/Emb1_t301.tif"),
        ("bbbc050", "GroundTruth/train/GroundTruth_NSN/Emb01_t401.tif", None),
        ("vnc", "groundtruth-drosophila-vnc-master/stack1/raw/00.tif", "stack1/raw/00.tif"),
    ],
)
def test_members_of_the_owners_archives_go_where_the_loaders_look(name, member, wanted):
    rules = [file.members for file in sources.SOURCES[name].files]
    found = [match.expand(place) for pattern, place in rules if (match := re.fullmatch(pattern, member))]
    assert found == [wanted] * (wanted is not None)
