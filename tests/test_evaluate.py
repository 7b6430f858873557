"""A small run from the command line: train, stop, score, and what the messages say."""

import json

import numpy as np
import pytest

from spoco_lite import data
from spoco_lite.__main__ import main
from spoco_lite.prediction.decoders import CANDIDATES, DEFAULTS, WHOLE_IMAGE, WITH_MASK
from spoco_lite.prediction.evaluate import evaluate_run

TINY = "--size 32 --steps 4 --widths 4 8 --batch 2 --held-out 1 --log-every 2".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", str(folder), *TINY]) == 0
    assert main(["evaluate", str(folder), "--tuning-images", "1"]) == 0
    return folder


def test_record_holds_scores_of_every_validation_image_both_ways(folder):
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["widths"] == [4, 8]
    ways = [f"{way}, {kind} decoder" for way in (WITH_MASK, WHOLE_IMAGE) for kind in ("default", "tuned")]
    assert list(record["scores"]) == ways
    for label, scores in record["scores"].items():
        assert scores["split"] == "val"
        assert len({i["name"] for i in scores["images"]}) == 12, label
        for key in ("sbd", "dic", "ap50", "ap", "are", "vi_split", "vi_merge"):
            assert scores["mean"][key] == pytest.approx(np.mean([i[key] for i in scores["images"]]), abs=1e-4)
    assert (folder / "examples.jpg").stat().st_size > 1000


def test_decoder_is_tuned_on_training_images_only(folder):
    record = json.loads((folder / "run.json").read_text())
    for way, tuning in record["tuning"].items():
        scored = {i["name"] for i in record["scores"][f"{way}, tuned decoder"]["images"]}
        assert tuning["images"] == record["held_out"], "all else was trained on"
        assert not scored & set(tuning["images"])
        held_out = [s for s in data.load("rosettes", "train") if s.name in record["held_out"]]
        assert tuning["objects"] == sum(len(np.unique(s.labels[s.labels > 0])) for s in held_out) > 0
        assert len(tuning["tried"]) == len(CANDIDATES[way])
        best = max(tuning["tried"], key=lambda t: t["sbd"])
        assert record["scores"][f"{way}, tuned decoder"]["decoder"] == best["decoder"]
        assert record["scores"][f"{way}, default decoder"]["decoder"] == DEFAULTS[way]


def test_finished_run_is_not_trained_again(folder, capsys):
    before = (folder / "checkpoint.pt").stat().st_mtime_ns
    assert main(["train", str(folder), *TINY]) == 0
    assert (folder / "checkpoint.pt").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "RUN", "--dataset", "tulips"], ["tulips", "rosettes", "cvppp"]),
        (["train", "RUN", "--fraction", "0"], ["fraction", "found 0"]),
        (["evaluate", "no-such-run"], ["no-such-run", "run.json"]),
        (["evaluate", "RUN", "--split", "train"], ["train", "val or test"]),
        (["evaluate", "cvppp-10"], ["cvppp-10", "a recorded run", "copy"]),
    ],
)
def test_wrong_input_is_answered_in_one_line(folder, tmp_path, capsys, arguments, words):
    run = folder if arguments[0] == "evaluate" else tmp_path
    assert main([str(run) if a == "RUN" else a for a in arguments]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    for word in words:
        assert word in message


def test_unknown_split_names_the_known_ones(folder):
    with pytest.raises(ValueError, match="'vall'.*train, val, test"):
        evaluate_run(folder, split="vall", progress=False)
