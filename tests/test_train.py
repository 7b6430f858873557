"""A tiny training on small synthetic plants: it learns, it records, and it can be stopped at any point."""

import dataclasses
import functools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spoco_lite import data, train
from spoco_lite.losses import LossTerms
from spoco_lite.train import Config, Training

TINY = Config(
    size=32, batch=2, steps=5, log_every=2, widths=(4, 8), embedding_dim=4, fraction=0.4, validation_images=1
)
load_data = functools.cache(data.load)  # the plants are painted once for all tests


@pytest.fixture(autouse=True)
def painted_once(monkeypatch):
    monkeypatch.setattr(data, "load", load_data)


def run(config, folder):
    return train.train(config, folder, device="cpu", progress=False)


def checkpoint(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    run(TINY, folder)
    return folder


def assert_same_training(folder, reference):
    ours, theirs = checkpoint(folder), checkpoint(reference)
    for name, value in theirs["pair"].items():
        assert torch.equal(ours["pair"][name], value), name  # bit for bit
    for index, state in theirs["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(ours["optimizer"]["state"][index][name], value), (index, name)
    without_time = [
        [{k: v for k, v in e.items() if k != "seconds"} for e in c["curve"]] for c in (ours, theirs)
    ]
    assert without_time[0] == without_time[1]
    for name in ("run.json", "weights.safetensors"):
        assert (folder / name).is_file()
    assert (folder / "weights.safetensors").read_bytes() == (reference / "weights.safetensors").read_bytes()


# ---------------------------------------------------------------------- learning and recording


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", load_data)
        config = dataclasses.replace(
            TINY, steps=60, batch=4, log_every=10, validate_every=30, validation_images=2
        )
        folder = tmp_path_factory.mktemp("runs") / "learned"
        return folder, run(config, folder)


def test_the_loss_falls(learned):
    first, *_, last = learned[1]["curve"]
    assert last["total"] < 0.75 * first["total"]


def test_the_record_says_what_was_done(learned):
    folder, record = learned
    assert json.loads(json.dumps(record)) == json.loads((folder / "run.json").read_text())
    assert record["name"] == "learned"
    assert record["config"]["learning_rate"] == TINY.learning_rate
    assert record["steps"] == 60
    assert record["scores"] == {}
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 0
    assert record["parameters"] == sum(p.numel() for p in Training(TINY, folder).pair.f.parameters())
    assert {"device", "versions", "commit"} <= set(record)


def test_the_record_describes_the_data(learned):
    dense = load_data("rosettes", "train", size=40)
    described = learned[1]["data"]
    assert (described["dataset"], described["split"], described["images"]) == (
        "rosettes",
        "train",
        len(dense),
    )
    assert described["objects"] == sum(len(np.unique(s.labels)) - 1 for s in dense)
    assert described["annotated_objects"] == sum(
        max(1, round(0.4 * (len(np.unique(s.labels)) - 1))) for s in dense
    )
    assert 0 < described["annotated_pixels"] < np.mean([s.foreground.mean() for s in dense])
    assert len(described["checksum"]) == 64


def test_the_curve_has_every_term_and_the_score_where_it_was_validated(learned):
    curve = learned[1]["curve"]
    assert [e["step"] for e in curve] == [10, 20, 30, 40, 50, 60]
    assert [e["step"] for e in curve if "sbd" in e] == [30, 60]
    for entry in curve:
        assert set(LossTerms._fields) <= set(entry)
        assert all(math.isfinite(value) for value in entry.values())
        weighted = sum(entry[t] * (0.001 if t == "regularizer" else 1) for t in LossTerms._fields[1:])
        assert entry["total"] == pytest.approx(weighted, abs=1e-4)


def test_a_finished_run_is_not_trained_again(uninterrupted, monkeypatch):
    before = (uninterrupted / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(Training, "train_step", lambda *_: pytest.fail("trained again"))
    assert run(TINY, uninterrupted)["steps"] == TINY.steps
    assert (uninterrupted / "checkpoint.pt").read_bytes() == before


# ---------------------------------------------------------------------- stopping and going on


class Stop(BaseException):
    """As sudden as a KeyboardInterrupt."""


def stop(*_, **__):
    raise Stop


def half_of_a_checkpoint(state, path):
    Path(path).write_bytes(b"PK\x03\x04 half of it")
    raise Stop


def after(calls, function, then):
    """``function`` for some calls, then ``then``."""
    left = iter(range(calls))
    return lambda *args, **kwargs: (
        then(*args, **kwargs) if next(left, None) is None else function(*args, **kwargs)
    )


STOPS = {f"in step {k}": (Training, "train_step", k, stop) for k in range(5)} | {
    "while logging": (Training, "_log", 1, stop),
    "while validating": (Training, "validate", 0, stop),
    "writing the first checkpoint": (torch, "save", 0, half_of_a_checkpoint),
    "writing the second checkpoint": (torch, "save", 1, half_of_a_checkpoint),
    "putting the second checkpoint in place": (os, "replace", 1, stop),
    "writing the weights": (train, "save_weights", 0, stop),
    "writing the record": (train, "write_json", 0, stop),
}


@pytest.mark.parametrize("point", STOPS)
def test_resuming_gives_the_weights_of_an_uninterrupted_run(point, uninterrupted, tmp_path, monkeypatch):
    place, name, calls, then = STOPS[point]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, after(calls, getattr(place, name), then))
        with pytest.raises(Stop):
            run(TINY, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
    run(TINY, tmp_path / "run")
    assert_same_training(tmp_path / "run", uninterrupted)


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from spoco_lite import train
torch.set_num_threads({threads})
save, calls = torch.save, []
def killed_while_saving(state, path):
    calls.append(path)
    save(state, path)
    if len(calls) == 2:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = killed_while_saving
train.train(train.{config!r}, {folder!r}, device="cpu", progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_9_in_the_middle_of_a_checkpoint(uninterrupted, tmp_path):
    folder = tmp_path / "killed"
    script = KILLED.format(threads=torch.get_num_threads(), config=TINY, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (folder / "checkpoint.tmp").is_file()  # half of the second one
    assert checkpoint(folder)["step"] == 2  # the first one, whole
    run(TINY, folder)
    assert_same_training(folder, uninterrupted)


def test_a_folder_holds_one_configuration(uninterrupted):
    before = (uninterrupted / "checkpoint.pt").read_bytes()
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt: belongs to another configuration .*seed was 0, is now 1"
    ):
        run(dataclasses.replace(TINY, seed=1), uninterrupted)
    assert (uninterrupted / "checkpoint.pt").read_bytes() == before


def test_only_the_length_of_a_run_may_change_and_the_record_says_so(tmp_path):
    assert run(dataclasses.replace(TINY, steps=2), tmp_path)["changes"] == []
    record = run(TINY, tmp_path)
    (change,) = record["changes"]
    assert change | {"at_step": 2, "steps_before": 2, "steps_after": TINY.steps} == change
    assert record["steps"] == record["curve"][-1]["step"] == TINY.steps


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of it", b"no checkpoint"])
def test_an_unreadable_checkpoint_is_named(content, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt: not a readable checkpoint"):
        run(TINY, tmp_path)


# ---------------------------------------------------------------------- one step


@pytest.fixture
def training(tmp_path):
    return Training(TINY, tmp_path / "run", device="cpu")


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order(training, monkeypatch):
    monkeypatch.setattr(train, "two_views", lambda images, labels, **_: (images, images, labels))
    n = len(training.images)
    steps = n // TINY.batch
    sums = [image.sum().item() for t in range(2 * steps) for image in training.draw(t).view_f]
    epochs = sums[:n], sums[n:]
    assert (
        sorted(epochs[0])
        == sorted(epochs[1])
        == pytest.approx(sorted(x.sum().item() for x in training.images))
    )
    assert len(set(epochs[0])) == n
    assert epochs[0] != epochs[1]


def test_the_batch_of_a_step_follows_from_its_number(training):
    first, again, other = training.draw(3), training.draw(3), training.draw(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first.view_f, other.view_f)
    assert first.view_f.shape == (2, 3, 32, 32) and first.labels.shape == (2, 32, 32)


def test_validation_changes_nothing(training):
    training.train_step(training.draw(0))
    before = {k: v.clone() for k, v in training.pair.state_dict().items()}
    score = training.validate(load_data("rosettes", "val", size=32)[:2])
    assert 0 <= score <= 1
    assert all(torch.equal(v, before[k]) for k, v in training.pair.state_dict().items())


@pytest.mark.parametrize("consistency", [0.0, 1.0])
def test_a_step_moves_f_and_g_follows(consistency, tmp_path):
    training = Training(dataclasses.replace(TINY, consistency=consistency), tmp_path, device="cpu")
    start = {k: v.clone() for k, v in training.pair.f.named_parameters()}
    terms = training.train_step(training.draw(0))
    assert (terms.consistency > 0) == (consistency > 0)
    for name, g in training.pair.g.named_parameters():
        f = training.pair.f.get_parameter(name)
        assert not torch.equal(f, start[name]), name
        torch.testing.assert_close(
            g, start[name].lerp(f, 10 / 11)
        )  # the average is short at first: momentum 1/11


# ---------------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_not_finite_is_reported_with_its_term(tmp_path, monkeypatch):
    step = Training.train_step

    def poisoned(self, batch):
        terms = step(self, batch)
        bad = torch.tensor(float("nan"))
        return terms._replace(total=bad, push=bad) if self.step == 3 else terms

    monkeypatch.setattr(Training, "train_step", poisoned)
    with pytest.raises(FloatingPointError, match="step 4: total, push not finite"):
        run(TINY, tmp_path)
    assert checkpoint(tmp_path)["step"] == 2


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


def test_an_unknown_data_set_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="data set: found 'rossettes'"):
        run(dataclasses.replace(TINY, dataset="rossettes"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------- the small parts


@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_the_learning_rate_rises_and_then_falls(steps):
    factors = [train.schedule(t, steps) for t in range(steps)]
    peak = factors.index(max(factors))
    assert max(factors) == pytest.approx(1, abs=0.01)
    assert all(0 < x <= 1 for x in factors)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert steps < 1000 or factors[-1] < 1e-4


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[-1, 0, 7], [3, 7, 900]], [[-1, 0, 2], [1, 2, 3]]),
        ([[-1, -1, 7], [3, 7, 900]], [[-1, -1, 2], [1, 2, 3]]),
        ([[5, 5], [5, 5]], [[1, 1], [1, 1]]),  # no background: the object must not become 0
        ([[-1, 0], [0, -1]], [[-1, 0], [0, -1]]),
    ],
)
def test_renumbering(labels, expected):
    assert train._renumbered(np.array(labels)).tolist() == expected


def test_the_configuration_reaches_the_two_views_and_the_annotation(tmp_path, monkeypatch):
    asked = {}

    def two_views(images, labels, **options):
        asked.update(options)
        return images, images, labels

    monkeypatch.setattr(train, "two_views", two_views)
    options = {
        "symmetry": "upright",
        "photometry": "microscopy",
        "annotate": "images",
        "number": 20,
        "background": "all",
    }
    training = train.Training(dataclasses.replace(TINY, **options), tmp_path)
    training.draw(0)
    assert (asked["symmetry"], asked["photometry"], asked["size"]) == ("upright", "microscopy", TINY.size)
    assert (training.plan.how, training.plan.number, training.plan.background) == ("images", 20, "all")
    annotated = [(labels >= 0).all() or (labels < 0).all() for labels in training.labels]
    assert all(annotated)


def test_without_consistency_an_image_without_annotation_is_left_out(tmp_path):
    options = {"annotate": "images", "fraction": 0.1, "background": "all"}
    alone = train.Training(dataclasses.replace(TINY, consistency=0.0, **options), tmp_path / "alone")
    beside = train.Training(dataclasses.replace(TINY, **options), tmp_path / "beside")
    assert (len(alone.images), len(beside.images)) == (4, 40)
    assert alone.description == beside.description
    assert alone.description["annotated_images"] == 4


def test_a_run_keeps_its_annotation_plan(tmp_path):
    config = dataclasses.replace(TINY, fraction=0.3)
    train.train(config, tmp_path, progress=False)
    plan = data.Plan.read(tmp_path / "annotation.json")
    assert plan == train.Training(config, tmp_path / "again").plan
    with pytest.raises(ValueError, match="another configuration"):
        train.train(dataclasses.replace(config, fraction=0.6), tmp_path, progress=False)
    assert data.Plan.read(tmp_path / "annotation.json") == plan  # the refused one wrote nothing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "cells3d"}, r"cells3d000: a volume of shape .* training takes images"),
        ({"in_channels": 1}, r"rosette000: the image has 3 channels, in_channels is 1"),
    ],
)
def test_images_that_the_loop_cannot_take(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train.Training(dataclasses.replace(TINY, **options), tmp_path)
