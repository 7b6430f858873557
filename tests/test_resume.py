"""A training can be stopped at any point, and goes on as if nothing had been."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import test_train
import torch
from PIL import Image
from test_train import TINY, checkpoint, run

from spoco_lite.data.sets import dish
from spoco_lite.training import loop as train
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training

painted_once, only_after_validation = test_train.painted_once, test_train.only_after_validation


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


def test_a_finished_run_is_not_trained_again(uninterrupted, monkeypatch):
    before = (uninterrupted / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(Training, "train_step", lambda *_: pytest.fail("trained again"))
    scored = json.loads((uninterrupted / "run.json").read_text()) | {"scores": {"whole image": {}}}
    (uninterrupted / "run.json").write_text(json.dumps(scored))
    assert run(TINY, uninterrupted) == scored  # its scores are still there
    assert (uninterrupted / "checkpoint.pt").read_bytes() == before


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


def test_after_labels_were_mended_older_scores_do_not_count(tmp_path, monkeypatch):
    folder = tmp_path / "images and labels"
    dish.write(folder, seed=0)
    config = Config(
        dataset="folder", data_options={"path": str(folder), "unlabeled": 0, "background": 255}, background="all",
        size=32, in_channels=1, widths=(4, 8), embedding_dim=4, batch=2, steps=2, validate_every=2, held_out=1,
    )  # fmt: skip
    scores = iter((0.9, 0.5, 0.4))
    monkeypatch.setattr(train, "validate", lambda *_, **__: dict.fromkeys(("score_g", "score_f"), next(scores)))
    assert run(config, tmp_path / "run")["kept"] == {"step": 2, "score": 0.9}

    first = sorted((folder / "labels").iterdir())[0]
    labels = np.array(Image.open(first))
    Image.fromarray(np.where(labels == 3, 0, labels)).save(first)  # one object less
    assert run(config, tmp_path / "run")["kept"]["score"] == 0.9  # nothing is left to train
    record = run(dataclasses.replace(config, steps=4), tmp_path / "run")
    assert record["kept"] == {"step": 4, "score": 0.5}
    (change,) = record["changes"]
    assert change["at_step"] == 2 and change["objects_before"] - change["objects_after"] == 1
    assert run(dataclasses.replace(config, steps=6), tmp_path / "run")["kept"] == {"step": 4, "score": 0.5}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of it", b"no checkpoint"])
def test_an_unreadable_checkpoint_is_named(content, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt: not a readable checkpoint"):
        run(TINY, tmp_path)
