"""Which of one's own images is in which split; and the page *Files of your own images*: its code runs as it stands."""

import re
import shlex
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tifffile
from PIL import Image

from spoco_lite.__main__ import main
from spoco_lite.data import SPLITS, folder
from spoco_lite.data.sets import rosettes

PAGE = Path(__file__).resolve().parents[1] / "book" / "own_images.md"
TINY = "--steps 2 --size 32 --batch 2 --widths 4 8 --embedding-dim 4 --held-out 1"


def write_pairs(root, names):
    for kind, values in (("images", [[9, 200]]), ("labels", [[0, 1]])):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.fromarray(np.repeat(np.array(values, np.uint8), 4, 1)).save(root / kind / f"{name}.png")
    return root


@pytest.fixture
def root(tmp_path):
    """Five images, four of them in a split."""
    root = write_pairs(tmp_path / "cells", "abcde")
    for split, names in (("train", "b\na\n"), ("val", "c\n"), ("test", "d\n")):
        (root / f"{split}.txt").write_text(names)
    return root


# ---------------------------------------------------------------------- reading splits


@pytest.mark.parametrize("text", ["b\na\n", "b\r\na\r\n", "\ufeffb\na", "\n b \n\na\n\n"])
def test_names_come_from_the_text_file_in_its_order(root, text):
    (root / "train.txt").write_text(text, encoding="utf-8")
    samples = folder.read("train", path=root, background=0)
    assert samples.names == [s.name for s in samples] == ["b", "a"]


def test_only_images_that_are_listed_need_a_partner(root):
    (root / "labels" / "e.png").unlink()
    assert folder.read("val", path=str(root)).names == ["c"]


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_a_listed_name_without_a_file(root, kind):
    (root / kind / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{kind}: no file for a \(1 of 2\); .*train\.txt lists it"):
        folder.read("train", path=root)


def test_a_listed_name_with_its_ending(root):
    (root / "val.txt").write_text("c.png\n")
    with pytest.raises(FileNotFoundError, match=r"no file for c\.png .*without the ending"):
        folder.read("val", path=root)


def test_a_name_in_two_splits(root):
    (root / "test.txt").write_text("d\na\n")
    for split in SPLITS:
        with pytest.raises(ValueError, match=r"train\.txt and .*test\.txt: a is listed 2 times"):
            folder.read(split, path=root)


def test_a_name_twice_in_one_split(root):
    (root / "train.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match=r"train\.txt: a is listed 2 times"):
        folder.read("train", path=root)


def test_a_split_that_is_not_there(root):
    (root / "test.txt").unlink()
    with pytest.raises(ValueError, match=r"split: found 'test'; .* has train\.txt, val\.txt"):
        folder.read("test", path=root)


def test_an_empty_split(root):
    (root / "test.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"test\.txt: lists no image"):
        folder.read("test", path=root)


def test_a_folder_for_each_split(tmp_path):
    write_pairs(tmp_path / "train", "ab")
    write_pairs(tmp_path / "val", "a")  # another image: it lies elsewhere
    assert [folder.read(split, path=tmp_path).names for split in ("train", "val")] == [["a", "b"], ["a"]]
    with pytest.raises(ValueError, match="split: found 'test'; .* has train, val"):
        folder.read("test", path=tmp_path)


def test_without_splits_the_user_is_told_what_to_do(tmp_path):
    write_pairs(tmp_path, "abc")
    with pytest.raises(ValueError, match=r"in which split\? .*train\.txt.*write_splits\("):
        folder.read("train", path=tmp_path)


# ---------------------------------------------------------------------- drawing splits


@pytest.mark.parametrize(
    ("count", "fractions", "expected"),
    [
        (20, (0.7, 0.15, 0.15), (14, 3, 3)),
        (3, (0.7, 0.15, 0.15), (1, 1, 1)),
        (10, (0.8, 0.2, 0), (8, 2, 0)),
    ],
)
def test_splits_are_drawn_and_written(tmp_path, count, fractions, expected):
    names = [f"n{i:02}" for i in range(count)]
    write_pairs(tmp_path, names)
    splits = folder.write_splits(tmp_path, fractions=fractions)
    assert tuple(len(splits[split]) for split in SPLITS) == expected
    assert sorted(name for part in splits.values() for name in part) == names
    for split, part in splits.items():
        assert (tmp_path / f"{split}.txt").read_text().splitlines() == part
        if part:
            assert folder.read(split, path=tmp_path).names == part


def test_splits_follow_from_the_seed(tmp_path):
    drawn = []
    for i, seed in enumerate((0, 0, 1)):
        write_pairs(tmp_path / str(i), [f"n{i:02}" for i in range(20)])
        drawn.append(folder.write_splits(tmp_path / str(i), seed=seed))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_never_overwritten(tmp_path, split):
    write_pairs(tmp_path, "abcdef")
    (tmp_path / f"{split}.txt").write_text("a\n")
    with pytest.raises(ValueError, match=rf"has {split}\.txt already"):
        folder.write_splits(tmp_path)
    assert [path.name for path in tmp_path.glob("*.txt")] == [f"{split}.txt"]
    assert (tmp_path / f"{split}.txt").read_text() == "a\n"


def test_splits_are_not_drawn_from_half_a_pair(tmp_path):
    write_pairs(tmp_path, "abcdef")
    (tmp_path / "labels" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels: no file for b \(1 of 6\)"):
        folder.write_splits(tmp_path)
    assert not list(tmp_path.glob("*.txt"))


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5), (float("nan"), 0, 1)])
def test_fractions_are_checked(tmp_path, fractions):
    with pytest.raises(ValueError, match="fractions: found"):
        folder.write_splits(write_pairs(tmp_path, "abcdef"), fractions=fractions)


def test_too_few_images_to_split(tmp_path):
    with pytest.raises(ValueError, match="2 images are too few"):
        folder.write_splits(write_pairs(tmp_path, "ab"))


# ---------------------------------------------------------------------- the page


def code_blocks():
    """Language and text of every code block of the page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    """Every block in its order, in a folder as the page shows it; only the training is shorter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    for kind in ("cells/images", "cells/labels", "new"):
        Path(kind).mkdir(parents=True)
    for seed in range(8):
        plant = rosettes.make_rosette(seed, size=48)
        pixels = np.round(plant.image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(f"cells/images/{plant.name}.png" if seed < 6 else f"new/{plant.name}.png")
        if seed < 6:
            Image.fromarray(plant.labels.astype(np.uint8)).save(f"cells/labels/{plant.name}.png")
    Path("new/rosette007.png").rename("new/dish9.png")
    names, ran = {"__name__": "page"}, []
    for language, text in code_blocks():
        ran.append(language)
        if language == "python":
            exec(compile(text, str(PAGE), "exec"), names)
        elif language == "bash":
            command = shlex.split(text.replace("\\\n", " "))
            assert command[:3] == ["python", "-m", "spoco_lite"]
            if command[3] == "show":  # it would open a window; test_napari looks at what it shows
                assert all(Path(path).is_file() for path in command[4:])
                continue
            tiny = TINY.split() if command[3] == "train" else []
            assert main([*command[3:], *tiny]) == 0, capsys.readouterr().err
        else:
            assert language == "text"  # the picture of the folder: nothing to run
    assert ran.count("python") >= 4 and ran.count("bash") == 4

    printed = capsys.readouterr().out
    assert "{'train': 4, 'val': 1, 'test': 1}" in printed
    for split in SPLITS:
        for name in Path(f"cells/{split}.txt").read_text().split():
            assert re.search(rf"{split} +{name}: \(3, 48, 48\), \d+ objects, 0% unlabelled", printed)
    assert re.search(r"rosette00\d: SBD [01]\.\d{3}\n", printed)
    assert "cells.zip: " in printed
    segmented = {path.name: tifffile.imread(path) for path in Path("segmented").glob("*.tif")}
    assert sorted(segmented) == ["dish9.tif", "rosette006.tif"]
    assert all(labels.shape == (48, 48) and labels.dtype == np.uint16 for labels in segmented.values())
