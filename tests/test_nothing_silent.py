"""What was once computed without a word and was wrong: meanings that differ by split, options that reach it all."""

import json
import time
import warnings

import numpy as np
import pytest
import tifffile
from test_predict_command import predict

from spoco_lite.data.folder import read
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.decoders import CANDIDATES, DEFAULTS, OWN_MASK, WHOLE_IMAGE, WITH_MASK, decoder_of, with_own
from spoco_lite.prediction.evaluate import evaluate_run
from spoco_lite.training.config import Config
from spoco_lite.training.loop import train

TINY = {"size": 32, "widths": (4, 8), "embedding_dim": 4, "batch": 2, "held_out": 0, "steps": 1, "dataset": "folder"}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Training images with one labelled cell each; validation images with all cells, where 0 is background."""
    root, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    for split, images in (("train", 3), ("val", 2)):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
        for name in "abc"[:images]:
            labels = np.zeros((40, 40), np.uint8)
            labels[3:17, 3:17], labels[22:36, 20:38] = 1, 2
            image = rng.integers(0, 99, (40, 40, 3), dtype=np.uint8) + 100 * (labels > 0).astype(np.uint8)[..., None]
            if split == "train":
                labels[labels == 2] = 0
            tifffile.imwrite(root / split / "images" / f"{name}.tif", image)
            tifffile.imwrite(root / split / "labels" / f"{name}.tif", labels)
    return root


def trained(cells, folder, **options):
    meaning = {"path": cells, "unlabeled": {"train": 0}, "background": {"val": 0}}
    config = Config(**TINY | {"data_options": meaning} | options)
    train(config, folder, device="cpu", progress=False)
    return folder


def test_0_has_a_meaning_in_each_split(cells):
    meaning = {"path": cells, "unlabeled": {"train": 0}, "background": {"val": 0, "test": 0}}
    assert np.unique(read("train", **meaning)[0].labels).tolist() == [-1, 1]
    assert np.unique(read("val", **meaning)[0].labels).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="label values 0 are below 1"):
        read("val", path=cells, unlabeled={"train": 0})[0]


def test_meanings_by_split_from_a_run_to_its_scores(cells, tmp_path):
    folder = trained(cells, tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_run(folder, tuning_images=1, progress=False)


def test_scores_on_a_map_that_is_largely_unlabelled_warn(cells, tmp_path):
    folder = trained(cells, tmp_path / "run", data_options={"path": cells, "unlabeled": 0})
    with pytest.warns(UserWarning, match=r"7\d% of the pixels of folder val are unlabelled.*say what 0 means"):
        evaluate_run(folder, tuning_images=1, progress=False)


def test_options_of_the_decoder_reach_validation_scores_and_prediction(cells, tmp_path):
    decoder = {"min_size": 7, "iou_threshold": 0.35}
    folder = trained(cells, tmp_path / "run", decoder=decoder)
    record = evaluate_run(folder, tuning_images=1, progress=False)
    assert record["scores"][f"{WHOLE_IMAGE}, default decoder"]["decoder"] == with_own(DEFAULTS[WHOLE_IMAGE], decoder)
    assert all(one["decoder"]["min_size"] == 7 for one in record["tuning"][WHOLE_IMAGE]["tried"])
    assert len(record["tuning"][WHOLE_IMAGE]["tried"]) == len(CANDIDATES[WHOLE_IMAGE]) - 2  # two differ in it alone
    assert predict(folder, cells / "val" / "images", tmp_path / "out") == 0
    settings = json.loads((tmp_path / "out" / "predict.json").read_text())
    assert settings["decoder"] == with_own(DEFAULTS[WHOLE_IMAGE], decoder)


def test_inside_a_mask_only_what_an_object_is_holds():
    config = {"decoder": {"min_size": 7, "bandwidth": 0.75, "pieces": 9}}
    assert decoder_of(config, masked=True) == {"cluster": "hdbscan", "consistent": False, "min_size": 7, "pieces": 9}
    for more, way in (({}, WHOLE_IMAGE), ({"foreground": 1.0}, OWN_MASK)):
        assert decoder_of(config | more, masked=False) == with_own(DEFAULTS[way], config["decoder"])
    assert decoder_of({}, masked=True) == DEFAULTS[WITH_MASK]


def test_no_image_to_tune_on_is_refused(cells, tmp_path):
    folder = trained(cells, tmp_path / "run")
    before = (folder / "run.json").read_bytes()
    with pytest.raises(ValueError, match="tuning_images: found 0; give 1 or more"):
        evaluate_run(folder, tuning_images=0, progress=False)
    assert (folder / "run.json").read_bytes() == before


def test_many_objects_are_scored_in_seconds():
    truth = np.arange(1, 200_001).reshape(400, 500).repeat(2, 0).repeat(2, 1)
    start = time.process_time()
    result = evaluate(truth, np.roll(truth, 1, axis=1))
    assert time.process_time() - start < 6 and len(result.matches) == 200_000
    assert {match.status for match in result.matches} == {"missed"} and result.matches[0].dice == 0.5
