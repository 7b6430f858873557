"""What was trained, scored or written stays: a command that would replace it refuses, and two at a time take turns."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from test_predict import Colour, picture

from spoco_lite.data import Sample
from spoco_lite.data.annotation import plan_annotation
from spoco_lite.data.sets import rosettes
from spoco_lite.data.writing import alone
from spoco_lite.prediction.decoders import check_decoder, decode, decoder_of
from spoco_lite.prediction.evaluate import evaluate_run
from spoco_lite.results.runs import load_model
from spoco_lite.training import loop
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training
from spoco_lite.training.sweep import sweep
from spoco_lite.unet import MomentumPair

TINY = Config(size=32, widths=(4, 8), embedding_dim=4, batch=2, held_out=2, steps=4, validate_every=2, log_every=2)


def train(config, folder):
    return loop.train(config, folder, device="cpu", progress=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(TINY, folder)
    return folder


@pytest.fixture
def finished(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("left", ["run.json", "weights.safetensors", "annotation.json", "log.csv"])
def test_a_run_without_its_checkpoint_is_not_replaced(finished, left):
    for name in {path.name for path in finished.iterdir()} - {left}:
        (finished / name).unlink()
    before = files(finished)
    with pytest.raises(ValueError, match=f"holds {left} of a run without its checkpoint.*give another folder"):
        train(TINY, finished)
    assert files(finished) == before


def scored(folder):
    record = json.loads((folder / "run.json").read_text())
    record |= {"scores": {"whole image": {"mean": {"sbd": 0.5}}}, "tuning": {"whole image": {}}}
    (folder / "run.json").write_text(json.dumps(record))
    return record


def test_fewer_steps_than_were_done_are_refused(finished):
    scored(finished)
    before = files(finished)
    with pytest.raises(ValueError, match=r"steps: found 2, but the run in .* has done 4; give as many or more"):
        train(dataclasses.replace(TINY, steps=2), finished)
    assert files(finished) == before


def test_scores_stay_as_long_as_the_weights_are_the_same(finished, monkeypatch):
    before = scored(finished)
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {"score_g": -1.0, "score_f": -1.0})  # nothing is better
    longer = train(dataclasses.replace(TINY, steps=6), finished)
    assert longer["kept"] == before["kept"] and longer["steps"] == 6
    assert (longer["scores"], longer["tuning"]) == (before["scores"], before["tuning"])
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {"score_g": 2.0, "score_f": 2.0})
    better = train(dataclasses.replace(TINY, steps=8), finished)
    assert better["kept"]["step"] == 8 and better["scores"] == {} and "tuning" not in better


def test_a_kill_before_the_record_of_a_longer_run(finished, monkeypatch):
    """The old record is there and the checkpoint is at the new end: the record must become that of the longer run."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(dataclasses.replace(TINY, steps=6), finished)
    assert json.loads((finished / "run.json").read_text())["steps"] == 4
    train(dataclasses.replace(TINY, steps=6), finished)
    assert json.loads((finished / "run.json").read_text())["steps"] == 6


def test_lost_weights_are_written_again_from_the_checkpoint(finished):
    (finished / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="weights.safetensors: missing; finish the training"):
        load_model(finished)
    record = train(TINY, finished)
    assert record["kept"]["step"] == 4
    state = torch.load(finished / "checkpoint.pt", weights_only=True)["pair"]
    for name, weight in load_model(finished).state_dict().items():
        assert torch.equal(weight, state[name].half().float() if weight.is_floating_point() else state[name])


def test_a_sweep_sees_that_weights_are_lost(tmp_path, capsys):
    config = dataclasses.replace(TINY, steps=1, held_out=0)
    train(config, tmp_path / "a")
    sweep({"a": config}, tmp_path, devices=["cpu"])
    assert "0 of 1 runs to do" in capsys.readouterr().out
    (tmp_path / "a" / "weights.safetensors").unlink()
    sweep({"a": config}, tmp_path, devices=["cpu"])
    assert "1 of 1 runs to do" in capsys.readouterr().out
    assert (tmp_path / "a" / "weights.safetensors").is_file()


def test_a_run_that_ends_before_its_first_validation_has_weights(tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, validate_every=50, steps=10)
    step = Training.train_step

    def stopped(self, batch):
        if self.step == 2:
            self.save()
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "train_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run")
    record = train(dataclasses.replace(config, steps=2), tmp_path / "run")
    assert record["kept"]["step"] == record["steps"] == 2 and load_model(tmp_path / "run")


def test_the_table_of_the_curve_is_complete_after_a_kill_behind_the_checkpoint(finished):
    """As a kill leaves it between the last checkpoint and the table, with the record written or not."""
    whole = (finished / "log.csv").read_text()
    for record in (True, False):
        (finished / "log.csv").write_text(whole.splitlines()[0] + "\n")
        if not record:
            (finished / "run.json").unlink()
        train(TINY, finished)
        assert (finished / "log.csv").read_text() == whole


DECODERS = [
    ({"min_sise": 20}, "min_sise"),
    ({"consistent": "maybe"}, "consistent='maybe'; give true or false"),
    ({"min_size": "twenty"}, "min_size='twenty'"),
    ({"min_size": 0}, "min_size"),
    ({"iou_threshold": float("nan")}, "iou_threshold=nan; give a number from 0 to 1"),
    ({"cluster": "k_means"}, "cluster='k_means'; give one of mean_shift, hdbscan"),
    ({"bandwidth": -1}, "bandwidth"),
    ({"bandwidth": "wide"}, "bandwidth"),
    ({"pieces": 0}, "pieces=0"),
]


@pytest.mark.parametrize(("decoder", "words"), DECODERS)
def test_a_wrong_option_of_the_decoder_is_said_before_anything_is_done(tmp_path, monkeypatch, decoder, words):
    monkeypatch.setattr(rosettes, "read", lambda *_: pytest.fail("read images first"))
    with pytest.raises(ValueError, match="decoder: ") as error:
        train(dataclasses.replace(TINY, decoder=decoder), tmp_path / "run")
    assert words in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "decoder", [{"consistent": False}, {"cluster": "hdbscan"}, {"min_size": 5, "pieces": 9}], ids=str
)
def test_an_option_of_the_decoder_that_passes_is_one_that_decodes(decoder):
    decoder = decoder_of({"decoder": decoder}, masked=False)
    check_decoder(decoder)
    image, truth = picture()
    assert decode(MomentumPair(Colour()), Sample(image, truth, "a"), decoder, size=None, masked=False).max() >= 2


# ---------------------------------------------------------------------- two at a time

HOLDER = """
import sys, time
from spoco_lite.data.writing import alone
with alone(sys.argv[1]):
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the run."""
    (tmp_path / "run").mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run" / ".lock"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    yield process
    process.kill()
    process.wait()


def test_a_run_that_another_process_trains_is_refused_and_a_kill_frees_it(holder, tmp_path):
    with pytest.raises(ValueError, match=f"run: process {holder.pid} on .*, since .* works here; wait"):
        train(TINY, tmp_path / "run")
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / ".lock").is_file()  # what the kill leaves locks nobody out
    train(TINY, tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_that_is_trained_is_not_scored(finished):
    with alone(finished / ".lock"), pytest.raises(ValueError, match=f"process {os.getpid()} on .* works here"):
        evaluate_run(finished, progress=False)


def test_the_same_run_started_twice_ends_as_one(tmp_path, finished):
    program = f"from spoco_lite.training.loop import *; train({TINY!r}, {str(tmp_path / 'two')!r}, device='cpu')"
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert 0 in [process.returncode for process in both]
    for process, text in zip(both, said):
        assert process.returncode == 0 or "works here; wait until it is done" in text
    ours, theirs = (torch.load(f / "checkpoint.pt", weights_only=True)["pair"] for f in (tmp_path / "two", finished))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_who_waits_for_a_lock_gets_it(tmp_path):
    lock = tmp_path / ".lock"
    with alone(lock):
        waiting = subprocess.Popen([sys.executable, "-c", HOLDER.replace("])", "], wait=True)"), lock])
        time.sleep(0.2)
        assert waiting.poll() is None
    try:
        for _ in range(300):
            if lock.is_file() and f"process {waiting.pid} " in lock.read_text():
                break
            time.sleep(0.1)
        else:
            pytest.fail("never got it")
    finally:
        waiting.kill()
        waiting.wait()


# ---------------------------------------------------------------------- a full disk, and Ctrl-C at the start

FULL = """
import resource, signal, sys
from spoco_lite.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [10, 9000])
def test_a_full_disk_is_said_and_what_was_there_stays(finished, limit):
    """Files that may not grow stand for the disk: not even a table fits, or no checkpoint."""
    before = files(finished)
    words = "--size 32 --widths 4 8 --embedding-dim 4 --batch 2 --held-out 2 --steps 6 --validate-every 2 --log-every 2"
    command = [sys.executable, "-c", FULL, str(limit), "train", str(finished), *words.split(), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "\nerror: " in f"\n{done.stderr}" and "Traceback" not in done.stderr, done
    after = files(finished)
    assert all(after[name] == before[name] for name in ("checkpoint.pt", "run.json", "log.csv"))
    assert not [name for name in after if name.endswith((".tmp", ".lock"))]


def test_ctrl_c_while_pytorch_is_loaded(tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    place = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, "-m", "spoco_lite", "data", "list"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | place)
    assert done.returncode == 1 and done.stderr.strip() == "stopped before anything was done"


# ---------------------------------------------------------------------- whole or not at all


def test_a_plan_is_written_whole(tmp_path, monkeypatch):
    plan = plan_annotation(rosettes.read("val")[:2], fraction=0.5)
    plan.write(tmp_path / "plan.json")
    before = (tmp_path / "plan.json").read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError):
        plan_annotation(rosettes.read("val")[:3], fraction=1.0).write(tmp_path / "plan.json")
    assert (tmp_path / "plan.json").read_bytes() == before


def test_weights_can_be_read_by_others(finished):
    umask = os.umask(0)
    os.umask(umask)
    assert (finished / "weights.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
