"""One step of a training, and what is said when it goes wrong."""

import dataclasses
import json
import math

import numpy as np
import pytest
import test_train
import torch
from test_train import TINY, checkpoint, load_data, run

from spoco_lite import data
from spoco_lite.objective import SpocoLoss
from spoco_lite.prediction import decoders
from spoco_lite.results.runs import load_model
from spoco_lite.training import batches, validation
from spoco_lite.training import loop as train
from spoco_lite.training.loop import Config, Training

painted_once, only_after_validation = test_train.painted_once, test_train.only_after_validation


# ---------------------------------------------------------------------- one step


@pytest.fixture
def training(tmp_path):
    return Training(TINY, tmp_path / "run", device="cpu")


def test_the_batch_of_a_step_follows_from_its_number(training):
    first, again, other = training.draw(3), training.draw(3), training.draw(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first.view_f, other.view_f)
    assert first.view_f.shape == (2, 3, 32, 32) and first.labels.shape == (2, 32, 32)


def test_validation_changes_nothing(training):
    training.train_step(training.draw(0))
    before = {k: v.clone() for k, v in training.pair.state_dict().items()}
    scores = train.validate(training.pair, load_data("rosettes", "train", size=32)[:2], size=32)
    assert scores.keys() == {"score_g", "score_f"} and all(0 <= score <= 1 for score in scores.values())
    assert all(torch.equal(v, before[k]) for k, v in training.pair.state_dict().items())


def test_the_threshold_that_suits_best_counts_unless_one_is_given():
    pair, samples = load_model("cvppp-10"), load_data("rosettes", "train", size=96)[:2]
    single = [validation.validate(pair, samples, size=96, decoder={"iou_threshold": t}) for t in validation.THRESHOLDS]
    assert len({s["score_g"] for s in single}) > 1
    best = {name: max(s[name] for s in single) for name in single[0]}
    assert validation.validate(pair, samples, size=96) == best


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_no_checkpoint_holds_what_is_not_finite(tmp_path, monkeypatch, where):
    """A checkpoint is due after each step, an entry of the curve is not; step 2 spoils the run."""
    step = Training.train_step

    def spoiled(self, batch):
        terms = step(self, batch)
        if self.step == 2 and where == "weights":
            next(self.pair.f.parameters()).data.fill_(math.nan)
        return terms._replace(pull=terms.pull * math.nan) if self.step == 2 and where == "loss" else terms

    monkeypatch.setattr(Training, "train_step", spoiled)
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", -1)
    with pytest.raises(FloatingPointError, match=f"{'pull' if where == 'loss' else 'the weights'} not finite"):
        run(dataclasses.replace(TINY, steps=9, log_every=9, validate_every=9), tmp_path)
    state = checkpoint(tmp_path)
    assert state["step"] == 1 and state["sums"].isfinite().all()
    assert all(value.isfinite().all() for value in state["pair"].values())


def test_an_image_held_out_can_be_too_large_for_one_piece(training, monkeypatch):
    sample = load_data("rosettes", "train", size=96)[0]
    whole = validation.validate(training.pair, [sample], size=None)
    monkeypatch.setattr(decoders, "IN_ONE_PIECE", 1000)
    assert validation.validate(training.pair, [sample], size=None) == pytest.approx(whole, abs=0.1)


@pytest.mark.parametrize("consistency", [0.0, 1.0])
def test_a_step_moves_f_and_g_follows(consistency, tmp_path):
    training = Training(dataclasses.replace(TINY, consistency=consistency), tmp_path, device="cpu")
    start = {k: v.clone() for k, v in training.pair.f.named_parameters()}
    terms = training.train_step(training.draw(0))
    assert (terms.consistency > 0) == (consistency > 0)
    for name, g in training.pair.g.named_parameters():
        f = training.pair.f.get_parameter(name)
        assert not torch.equal(f, start[name]), name
        torch.testing.assert_close(g, start[name].lerp(f, 10 / 11))  # the average is short at first: momentum 1/11


# ---------------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_not_finite_is_reported_with_its_term_and_its_image(tmp_path, monkeypatch):
    """From some step on, the term that pulls one image together is not a number."""
    images = Training(TINY, tmp_path / "looked at").batches
    numbers = images.numbers(2)
    bad = images.labels[numbers[1]]
    call = SpocoLoss.__call__
    monkeypatch.setattr(batches, "two_views", lambda images, labels, **_: (images, images, labels))

    def poisoned(self, emb_f, emb_g, labels, **options):
        terms = call(self, emb_f, emb_g, labels, **options)
        if not any(torch.equal(one, bad) for one in labels):
            return terms
        nan = terms.push * float("nan")
        return terms._replace(total=terms.total + nan, push=nan)

    monkeypatch.setattr(SpocoLoss, "__call__", poisoned)
    with pytest.raises(FloatingPointError) as error:
        run(TINY, tmp_path / "run")
    assert "step 4: total" in str(error.value) and "push" in str(error.value)
    assert f"in step 3: total, push of image {images.names[numbers[1]]}." in str(error.value)
    assert images.names[numbers[0]] not in str(error.value)
    assert checkpoint(tmp_path / "run")["step"] == 2


def test_a_learning_rate_that_is_far_too_high_is_reported(tmp_path):
    with pytest.raises(FloatingPointError, match=r"not finite .* lower learning_rate"):
        run(dataclasses.replace(TINY, learning_rate=1e30), tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_image_with_nan_is_named(tmp_path, monkeypatch, bad):
    samples = list(load_data("rosettes", "train", size=40))
    image = samples[3].image.copy()
    image[0, 5, 5] = bad
    samples[3] = samples[3]._replace(image=image)
    monkeypatch.setattr(data, "load", lambda *_, **__: samples)
    with pytest.raises(ValueError, match=f"{samples[3].name}: the image holds NaN"):
        run(TINY, tmp_path)


def test_an_image_without_objects_is_named(tmp_path, monkeypatch):
    samples = list(load_data("rosettes", "train", size=40))
    samples[3] = samples[3]._replace(labels=np.zeros_like(samples[3].labels))
    monkeypatch.setattr(data, "load", lambda *_, **__: samples)
    with pytest.raises(ValueError, match=f"{samples[3].name}: the image has no object"):
        run(TINY, tmp_path)


def test_volumes_are_zoomed_for_training_and_for_validation(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(train, "validate", lambda *_, size, **options: asked.append(size) or {"score_g": 0.5})
    config = dataclasses.replace(
        TINY, dataset="cells3d", crop=True, size=(12, 16, 16), in_channels=1, photometry="microscopy", steps=2,
        zoom=(1.0, 0.5, 0.5),
    )  # fmt: skip
    training = Training(config, tmp_path, device="cpu")
    (held_out,) = training.held_out
    depth, height, width = held_out.labels.shape
    assert training.batches.images.shape[2:] == (depth, height // 2, width // 2)
    training.run(progress=False)
    assert asked == [(1.0, 0.5, 0.5)]
    assert Config.from_record(json.loads((tmp_path / "run.json").read_text())["config"]) == config


def test_thin_windows_of_volumes_have_finite_gradients(tmp_path):
    """In bfloat16, 3D convolutions of some CPUs give NaN for this shape and width."""
    config = dataclasses.replace(
        TINY, dataset="cells3d", crop=True, size=(4, 64, 64), scale=(0.8, 1.0), in_channels=1, widths=(32,),
        photometry="microscopy",
    )  # fmt: skip
    training = Training(config, tmp_path, device="cpu")
    training.train_step(training.draw(0))
    assert all(torch.isfinite(value).all() for value in training.pair.state_dict().values())


def test_an_unknown_data_set_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="data set: found 'rossettes'"):
        run(dataclasses.replace(TINY, dataset="rossettes"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
