"""The end of a run speaks: scores, pictures, what to do next; progress in a file is a line a minute."""

import csv
import re

import pytest
from PIL import Image

from spoco_lite.__main__ import main
from spoco_lite.data.sets import dish
from spoco_lite.results.runs import load_run

TINY = "--size 32 32 --crop --in-channels 1 --batch 2 --widths 4 8 --embedding-dim 4 --foreground 1 --unit 4 4"
SPARSE = ["--data-option", 'background={"train": 255, "test": 0}', "--data-option", 'unlabeled={"train": 0}']


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of images, a run on it, and what the training printed."""
    root = tmp_path_factory.mktemp("end")
    dish.write(root / "cells", labelled=3, tested=1)
    with (
        pytest.MonkeyPatch.context() as patch,
        (root / "out.txt").open("w") as out,
        (root / "err.txt").open("w") as err,
    ):
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        words = (
            f"{root / 'run'} --dataset folder --background all --steps 4 --validate-every 2 --log-every 1 --held-out 1"
        )
        option = ["--data-option", f"path={root / 'cells'}", *SPARSE]
        assert main(["train", *words.split(), *TINY.split(), *option]) == 0
    return root


def test_a_training_says_its_score_its_pictures_and_what_comes_next(trained):
    out = (trained / "out.txt").read_text()
    assert re.search(r"4 steps in \d+ s; the weights are those of step [24]", out)
    assert re.search(r"score of 1 images held out \(best Dice .*\): [01]\.\d{3}", out)
    for name in ("curve.png", "held_out.jpg"):
        assert str(trained / "run" / name) in out
        with Image.open(trained / "run" / name) as picture:
            assert min(picture.size) > 100
    assert f"next: python -m spoco_lite evaluate {trained / 'run'}" in out


def test_in_a_file_there_is_no_bar(trained):
    """Of less than a minute one line, at the end."""
    (line,) = (trained / "err.txt").read_text().splitlines()
    assert line.startswith("run: 4 of 4 steps, 0 min") and "\r" not in line


def test_the_tuned_decoder_is_chosen_when_it_is_asked_for_and_remembered(trained, capsys):
    image = trained / "cells" / "images" / "dish003.png"
    assert main(["predict", str(trained / "run"), str(image), str(trained / "found"), "--decoder", "tuned"]) == 0
    assert load_run(trained / "run")["tuning"]["whole image"]["images"] == ["dish002"]  # the one held out


def test_without_val_the_test_images_are_scored(trained, capsys):
    assert main(["evaluate", str(trained / "run")]) == 0
    out = capsys.readouterr().out
    assert "whole image, tuned decoder: sbd" in out and "scores.csv" in out
    assert {one["split"] for one in load_run(trained / "run")["scores"].values()} == {"test"}
    rows = list(csv.DictReader((trained / "run" / "scores.csv").open()))
    assert [row["name"] for row in rows] == ["dish003"] * 2 and 0 <= float(rows[0]["sbd"]) <= 1
