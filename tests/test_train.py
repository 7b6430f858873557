"""A tiny training on small synthetic plants: it learns, it records, and it can be stopped at any point."""

import csv
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

from spoco_lite import data
from spoco_lite.objective import LossTerms, SpocoLoss
from spoco_lite.prediction import decoders
from spoco_lite.results.runs import load_model
from spoco_lite.training import batches, validation
from spoco_lite.training import loop as train
from spoco_lite.training.batches import Batch
from spoco_lite.training.diagnostics import Diagnostics
from spoco_lite.training.learner import Learner
from spoco_lite.training.loop import Config, Training

TINY = Config(
    size=32, batch=2, steps=5, log_every=2, widths=(4, 8), embedding_dim=4, fraction=0.4, held_out=1, validate_every=2
)
load_data = functools.cache(data.load)  # the plants are painted once for all tests


@pytest.fixture(autouse=True)
def painted_once(monkeypatch):
    monkeypatch.setattr(data, "load", load_data)


@pytest.fixture(autouse=True)
def only_after_validation(monkeypatch):
    """A checkpoint follows each validation; none more on a slow machine."""
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", math.inf)


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
    without_time = [[{k: v for k, v in e.items() if k != "seconds"} for e in c["curve"]] for c in (ours, theirs)]
    assert without_time[0] == without_time[1]
    for name in ("run.json", "weights.safetensors"):
        assert (folder / name).is_file()
    assert (folder / "weights.safetensors").read_bytes() == (reference / "weights.safetensors").read_bytes()


# ---------------------------------------------------------------------- learning and recording


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", load_data)
        config = dataclasses.replace(TINY, steps=60, batch=4, log_every=10, validate_every=30, held_out=2)
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
    assert record["precision"] in ("bfloat16", "float32") and record["processes"] == 1
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 0
    assert record["parameters"] == sum(p.numel() for p in Training(TINY, folder).pair.f.parameters())
    assert {"device", "versions", "commit"} <= set(record)


def test_the_record_describes_the_data(learned):
    split = list(load_data("rosettes", "train", size=40))
    dense = split[:-2]  # the last two are held out
    described = learned[1]["data"]
    assert learned[1]["held_out"] == [s.name for s in split[-2:]]
    assert described["held_out_objects"] == sum(len(np.unique(s.labels)) - 1 for s in split[-2:])
    assert (described["dataset"], described["split"], described["images"]) == (
        "rosettes",
        "train",
        len(dense),
    )
    assert described["objects"] == sum(len(np.unique(s.labels)) - 1 for s in dense)
    assert described["annotated_objects"] == sum(max(1, round(0.4 * (len(np.unique(s.labels)) - 1))) for s in dense)
    assert 0 < described["annotated_pixels"] < np.mean([s.foreground.mean() for s in dense])
    assert len(described["checksum"]) == 64


def test_the_curve_has_every_term_and_the_score_where_it_was_validated(learned):
    curve = learned[1]["curve"]
    assert [e["step"] for e in curve] == [10, 20, 30, 40, 50, 60]
    assert [e["step"] for e in curve if "score_g" in e] == [e["step"] for e in curve if "score_f" in e] == [30, 60]
    for entry in curve:
        assert {*LossTerms._fields, *Diagnostics._fields} <= set(entry)
        assert 0 <= entry["within"] <= 1 and 0 <= entry["apart"] <= 1 and 0 <= entry["anchors"] <= 20
        assert all(math.isfinite(value) for value in entry.values())
        weighted = sum(entry[t] * (0.001 if t == "regularizer" else 1) for t in LossTerms._fields[1:])
        assert entry["total"] == pytest.approx(weighted, abs=1e-4)


def test_a_long_run_writes_checkpoints_between_validations(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0)
    found, step = [], Training.train_step
    monkeypatch.setattr(
        Training, "train_step", lambda self, batch: (found.append(checkpoint(tmp_path)["step"]), step(self, batch))[1]
    )
    run(dataclasses.replace(TINY, validate_every=5), tmp_path)
    assert found == [0, 1, 2, 3, 4]


def test_the_log_is_a_table_of_the_curve(learned):
    folder, record = learned
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items() if v} for row in rows] == record["curve"]


def test_the_weights_with_the_best_score_are_kept(tmp_path, monkeypatch):
    """Scores .5, .7, .3: the second validation's weights stay; an equal score later would have replaced them."""
    scores, saved = iter([0.5, 0.7, 0.3]), []
    monkeypatch.setattr(train, "validate", lambda *_, **__: {"score_g": next(scores), "score_f": 0.0})
    monkeypatch.setattr(
        train, "save_weights", lambda pair, path: saved.append([p.clone() for p in pair.g.parameters()])
    )
    training = Training(dataclasses.replace(TINY, steps=6), tmp_path, device="cpu")
    record = training.run(progress=False)
    assert record["kept"] == {"step": 4, "score": 0.7}
    assert len(saved) == 2
    assert not torch.equal(saved[-1][0], next(training.pair.g.parameters()))


def test_without_images_held_out_the_last_weights_are_kept(tmp_path):
    record = run(dataclasses.replace(TINY, held_out=0), tmp_path)
    assert record["kept"] == {"step": TINY.steps, "score": None}
    assert record["held_out"] == [] and record["data"]["images"] == 40
    assert not any("score_g" in entry for entry in record["curve"])


def test_a_finished_run_is_not_trained_again(uninterrupted, monkeypatch):
    before = (uninterrupted / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(Training, "train_step", lambda *_: pytest.fail("trained again"))
    scored = json.loads((uninterrupted / "run.json").read_text()) | {"scores": {"whole image": {}}}
    (uninterrupted / "run.json").write_text(json.dumps(scored))
    assert run(TINY, uninterrupted) == scored  # its scores are still there
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
    return lambda *args, **kwargs: then(*args, **kwargs) if next(left, None) is None else function(*args, **kwargs)


STOPS = {f"in step {k}": (Training, "train_step", k, stop) for k in range(5)} | {
    "while logging": (Training, "_log", 1, stop),
    "while validating": (train, "validate", 1, stop),
    "writing the first checkpoint": (torch, "save", 0, half_of_a_checkpoint),
    "writing the second checkpoint": (torch, "save", 1, half_of_a_checkpoint),
    "putting a checkpoint in place": (os, "replace", 2, stop),
    "writing the weights": (train, "save_weights", 0, stop),
    "after the best weights, before the checkpoint": (Training, "save", 1, stop),
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
from spoco_lite.training import loop as train
torch.set_num_threads({threads})
train.CHECKPOINT_SECONDS = float("inf")
save, calls = torch.save, []
def killed_while_saving(state, path):
    calls.append(path)
    save(state, path)
    if len(calls) == 3:
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
    assert (folder / "checkpoint.pt.tmp").is_file()  # half of the third one
    assert checkpoint(folder)["step"] == 2  # the second one, whole
    run(TINY, folder)
    assert_same_training(folder, uninterrupted)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_ctrl_c_ends_after_the_step_and_loses_nothing(step, uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            Training,
            "train_step",
            after(step - 1, Training.train_step, interrupt_then(Training.train_step)),
        )
        with pytest.raises(KeyboardInterrupt):
            run(TINY, tmp_path)
    assert checkpoint(tmp_path)["step"] == step
    run(TINY, tmp_path)
    assert_same_training(tmp_path, uninterrupted)


def interrupt_then(function):
    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return function(*args)

    return interrupted


def test_a_folder_holds_one_configuration(uninterrupted):
    before = (uninterrupted / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint\.pt: belongs to another configuration .*seed was 0, is now 1"):
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


# ---------------------------------------------------------------------- the small parts


def test_the_configuration_reaches_the_two_views_and_the_annotation(tmp_path, monkeypatch):
    asked = {}

    def two_views(images, labels, **options):
        asked.update(options)
        return images, images, labels

    monkeypatch.setattr(batches, "two_views", two_views)
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
    annotated = [(labels >= 0).all() or (labels < 0).all() for labels in training.batches.labels]
    assert all(annotated)


def test_without_consistency_an_image_without_annotation_is_left_out(tmp_path):
    options = {"annotate": "images", "fraction": 0.1, "background": "all"}
    alone = train.Training(dataclasses.replace(TINY, consistency=0.0, **options), tmp_path / "alone")
    beside = train.Training(dataclasses.replace(TINY, **options), tmp_path / "beside")
    assert (len(alone.batches.names), len(beside.batches.names)) == (4, 39)
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
        ({"dataset": "cells3d"}, r"cells3d000: an image of shape .*volumes need a size of three numbers and crop=True"),
        ({"in_channels": 1}, r"rosette000: the image has 3 channels, in_channels is 1"),
    ],
)
def test_images_that_the_loop_cannot_take(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train.Training(dataclasses.replace(TINY, **options), tmp_path)


def test_a_compiled_network_trains_alike(tmp_path, monkeypatch):
    """Through the compiler's first half; the second, which writes kernels, needs a minute and a C++ compiler."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    plain, compiled = (Training(TINY, tmp_path / str(c), device="cpu", compiled=c) for c in (False, True))
    assert compiled.net is not compiled.pair.f
    for training in (plain, compiled):
        training.precision = "float32"
        training.train_step(training.draw(0))
    for name, value in plain.pair.state_dict().items():
        torch.testing.assert_close(compiled.pair.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_an_option_of_the_loss_reaches_it(tmp_path):
    config = dataclasses.replace(TINY, loss_options={"anchor": "pixel", "regularizer": 0.5})
    training = Training(config, tmp_path, device="cpu")
    assert training.loss.options["instance"]["anchor"] == "pixel"
    assert training.loss.weights["regularizer"] == 0.5


@pytest.mark.parametrize("name", ["anchors", "delta_var", "max_objects"])
def test_an_option_that_the_loss_does_not_have_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=f"loss_options: found {name}"):
        Training(dataclasses.replace(TINY, loss_options={name: 1}), tmp_path)


def test_the_loss_of_a_stride_looks_at_a_lattice_that_moves():
    """Each pixel gets its turn, and one batch's terms are those of the lattice's pixels alone."""
    config = Config(size=16, batch=1, widths=(4,), loss_stride=2, consistency=0.0)
    learner = Learner(config, max_objects=2)
    seen = torch.zeros(16, 16)
    for learner.step in range(40):
        seen[learner.lattice()] += 1
    assert seen.min() > 0 and seen.sum() == 40 * 64
    learner.step = 0
    labels = torch.randint(-1, 3, (1, 16, 16), generator=torch.Generator().manual_seed(0))
    batch = Batch(*torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), labels)
    lattice = (..., *learner.lattice())
    emb_f, emb_g, _ = learner.embed(batch)
    expected = learner.loss(emb_f[lattice], emb_g[lattice], labels[lattice])
    torch.testing.assert_close(learner.train_step(batch), LossTerms(*(t.detach() for t in expected)))
