"""``data check FOLDER``: what it sees, the traps it names, and that what it proposes trains and predicts."""

import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from spoco_lite.__main__ import main
from spoco_lite.commands import check_folder
from spoco_lite.data import load
from spoco_lite.data.sets import dish
from spoco_lite.data.survey import survey
from spoco_lite.data.traps import traps
from spoco_lite.results.runs import load_run
from spoco_lite.training.advice import propose


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn") / "cells"
    dish.write(root, labelled=4, tested=2)
    return root


@pytest.fixture
def cells(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "cells")


def change(root, kind, make, names="*"):
    for path in sorted((root / kind).glob(f"{names}.png")):
        Image.fromarray(make(np.array(Image.open(path)))).save(path)


def test_what_the_numbers_mean_is_found_by_split(drawn):
    found = survey(drawn)
    assert (found.background, found.unlabeled) == ({"train": 255, "test": 0}, {"train": 0})
    assert [len(found.objects(facts)) for facts in found.of("train")] == [10] * 4
    for facts in found.of("test"):
        sample = next(s for s in load("folder", "test", path=drawn, background=0) if s.name == facts.name)
        assert len(found.objects(facts)) == len(np.unique(sample.labels)) - 1


def test_objects_outlined_without_strokes_are_sparse_too(cells):
    change(cells, "labels", lambda a: np.where(a == 255, 0, a))
    found = survey(cells)
    assert (found.background, found.unlabeled) == ({"test": 0}, {"train": 0})
    assert propose(found).background == "none"


def test_parts_that_nobody_can_decide(cells):
    """The fourth row of the page: all objects outlined, and 255 where nobody knows."""

    def undecided(array):
        array[:20, :20] = 255
        return array

    change(cells, "labels", undecided, "dish00[45]")
    found = survey(cells)
    assert (found.background["test"], found.unlabeled["test"]) == (0, 255)


@pytest.mark.parametrize("factor", [1, 3])
def test_the_proposal_fits_the_objects(cells, factor):
    for kind in ("images", "labels"):
        change(cells, kind, lambda a: np.repeat(np.repeat(a, factor, 0), factor, 1))
    found = survey(cells)
    config = propose(found)
    seen = np.median(found.extents(), 0).mean() * (config.zoom or (1, 1))[0]
    assert 12 <= seen <= 40 and abs(seen / config.unit[0] - 4) < 0.5
    assert config.foreground and config.loss_stride == 2 and config.data_options["stretch"] is True


def test_colours_and_volumes(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((24, 40, 40), np.uint8)
    labels[2:14, 3:20, 3:20], labels[10:20, 24:38, 24:38] = 1, 2
    for name, shape, array in (("flat", (40, 40, 3), labels[12]), ("deep", (24, 40, 40), labels)):
        for kind, a in (("images", rng.integers(0, 255, shape, dtype=np.uint8)), ("labels", array)):
            (tmp_path / name / "train" / kind).mkdir(parents=True)
            np.save(tmp_path / name / "train" / kind / "a.npy", a)
    flat, deep = (propose(survey(tmp_path / name, background=0)) for name in ("flat", "deep"))
    assert (flat.in_channels, flat.photometry, flat.size) == (3, "colour", (32, 32))  # windows lie within the image
    assert (deep.in_channels, deep.photometry, deep.ndim, len(deep.unit)) == (1, "microscopy", 3, 3)


# ---------------------------------------------------------------------- traps


def mask(cells):
    change(cells, "labels", lambda a: ((a > 0) & (a < 255)).astype(np.uint8))


def grey(cells):
    change(cells, "images", lambda a: np.stack([a, a, a, np.full_like(a, 255)], -1))


def empty_list(cells):
    (cells / "val.txt").write_text("\n")


def twin(cells):
    for kind in ("images", "labels"):
        shutil.copy(cells / kind / "dish000.png", cells / kind / "dish009.png")
    (cells / "test.txt").write_text("dish004\ndish009\n")


def no_test(cells):
    (cells / "test.txt").unlink()


def no_split(cells):
    no_test(cells)
    (cells / "train.txt").unlink()


def nothing_labelled(cells):
    change(cells, "labels", lambda a: np.where(a == 255, a, 0), "dish001")


TRAPS = {
    "strokes that would be an object": (None, {"background": 0}, "255 is in most label maps, .* say background=255"),
    "background over objects": (None, {"background": 0}, r"train: background=0 covers \d\d% .* unlabeled=0"),
    "a mask": (mask, {}, r"an object of \d+ pieces.* a mask, or classes\?"),
    "grey as RGBA": (grey, {}, "3 channels that are all the same"),
    "dim": (None, {}, "6 images of 8 bits are dim.* stretch=true"),
    "an empty list": (empty_list, {}, "val.txt: lists no image"),
    "one image twice": (twin, {}, r"alike, in different splits: dish000 \(train\) and dish009 \(test\)"),
    "no test": (no_test, {}, "no image is kept for a test"),
    "no split": (no_split, {}, "no split is said"),
    "a test of some objects": (twin, {}, None),
    "an image without object": (nothing_labelled, {}, "no object is labelled in dish001"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_named(cells, trap):
    prepare, meanings, words = TRAPS[trap]
    if prepare:
        prepare(cells)
    lines = list(traps(survey(cells, **meanings)))
    assert words is None or any(re.search(words, line) for line in lines), lines


def test_without_a_trap_nothing_is_said(cells):
    change(cells, "images", lambda a: np.minimum(255, a.astype(int) * 3).astype(np.uint8))
    assert list(traps(survey(cells))) == []


# ---------------------------------------------------------------------- the command


def test_the_command_that_it_proposes_trains_and_predicts(cells, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check_folder, "steps_in", lambda config, minutes: 20)
    assert main(["data", "check", str(cells)]) == 0
    out = capsys.readouterr().out
    assert "objects: median diameter 1" in out and "recorded: cvppp-10-ours" in out
    command = shlex.split(out[out.index("python -m") :].partition("\n\n")[0].replace("\\\n", " "))
    assert main([*command[3:], "--steps", "2", "--widths", "4", "8", "--size", "64", "64"]) == 0
    config = load_run("runs/cells")["config"]
    assert config["data_options"]["stretch"] is True and config["foreground"] == 10
    assert main(["predict", "runs/cells", str(cells / "images"), "segmented"]) == 0


def test_what_cannot_be_read_is_said_and_nothing_proposed(cells, capsys):
    (cells / "images" / "dish002.png").write_bytes(b"PNG")
    assert main(["data", "check", str(cells)]) == 1
    out = capsys.readouterr().out
    assert "dish002.png: cannot be read" in out and "python -m" not in out


@pytest.mark.parametrize("ending", ["_cp_masks.tif", "_masks.png", "_labels.png", "_seg.png", "_label.png"])
def test_label_maps_as_tools_name_them(cells, ending):
    for path in (cells / "labels").glob("*.png"):
        Image.open(path).save(cells / "labels" / f"{path.stem}{ending}")
        path.unlink()
    assert len(load("folder", "test", path=cells, background=0)) == 2
    assert [facts.name for facts in survey(cells).of("test")] == ["dish004", "dish005"]


def test_two_label_maps_of_one_image(cells):
    shutil.copy(cells / "labels" / "dish000.png", cells / "labels" / "dish000_seg.png")
    with pytest.raises(ValueError, match="dish000_seg.png: belongs to dish000, and so does .*dish000.png"):
        load("folder", "train", path=cells, unlabeled=0)
