"""Volumes are scored in their own resolution, with bounded memory, and each is embedded once."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from spoco_lite.data import Sample, Samples
from spoco_lite.data.writing import write_json
from spoco_lite.prediction import decoders, evaluate
from spoco_lite.prediction.decoders import CANDIDATES, DEFAULTS, WHOLE_IMAGE, Decoding
from spoco_lite.prediction.evaluate import centre, score, score_all, tune
from spoco_lite.unet import MomentumPair

PLAIN = {"cluster": "mean_shift", "radius": 1.0, "consistent": False, "min_size": 20}


class Grey(nn.Module):
    """The embedding of a voxel is its grey level, far apart; counts the calls and keeps the largest size it saw."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))
        self.calls, self.largest = 0, 0

    def forward(self, images):
        self.calls += 1
        self.largest = max(self.largest, images[0, 0].numel())
        return images * self.scale * torch.ones(1, 2, 1, 1, 1)

    foreground, view = False, None  # as EmbeddingUNet says it

    def split(self, output):
        return output, None


@pytest.fixture
def pair():
    return MomentumPair(Grey())


def volume(name="a", shape=(8, 24, 30), greys=(0.4, 0.7, 1.0)) -> Sample:
    """Three blocks, of which two may have one grey level, in a dark volume without foreground mask."""
    image, labels = np.zeros((1, *shape), np.float32), np.zeros(shape, np.int64)
    blocks = np.s_[1:5, 2:9, 2:9], np.s_[2:7, 12:22, 3:9], np.s_[1:7, 5:20, 15:26]
    for k, (block, grey) in enumerate(zip(blocks, greys), 1):
        image[0][block], labels[block] = grey, k
    return Sample(image, labels, name)


def test_perfect_embeddings_of_a_volume_have_perfect_scores(pair):
    result = score(pair, [volume()], DEFAULTS[WHOLE_IMAGE], size=None, masked=False, progress=False)
    assert result["mean"] == {
        "sbd": 1, "dic": 0, "ap50": 1, "ap": 1, "are": 0, "vi_split": 0, "vi_merge": 0, "abs_dic": 0
    }  # fmt: skip


def test_a_zoomed_volume_is_embedded_small_and_scored_in_its_own_size(pair):
    small = volume()
    sample = small._replace(
        image=small.image.repeat(2, axis=2).repeat(2, axis=3), labels=small.labels.repeat(2, axis=1).repeat(2, axis=2)
    )
    result = score(pair, [sample], PLAIN, size=(1.0, 0.5, 0.5), masked=False, progress=False)
    assert pair.g.largest == small.labels.size
    assert result["mean"]["dic"] == 0 and result["mean"]["sbd"] == pytest.approx(1, abs=0.02)


def test_a_merged_object_costs_in_each_score(pair):
    mean = score(pair, [volume(greys=(0.4, 0.4, 1.0))], PLAIN, size=None, masked=False, progress=False)["mean"]
    assert mean["sbd"] < 1 and mean["dic"] == -1 and mean["ap50"] == 0.6667 and mean["ap"] < 0.6667
    assert mean["are"] > 0 and mean["vi_merge"] > 0 and mean["vi_split"] == 0


def test_pieces_tell_objects_of_one_embedding_apart(pair):
    sample = volume(greys=(0.4, 0.4, 1.0))
    decoding = Decoding(pair, sample, size=None)
    assert decoding.labels(PLAIN, masked=False).max() == 2
    labels = decoding.labels(PLAIN | {"pieces": 50}, masked=False)
    assert labels.max() == 3
    assert (labels > 0).tolist() == (sample.labels > 0).tolist()
    assert decoding.labels(PLAIN | {"pieces": 250}, masked=False).max() == 2, "the block of 196 voxels is no object"


def test_an_image_is_embedded_once_for_all_decoders(pair):
    decoders = [(decoder, False) for decoder in CANDIDATES[WHOLE_IMAGE][::5]]
    both = score_all(pair, [volume("a"), volume("b")], decoders, size=None, progress=False)
    assert pair.f.calls == pair.g.calls == 2
    for (decoder, masked), scored in zip(decoders, both):
        assert scored["decoder"] == decoder
        alone = score(pair, [volume("a"), volume("b")], decoder, size=None, masked=masked, progress=False)
        assert alone == scored


def test_without_consistency_f_is_not_asked(pair):
    score(pair, [volume()], PLAIN, size=None, masked=False, progress=False)
    assert (pair.f.calls, pair.g.calls) == (0, 1)


def test_a_decoder_is_tuned_on_the_centre_of_a_large_volume(pair, monkeypatch):
    monkeypatch.setattr(evaluate, "TUNING_WINDOW", 8 * 14 * 14)
    sample = volume()
    tuning = tune(pair, [sample], size=None, masked=False, progress=False)
    assert pair.g.largest == 8 * 14 * 14
    middle = sample.labels[:, 5:19, 8:22]
    assert np.array_equal(centre(sample, 8 * 14 * 14).labels, middle)
    assert tuning["objects"] == len(np.unique(middle[middle > 0])) == 3
    assert len(tuning["tried"]) == len(CANDIDATES[WHOLE_IMAGE])


def test_centre_leaves_a_small_sample_as_it_is_and_takes_the_mask_along():
    sample = volume()._replace(foreground=volume().labels > 0)
    whole = centre(sample, 10**6)
    assert whole.image.shape == sample.image.shape and np.array_equal(whole.labels, sample.labels)
    part = centre(sample, 1000)
    assert np.array_equal(part.foreground, part.labels > 0) and part.labels.size <= 1000
    assert part.image.shape[1:] == part.labels.shape


def test_a_volume_too_large_for_one_piece_goes_in_tiles(pair, monkeypatch):
    seen = {}

    def tiles(pair, image, **options):
        seen.update(options, shape=image.shape)
        return np.zeros(image.shape[1:], np.int64)

    monkeypatch.setattr(decoders, "segment_tiles", tiles)
    decoder = {"cluster": "mean_shift", "radius": 1.0, "iou_threshold": 0.4, "consistent": True, "min_size": 30}
    Decoding(pair, volume(), size=None).labels(decoder, masked=False)
    assert not seen
    monkeypatch.setattr(decoders, "IN_ONE_PIECE", 1000)
    Decoding(pair, volume(), size=None).labels(decoder, masked=False)
    assert seen["shape"] == (1, 8, 24, 30) and seen["cluster"].keywords == {"radius": 1.0}
    assert (seen["iou_threshold"], seen["consistent"], seen["min_size"]) == (0.4, True, 30)
    assert seen["foreground"] is None


@pytest.fixture
def run(pair, tmp_path, monkeypatch):
    """A folder with the record of a run on volumes, a data set without val, and networks that know grey levels."""
    names = {"train": ["t0", "t1", "t2"], "test": ["e0", "e1"]}
    monkeypatch.setattr(evaluate.data, "load", lambda name, split, **options: Samples(names[split], volume))
    monkeypatch.setattr(evaluate, "load_model", lambda folder: pair)
    config = {"dataset": "ovules", "size": [8, 16, 16], "crop": True, "data_options": {}}
    write_json(tmp_path / "run.json", {"name": "small", "config": config, "held_out": ["t1"], "scores": {}})
    return tmp_path


def test_evaluate_run_of_volumes(run):
    evaluate.evaluate_run(run, progress=False)
    record = json.loads((run / "run.json").read_text())
    assert list(record["tuning"]) == [WHOLE_IMAGE], "the set has no foreground mask"
    assert record["tuning"][WHOLE_IMAGE]["images"] == ["t1"], "the one held out of training chooses"
    assert record["tuning"][WHOLE_IMAGE]["objects"] == 3
    for scored in record["scores"].values():
        assert scored["split"] == "test", "there is no val"
        assert [i["name"] for i in scored["images"]] == ["e0", "e1"]
        assert scored["mean"]["sbd"] == 1
    assert (run / "examples.jpg").stat().st_size > 1000


def test_without_held_out_images_the_first_of_the_training_choose(run):
    record = json.loads((run / "run.json").read_text())
    del record["held_out"]  # as in older records
    write_json(run / "run.json", record)
    record = evaluate.evaluate_run(run, tuning_images=2, progress=False)
    assert record["tuning"][WHOLE_IMAGE]["images"] == ["t0", "t1"]


def test_the_split_that_chooses_is_never_scored(run):
    with pytest.raises(ValueError, match="split: found 'train'.*val or test"):
        evaluate.evaluate_run(run, split="train", progress=False)


def test_pictures_of_few_volumes_show_each_once(run, pair, monkeypatch):
    shown = []

    def panels(pictures, titles, *, columns):
        shown.append((titles, columns, {np.shape(p)[-2:] for p in pictures}))
        return original(pictures, titles, columns=columns)

    original = evaluate.panels
    monkeypatch.setattr(evaluate, "panels", panels)
    record = evaluate.evaluate_run(run, progress=False)
    evaluate.draw_examples(pair, [volume("e0")], _only(record, "e0"), run / "one.jpg")
    titles, columns, sizes = shown[1]
    assert titles == ["e0", "annotated", "whole image\nSBD 1.00"] and columns == 3 and sizes == {(24, 30)}
    assert len(shown[0][0]) == 6


def _only(record: dict, name: str) -> dict:
    scores = {
        way: scored | {"images": [i for i in scored["images"] if i["name"] == name]}
        for way, scored in record["scores"].items()
    }
    return record | {"scores": scores}
