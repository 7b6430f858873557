"""A tiny training on small synthetic plants: it learns, it records, and it can be stopped at any point."""

import csv
import dataclasses
import functools
import json
import math

import numpy as np
import pytest
import torch

from spoco_lite import data
from spoco_lite.objective import LossTerms
from spoco_lite.training import batches
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
