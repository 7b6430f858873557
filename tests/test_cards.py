"""The cards of the data sets: counted on the split files, and no picture of what may not be redistributed."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from spoco_lite import data
from spoco_lite.data.paths import shipped
from spoco_lite.data.splits import split_names

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("make_cards", ROOT / "book" / "make_cards.py")
make_cards = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_cards)

FOLDER = shipped() / "cards"
CARDS = json.loads((FOLDER / "cards.json").read_text())
FORBIDDEN = {"cvppp", "cityscapes"}


def test_every_set_has_a_card():
    assert set(CARDS) == set(make_cards.CARDS)
    assert {name for name, _ in make_cards.CARDS.values()} == set(data.DATASETS) - {"folder"}


@pytest.mark.parametrize("card", sorted(set(CARDS) - {"rosettes", "cells3d", "cityscapes"}))
def test_a_card_counts_the_images_of_the_split_files(card):
    for split, measured in CARDS[card].items():
        assert measured["samples"] == len(split_names(card, split)), split


@pytest.mark.parametrize("card", ["rosettes", "cells3d"])
def test_the_cards_of_the_sets_that_ship_are_up_to_date(card):
    assert json.loads(json.dumps(make_cards.card_of(card))) == CARDS[card]


def test_pictures_are_small_and_allowed():
    pictures = {path.stem: path for path in FOLDER.glob("*.jpg")}
    assert set(pictures) == set(make_cards.PICTURES)
    assert not FORBIDDEN & set(pictures)
    readme = (FOLDER / "README.md").read_text()
    for name, path in pictures.items():
        assert path.stat().st_size <= make_cards.MAX_BYTES
        assert f"`{name}.jpg`" in readme


def test_a_card_of_real_data_is_what_the_files_give():
    if not (Path(os.environ.get("SPOCO_DATA", "nowhere")) / "ovules").is_dir():
        pytest.skip("needs the ovules in $SPOCO_DATA")
    assert json.loads(json.dumps(make_cards.card_of("ovules"))) == CARDS["ovules"]
