"""``python -m spoco_lite data``: what it lists, what it says about sets that are not here, and what it checks."""

import hashlib
import re

import numpy as np
import pooch
import pytest

from spoco_lite.__main__ import main
from spoco_lite.commands import data as command
from spoco_lite.data import Sample, Samples
from spoco_lite.data.fetch import sources
from spoco_lite.data.fetch.sources import File, Source


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    return tmp_path / "data"


@pytest.mark.parametrize(
    "name, message",
    [
        ("cvppp", "registration: https://www.plant-phenotyping.org/.*{root}/cvppp"),
        ("cityscapes", "registration: https://www.cityscapes-dataset.com/.*{root}/cityscapes"),
        ("vnd", "found 'vnd'; known are bbbc038, "),
    ],
)
def test_a_set_that_cannot_be_fetched_says_what_to_do(name, message, root, capsys):
    assert main(["data", "fetch", name]) == 1
    assert re.search(message.format(root=root), capsys.readouterr().err)


def test_list_shows_each_set_and_where_it_is(root, capsys):
    (root / "vnc").mkdir(parents=True)
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    for name in sources.SOURCES:
        assert f"\n{name} " in f"\n{out}"
    assert str(root / "vnc") in out and "not here. CVPPP needs a registration" in out


def test_what_ships_or_is_there_needs_no_fetching(root, capsys):
    (root / "cvppp").mkdir(parents=True)
    assert main(["data", "fetch", "rosettes"]) == main(["data", "fetch", "cvppp"]) == 0
    out = capsys.readouterr().out
    assert "rosettes comes with this project" in out and f"cvppp: already at {root / 'cvppp'}" in out


def test_check_finds_a_file_that_changed_or_is_gone(root, capsys, monkeypatch):
    monkeypatch.setattr(command, "DATASETS", {})
    assert main(["data", "check", "vnc"]) == 1
    assert "not on this computer. Fetch it: python -m spoco_lite data fetch vnc" in capsys.readouterr().err
    (root / "vnc").mkdir(parents=True)
    (root / "vnc/a").write_bytes(b"a")
    (root / "vnc/b").write_bytes(b"b")
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  vnc/{name}" for name in "ab"]
    (root / "vnc.sha256").write_text("\n".join([f"# {'0' * 64}  https://owner/a.zip", *lines, ""]))
    assert main(["data", "check", "vnc"]) == 0
    assert "as they were fetched" in capsys.readouterr().out
    (root / "vnc/a").write_bytes(b"x")
    (root / "vnc/b").unlink()
    assert main(["data", "check", "vnc"]) == 1
    assert "vnc/a: changed, vnc/b: missing" in capsys.readouterr().out


def test_check_knows_the_published_archive_from_another(root, capsys, monkeypatch):
    monkeypatch.setattr(command, "DATASETS", {})
    (root / "bbbc038").mkdir(parents=True)
    archive = root / "bbbc038/stage1_train.zip"
    archive.write_bytes(b"corrected by somebody")
    assert main(["data", "check", "bbbc038"]) == 0
    assert "stage1_train.zip: not the file that https://" in capsys.readouterr().out
    published = File("https://owner/stage1_train.zip", hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setitem(sources.SOURCES, "bbbc038", Source("test", "1 MB", "CC0", (published,)))
    assert main(["data", "check", "bbbc038"]) == 0
    assert "stage1_train.zip: the file that https://" in capsys.readouterr().out


def test_check_reads_every_image_of_the_splits(root, capsys, monkeypatch):
    def read(name):
        if name == "bad":
            raise ValueError("bad.png: truncated")
        return Sample(np.zeros((1, 2, 2), np.float32), np.zeros((2, 2), np.int64), name)

    monkeypatch.setitem(command.DATASETS, "rosettes", lambda split: Samples(["a", "b"], read))
    assert main(["data", "check", "rosettes"]) == 0
    out = capsys.readouterr().out
    assert "ships with this project" in out and "test: 2 of 2 images" in out
    monkeypatch.setitem(command.DATASETS, "rosettes", lambda split: Samples(["a", "bad"], read))
    assert main(["data", "check", "rosettes"]) == 1
    out = capsys.readouterr().out
    assert "train: 1 of 2 images" in out and "bad.png: truncated" in out


def test_check_of_a_folder_without_the_images_of_the_split(root, capsys):
    (root / "cvppp").mkdir(parents=True)
    assert main(["data", "check", "cvppp"]) == 1
    out = capsys.readouterr().out
    assert "val: 0 of 20 images" in out and "_rgb.png: missing" in out


def test_check_misses_a_file_that_was_put_by_hand_incompletely(root, capsys, monkeypatch):
    monkeypatch.setattr(command, "DATASETS", {})
    (root / "ovules").mkdir(parents=True)
    for name in ("1135_mini", "1136_mini"):
        (root / f"ovules/{name}.h5").write_bytes(b"")
    assert main(["data", "check", "ovules"]) == 1
    out = capsys.readouterr().out
    assert "sample_ovule.h5: missing" in out and "1136_mini.h5: missing" not in out


def test_check_asks_for_no_split_without_public_labels(root, capsys, monkeypatch):
    asked = []
    monkeypatch.setitem(command.DATASETS, "cityscapes", lambda split: asked.append(split) or Samples([], None))
    (root / "cityscapes").mkdir(parents=True)
    assert main(["data", "check", "cityscapes"]) == 0
    assert asked == ["train", "val"]
