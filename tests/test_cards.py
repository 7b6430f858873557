"""The cards of the data sets agree with the splits, show only what may be shown, and can be measured anew."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spoco_lite import data
from spoco_lite.data.fetch.sources import SOURCES
from spoco_lite.data.paths import shipped
from spoco_lite.data.sample import Sample
from spoco_lite.data.splits import split_names

MAKE = runpy.run_path(str(Path(__file__).resolve().parents[1] / "book" / "make_cards.py"))
FOLDER = shipped() / "cards"
CARDS = json.loads((FOLDER / "cards.json").read_text())
WITH_SPLIT_FILES = sorted(path.name for path in (shipped() / "splits").iterdir())


def test_every_data_set_has_a_card():
    assert set(CARDS) == set(MAKE["CARDS"])
    assert set(SOURCES) == {name for name, _ in MAKE["CARDS"].values()}


@pytest.mark.parametrize("card", WITH_SPLIT_FILES)
def test_cards_count_what_the_split_files_list(card):
    listed = {s: len(split_names(card, s)) for s in CARDS[card]}
    assert {s: measured["samples"] for s, measured in CARDS[card].items()} == listed
    files = {path.stem for path in (shipped() / "splits" / card).glob("*.txt")}
    # The test images of CVPPP were kept apart when the cards were made.
    assert set(CARDS[card]) == files - ({"test"} if card == "cvppp" else set())


def test_only_sets_that_may_be_shown_have_a_picture():
    pictures = {path.stem: path for path in FOLDER.glob("*.*") if path.suffix not in (".json", ".md")}
    assert set(pictures) == set(MAKE["PICTURES"])
    readme = (FOLDER / "README.md").read_text()
    for card, path in pictures.items():
        source = SOURCES[MAKE["CARDS"][card][0]]
        assert "no redistribution" not in source.terms
        assert path.suffix == ".jpg" and path.stat().st_size <= MAKE["MAX_BYTES"] <= 60_000
        assert f"`{path.name}`" in readme and source.terms.split(",")[0] in readme
        with Image.open(path) as image:
            image.load()
            assert image.width > image.height > 200
    assert not {"cvppp", "cityscapes"} & set(pictures)


@pytest.mark.parametrize("card", ["rosettes", "cells3d"])
def test_the_cards_of_what_ships_can_be_measured_anew(card):
    assert MAKE["card_of"](card) == CARDS[card]


@pytest.mark.parametrize("card", ["ovules", "ovules-cells"])
def test_the_card_of_a_real_set_can_be_measured_anew(card):
    name, options = MAKE["CARDS"][card]
    try:
        data.load(name, "test", **options)
    except FileNotFoundError:
        pytest.skip(f"the real {name} is not here (SPOCO_DATA)")
    assert MAKE["card_of"](card) == CARDS[card]


def test_a_card_counts_objects_and_pixels():
    def sample(labels, voxel_size):
        labels = np.array(labels)
        return Sample(np.zeros((3, *labels.shape), np.float32), labels, "", voxel_size=voxel_size)

    samples = [
        sample([[1, 1, 0, -1], [7, 0, 0, -1]], (1.0, 0.5)),
        sample([[4, 4, 4, 0]], (2.0, 0.5)),
    ]
    assert MAKE["measure"](samples) == {
        "samples": 2,
        "objects": 3,
        "channels": [3],
        "shape": [[1, 4], [2, 4]],
        "voxel_size": [[1.0, 0.5], [2.0, 0.5]],
        "object_share": 0.5,
        "unlabelled_share": 0.1667,
        "objects_per_image": [1, 1.5, 2],
        "object_pixels": [1, 2.0, 3],
    }
    assert MAKE["measure"]([samples[0]._replace(voxel_size=None)])["voxel_size"] is None


def test_a_set_that_is_not_here_keeps_its_card(tmp_path, monkeypatch):
    def missing(split):
        raise FileNotFoundError

    for name in SOURCES:
        monkeypatch.setitem(data.DATASETS, name, missing)
    (tmp_path / "cards.json").write_text((FOLDER / "cards.json").read_text())
    monkeypatch.setitem(data.DATASETS, "ovules", lambda split, *, target="nuclei": missing(split))
    MAKE["write"](tmp_path)
    assert (tmp_path / "cards.json").read_bytes() == (FOLDER / "cards.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["cards.json"]
