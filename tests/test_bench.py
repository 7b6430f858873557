"""The experiment bench: each kind of row makes an entry, no row sees what is reported, a stopped plan goes on."""

import dataclasses
import doctest
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spoco_lite import data, losses, objective
from spoco_lite.data import Samples
from spoco_lite.data.splits import split_names
from spoco_lite.losses import consistency_loss
from spoco_lite.objective import SpocoLoss
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "book" / "bench"
sys.path.insert(0, str(BENCH))
import job  # noqa: E402
import ledger  # noqa: E402
import measure  # noqa: E402
import own_images  # noqa: E402
import patches  # noqa: E402
import peers  # noqa: E402
import slices  # noqa: E402
from rows import BASES, ROWS, SEEDS, Row  # noqa: E402

spec = importlib.util.spec_from_file_location("bench", BENCH / "__main__.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

TINY = {"dataset": "rosettes", "held_out": 2, "size": 32, "batch": 2, "steps": 5, "widths": (4, 8), "log_every": 1}
WHOLE, INSIDE = job.WHOLE, job.INSIDE


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(BASES, "leaves", TINY)


@pytest.mark.parametrize("module", [ledger, measure, peers, slices])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


# ---------------------------------------------------------------------- the plan


def test_rows_have_names_of_their_own_and_configurations_that_exist(monkeypatch):
    monkeypatch.undo()
    assert len({row.name for row in ROWS}) == len(ROWS)
    configs = {}
    for row in ROWS:
        config = job.config_of(row, seed=1)
        assert config.seed == 1
        key = json.dumps([config.plain(), row.peer, row.patch], sort_keys=True)
        assert configs.setdefault(key, row.name) == row.name, "two rows are the same training"
    assert len(SEEDS) >= 3


@pytest.mark.parametrize("base", ["leaves", "nuclei"])
def test_what_scores_the_rows_is_of_the_training_split_and_trained_no_row(base, monkeypatch):
    monkeypatch.undo()
    name, number = BASES[base]["dataset"], BASES[base]["held_out"]
    scoring = split_names(name, "train")[-number:]
    assert not {*scoring} & {*split_names(name, "val"), *split_names(name, "test")}
    for entry in bench.entries(base):
        for images in entry["scores"].values():
            assert [*images] == scoring, entry["row"]


def test_recorded_entries_are_those_of_the_rows():
    rows = {row.name: row for row in ROWS}
    for base in BASES:
        entries = bench.entries(base)
        assert len({(e["row"], e["seed"]) for e in entries}) == len(entries)
        for entry in entries:
            bench.check(rows[entry["row"]], entry)


# ---------------------------------------------------------------------- an entry

# What a patch needs so that it changes something.
SETTINGS = dict.fromkeys(patches.PATCHES, {"fraction": 0.3}) | {"images alike": {"fraction": 0.3, "annotate": "images"}}
for name in ("all the rest", "bounded rest"):
    SETTINGS[name] = {"fraction": 0.3, "background": "strokes", "unit": (4.0, 4.0), "foreground": 1.0}
PEERS = dict.fromkeys(patches.PATCHES) | {"classes with rims": "three classes"}


@pytest.fixture
def patched(monkeypatch):
    """Functions of the module that a patch replaces are put back after the test."""
    monkeypatch.setattr(losses, "_near_objects", losses._near_objects)
    monkeypatch.setattr(objective, "foreground_loss", losses.foreground_loss)
    monkeypatch.setattr(peers, "three_class_loss", peers.three_class_loss)


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize(
    "row",
    [
        Row(name="paper", base="leaves", settings={"fraction": 0.3}),
        Row(name="ours", base="leaves", settings={"fraction": 0.3, "unit": (4.0, 4.0), "foreground": 1.0}),
        Row(name="classes", base="leaves", settings={"background": "all"}, peer="three classes"),
        Row(name="threshold", base="leaves", peer="threshold"),
        *(Row(name=p, base="leaves", settings=SETTINGS[p], peer=PEERS[p], patch=p) for p in patches.PATCHES),
    ],
    ids=lambda row: row.name,
)
def test_each_kind_of_row_makes_an_entry(row, tmp_path):
    entry = job.make(row, 0, tmp_path)
    assert json.loads(json.dumps(entry)) == entry | {"settings": json.loads(json.dumps(row.settings))}
    names = data.load("rosettes", "train").names[-2:]
    for way in (WHOLE, INSIDE):
        assert [*entry["scores"][way]] == names
        assert all(0 <= sbd <= 1 and 0 <= ap <= 1 for sbd, ap, _ in entry["scores"][way].values())
    assert all(np.isfinite(value) for value in entry["why"].values())
    if row.peer is None:
        last = entry["curve"][-1]
        assert last["step"] == 5 and len(entry["curve"]) == job.PROBES
        assert {"pull", "instance", "consistency"} <= {*last["gradients"]}
        assert 0 <= last["agreement"]["anchors on objects"] <= 1
        assert {"bound: SBD", "background free", "own, far from it"} <= {*entry["why"]}
        assert ("foreground: recall" in entry["why"]) == ("foreground" in row.settings)


@pytest.mark.usefixtures("patched")
def test_with_its_patch_all_that_is_unlabelled_counts_again_with_strokes(tmp_path):
    training = job.Watched(Config(**TINY, **SETTINGS["all the rest"]), tmp_path)
    patches.PATCHES["all the rest"](training)
    stroke = torch.tensor([[2, -1, -1, -1, -1, -1, 0]])
    labels, logits = torch.stack([stroke, stroke.where(stroke != 0, -1)]), torch.arange(14.0).view(2, 1, 7)
    if_object, if_not = (torch.nn.functional.softplus(z[:, 0]) for z in (-logits, logits))
    expected = if_object[:, 0].mean() + (if_not[0, 1:6].mean() / 2 + if_not[0, 6] / 2 + if_not[1, 1:].mean()) / 2
    torch.testing.assert_close(objective.foreground_loss(logits, labels), expected)
    moved = 0.02 * (torch.arange(1.0, 14.0)[[0, 1, 2, 3, 4, *range(7, 13)]].median() - math.log(2))
    at_once = objective.foreground_loss(logits - moved, labels)  # the cut has moved, and its logits are above it
    torch.testing.assert_close(at_once, expected)


@pytest.mark.usefixtures("patched")
def test_with_its_patch_the_rest_beyond_the_rims_counts_with_strokes_by_a_sigmoid(tmp_path):
    patches.PATCHES["bounded rest"](job.Watched(Config(**TINY, **SETTINGS["bounded rest"]), tmp_path))
    stroke = torch.tensor([[2, -1, -1, -1, -1, -1, 0]])
    labels, logits = torch.stack([stroke, stroke.where(stroke != 0, -1)]), torch.arange(-7.0, 7.0).view(2, 1, 7)
    more = objective.foreground_loss(logits, labels) - losses.foreground_loss(logits, labels)
    torch.testing.assert_close(more, logits[0, 0, 3:6].sigmoid().mean() / 2)  # nothing of the image without a stroke


def test_a_gradient_is_that_of_the_weighted_term(tmp_path):
    config = Config(**TINY, fraction=0.3, consistency=0.0, unlabeled_push=0.0, loss_options={"instance": 3.0})
    training = job.Watched(config, tmp_path)
    training.pair.eval()
    norms = training.gradients()
    batch = training.draw(0)
    emb_f, _, _ = training.embed(batch)
    loss = SpocoLoss(pull=0.0, push=0.0, regularizer=0.0, unlabeled_push=0.0, consistency=0.0, instance=3.0)
    loss(emb_f, emb_f, batch.labels).total.backward()
    expected = torch.stack([p.grad.norm() for p in training.pair.f.parameters()]).norm()
    assert norms["instance"] == pytest.approx(float(expected), abs=1e-4)
    assert "consistency" not in norms


def test_a_killed_job_goes_on_and_counts_all_its_minutes(tmp_path, monkeypatch):
    row, config = ROWS[0], Config(**TINY, fraction=0.3)
    whole, _ = job.train(row, config, tmp_path / "whole")
    step = Training.train_step

    def killed(self, batch):
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(Training, "train_step", killed)
    monkeypatch.setattr("spoco_lite.training.loop.CHECKPOINT_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        job.train(row, config, tmp_path / "killed")
    before = float((tmp_path / "killed" / "cpu_seconds").read_text())
    monkeypatch.setattr(Training, "train_step", step)
    record, seconds = job.train(row, config, tmp_path / "killed")
    assert seconds > before > 0
    strip = [{k: v for k, v in e.items() if k not in ("seconds", "gradients")} for e in record["curve"]]
    assert strip == [{k: v for k, v in e.items() if k not in ("seconds", "gradients")} for e in whole["curve"]]


# ---------------------------------------------------------------------- the coordinator


def test_what_is_there_is_not_made_again(tmp_path):
    row = ROWS[0]
    everything = bench.missing([], tmp_path)
    entry = {"row": row.name, "seed": 1, "settings": json.loads(json.dumps(row.settings)), "peer": None, "patch": None}
    (tmp_path / "leaves.jsonl").write_text(json.dumps(entry) + "\n")
    left = bench.missing([], tmp_path)
    assert (row, 1) in everything and left == [e for e in everything if e != (row, 1)]
    assert {r.name for r, _ in bench.missing(["nuclei-100"], tmp_path)} == {
        r.name for r in ROWS if r.name.startswith("nuclei-100")
    }
    (tmp_path / "leaves.jsonl").write_text(json.dumps(entry | {"settings": {"fraction": 0.7}}) + "\n")
    with pytest.raises(ValueError, match=f"{row.name}: recorded with"):
        bench.missing([], tmp_path)


def test_a_job_that_fails_stops_no_other(tmp_path, monkeypatch, capsys):
    entry = json.dumps({"cpu_minutes": 1.0, "scores": {WHOLE: {"a": [0.5, 0.25, 0]}}})
    good = [sys.executable, "-c", "import sys; open(sys.argv[1] + '/entry.json', 'w').write(sys.argv[2])"]
    bad = [sys.executable, "-c", "import sys; sys.exit(1)"]
    rows = [Row(name=name, base="leaves") for name in ("bad", "good")]

    def start(row, seed, folder):
        folder.mkdir()
        command = bad if row.name == "bad" else [*good, str(folder), entry]
        return bench.subprocess.Popen(command, stdin=bench.subprocess.PIPE)

    monkeypatch.setattr(bench, "start", start)
    monkeypatch.setattr(bench, "missing", lambda names, records: [(row, 0) for row in rows])
    assert bench.run([], tmp_path, at_once=2, records=tmp_path / "records") == 1
    assert (tmp_path / "records" / "leaves.jsonl").read_text() == entry + "\n"
    out = capsys.readouterr().out
    assert "bad-0: failed" in out and "good-0: whole image 0.500 / 0.250, 1.0 min" in out


# ---------------------------------------------------------------------- peers and patches


def test_three_classes_recover_touching_objects():
    truth = np.zeros((40, 40), np.int64)
    truth[5:20, 5:20], truth[5:20, 20:35], truth[25:35, 10:30] = 1, 2, 3
    classes = peers.three_classes(torch.from_numpy(truth)[None])[0].numpy()
    logits = 9.0 * (classes == np.arange(3)[:, None, None])
    found = peers.decode_classes(logits)
    assert (found > 0).sum() == (truth > 0).sum()
    for k in (1, 2, 3):
        labels, counts = np.unique(found[truth == k], return_counts=True)
        assert counts.max() / counts.sum() > 0.9
    assert peers.three_class_loss(torch.from_numpy(logits)[None], torch.from_numpy(truth)[None]) < 1e-3


def test_the_loss_of_the_classes_leaves_out_what_nobody_labelled():
    labels = torch.tensor([[[-1, -1, 1, 1, 1, -1, 0]]])
    logits = torch.zeros(1, 3, 1, 7, requires_grad=True)
    peers.three_class_loss(logits, labels).backward()
    touched = logits.grad.abs().sum((0, 1, 2)) > 0
    assert touched.tolist() == [False, False, True, True, True, False, True]


def test_with_its_patch_the_classes_learn_the_outside_from_rims_and_from_the_rest():
    labels = torch.tensor([[[-1, -1, -1, -1, 1, 1, 1, 2]], [[-1, -1, -1, 0, 1, 1, 1, 1]], [[-1] * 8]])
    logits = torch.randn(3, 3, 1, 8, generator=torch.Generator().manual_seed(0))
    ce = -logits.log_softmax(1)[:, :, 0]  # (image, class, pixel)
    outside, border = ce[:, peers.OUTSIDE], ce[:, peers.BORDER]
    one = torch.stack([border[0, 4], ce[0, peers.INSIDE, 5], border[0, 6]]).mean()
    first = (one + border[0, 7]) / 2 + outside[0, 2:4].mean() + outside[0, :4].mean()
    second = (border[1, 4] + ce[1, peers.INSIDE, 5:].sum()) / 4 + outside[1, 2] + outside[1, 3]
    torch.testing.assert_close(peers.three_class_loss_with_rims(logits, labels), (first + second) / 3)


def test_a_threshold_finds_bright_discs():
    y, x = np.mgrid[:60, :60]
    image = 0.1 + 0.8 * (((y - 20) ** 2 + (x - 20) ** 2 < 100) | ((y - 20) ** 2 + (x - 38) ** 2 < 100))
    found = peers.decode_threshold(image[None].astype(np.float32), kind="bright", distance=5)
    assert found.max() == 2 and found[20, 20] != found[20, 38]


def test_rows_without_masks_count_as_disagreement():
    """Two equal networks: the paper's consistency is 0; by rows, those that no anchor's object reaches count as 1."""
    embeddings = torch.zeros(1, 2, 4, 4)
    embeddings[:, 0, 2:] = 9.0
    labels = torch.tensor([[-1] * 4, [-1] * 4, [1] * 4, [1] * 4])[None]
    loss = patches.DiceByRows(pull=0.0, push=0.0, regularizer=0.0, instance=0.0, unlabeled_push=0.0)
    assert consistency_loss(embeddings, embeddings, labels) < 1e-6
    terms = loss(embeddings, embeddings, labels)
    assert terms.consistency == pytest.approx(0.5) and terms.total == pytest.approx(0.5)


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize("patch", patches.PATCHES)
def test_a_patch_changes_the_training(patch, tmp_path):
    row = Row(name=patch, base="leaves", settings=SETTINGS[patch], peer=PEERS[patch])
    config = dataclasses.replace(job.config_of(row, 0), momentum=0.5)
    weights = []
    for change in (None, patch):
        training = Training(config, tmp_path / str(change))
        if row.peer:
            training.loss = peers.ThreeClassLoss()
        if change:
            patches.PATCHES[change](training)
        training.step = 24
        for _ in range(2):
            training.train_step(training.draw(training.step))
        weights.append(torch.cat([p.flatten() for p in training.pair.g.parameters()]))
    assert not torch.allclose(*weights)


# ---------------------------------------------------------------------- the sparse path


def test_a_training_of_the_sparse_path_and_none_at_all(tmp_path, monkeypatch):
    small = lambda folder, seed: own_images.dish.write(folder, labelled=2, tested=1, seed=seed)  # noqa: E731
    monkeypatch.setitem(own_images.WRITERS, "cells", small)
    none = own_images.entry("cells", None, None, 0, 1, 0, tmp_path / "none")
    some = own_images.entry("cells", "cvppp-10", None, 0, 1, 2, tmp_path / "some")
    assert none.keys() == some.keys() and [some[name] for name in own_images.KEY] == [
        "cells",
        "cvppp-10",
        None,
        0,
        1,
        2,
    ]
    assert none["cpu_minutes"] == 0 < some["cpu_minutes"] and 0.5 < none["symmetric_best_dice"] <= 1
    ready = own_images.entry("cells", "cvppp-10", None, 0, 1, 0, tmp_path / "ready")
    assert ready["cpu_minutes"] == 0 and ready["symmetric_best_dice"] != none["symmetric_best_dice"]


def test_a_round_adds_the_worst_images_as_somebody_mends_them_and_trains_on(tmp_path, monkeypatch):
    """Through a network that finds something; what it takes for an object and is none becomes background."""
    small = lambda folder, seed: own_images.dish.write(folder, labelled=2, tested=1, seed=seed)  # noqa: E731
    monkeypatch.setitem(own_images.WRITERS, "cells", small)
    monkeypatch.setattr(own_images, "LOOKED_AT", 3)
    monkeypatch.setattr(own_images, "MENDED", 2)
    found = own_images.entry("cells", "bbbc038-100-ours", None, 1, 0, 2, tmp_path)
    others = [sample.name for sample in own_images.other_cells(0)]
    names = (tmp_path / "cells" / "train.txt").read_text().split()
    assert len(names) == 4 and set(names[2:]) < set(others) and not set(names[:2]) & set(others)
    truth = {sample.name: sample.labels for sample in own_images.other_cells(0)}
    for name in names[2:]:
        labels = np.array(Image.open(tmp_path / "cells" / "labels" / f"{name}.png"))
        struck = labels == own_images.dish.STROKE
        assert labels.any() and not (struck.any() and (truth[name][struck] > 0).mean() >= 0.1)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["steps"] == 4 and record["data"]["images"] + len(record["held_out"]) == 4 and found["clicks"] >= 0


def test_mending_keeps_what_is_well_drawn_only():
    truth = np.zeros((20, 20), int)
    truth[2:8, 2:8], truth[12:18, 2:8] = 1, 2
    found = np.zeros_like(truth)
    found[2:8, 2:8], found[12:18, 2:5], found[2:8, 12:18], found[12:18, 12:18] = 7, 8, 9, 10  # well, half, none, none
    labels, clicks = own_images.mended(found, truth)
    assert clicks == 3 and np.array_equal(np.unique(labels[found == 7]), [7]) and not labels[found == 8].any()
    assert (labels[(found == 9) | (found == 10)] == own_images.dish.STROKE).all() and not labels[found == 0].any()


def test_real_nuclei_come_as_a_user_has_them_and_are_scored_on_others(tmp_path, monkeypatch):
    """Ten objects or fewer and strokes in each image to train on; all objects in those of another split."""

    def load(name, split):
        dishes = {"train": range(10), "test": (20, 21)}[split]
        return Samples([f"dish{k:03d}" for k in dishes], lambda name: own_images.dish.make_dish(int(name[4:])))

    monkeypatch.setattr(own_images.data, "load", load)
    own_images.write_nuclei(tmp_path, 0)
    found = own_images.survey(tmp_path)
    assert found.errors == [] and (found.background, found.unlabeled) == ({"train": 255, "test": 0}, {"train": 0})
    assert [len(found.objects(facts)) for facts in found.of("train")] == [own_images.OBJECTS] * own_images.LABELLED
    assert {facts.name for facts in found.of("test")} == {"dish020", "dish021"}


def test_recorded_trainings_of_the_sparse_path_are_there_once():
    rows = [json.loads(line) for line in own_images.LEDGER.read_text().splitlines()]
    keys = [tuple(row[name] for name in own_images.KEY) for row in rows]
    assert len(set(keys)) == len(keys)
    for key in keys:
        *kind, _, steps = key
        seeds = {seed for *other, seed, number in keys if (other, number) == (kind, steps)}
        assert seeds == {*own_images.SEEDS[key[0]]}, "a table of means and ranges"
