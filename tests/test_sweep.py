"""A sweep trains what is missing and skips what is recorded; it survives runs that fail, Ctrl-C, and its own death."""

import argparse
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from spoco_lite.commands import sweep as sweep_command
from spoco_lite.training import sweep as module
from spoco_lite.training.config import Config
from spoco_lite.training.sweep import grid, sweep

TINY = Config(size=32, batch=2, steps=2, widths=(4, 8), embedding_dim=4, held_out=0)
OPTIONS = ["--size", "32", "--batch", "2", "--widths", "4", "8", "--embedding-dim", "4", "--held-out", "0"]


def command(*arguments) -> int:
    parser = argparse.ArgumentParser()
    sweep_command.add_arguments(parser.add_subparsers())
    return sweep_command.run(parser.parse_args(["sweep", *map(str, arguments)]))


def never(job, environment):
    raise AssertionError(f"started {job['folder']}")


def record(folder, config, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"config": dataclasses.asdict(config), "scores": {}, "steps": 2, "seconds": 90, "kept": None}
    (folder / "run.json").write_text(json.dumps(plain | fields))


class Fake:
    """A child that is done after a few looks at it, and leaves a record."""

    started, together, most = [], 0, 0

    def __init__(self, job, environment):
        Fake.started.append((job["folder"].rpartition("/")[2], job["device"]))
        Fake.together += 1
        Fake.most = max(Fake.most, Fake.together)
        self.job, self.left, self.stdin, self.returncode = job, 2, io.BytesIO(), None

    def poll(self):
        self.left -= 1
        if self.left == 0:
            record(module.Path(self.job["folder"]), Config.from_record(self.job["config"]))
            self.returncode = 0
            Fake.together -= 1
        return self.returncode


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(Fake, "started", [])
    monkeypatch.setattr(Fake, "most", 0)
    monkeypatch.setattr(module, "_start", Fake)


def test_a_name_says_what_is_special_whatever_else_is_in_the_sweep():
    base = Config(dataset="cvppp")
    assert list(grid(base, fraction=[0.025], seed=[3])) == ["cvppp-2.5-seed3"]
    assert list(grid(base, annotate=["per image", "images"], background=["all"])) == [
        "cvppp-100-all", "cvppp-100-images-all"]  # fmt: skip
    many = grid(base, fraction=[0.1, 1.0], seed=[0, 1, 2])
    assert len(many) == 6 and many["cvppp-10-seed2"] == dataclasses.replace(base, fraction=0.1, seed=2)


def test_a_run_that_fails_stops_no_other_and_what_is_recorded_is_skipped(tmp_path, capsys, monkeypatch):
    configs = {"bad": dataclasses.replace(TINY, held_out=1000), "good": TINY}
    records = sweep(configs, tmp_path, devices=["cpu"], at_once=2)
    out = capsys.readouterr().out
    assert list(records) == ["good"] and records["good"]["config"]["widths"] == [4, 8]
    assert "2 of 2 runs to do" in out and "good: 2 steps" in out
    assert "bad: failed; the end of" in out and "error: held_out: 1000 of" in out
    assert "good: 2 of 2 steps" in (tmp_path / "good" / module.LOG).read_text()
    monkeypatch.setattr(module, "_start", never)
    assert list(sweep({"good": TINY}, tmp_path, devices=["cpu"])) == ["good"]


def test_another_configuration_under_the_name_is_named_before_anything_starts(tmp_path, monkeypatch):
    record(tmp_path / "a", TINY)
    monkeypatch.setattr(module, "_start", never)
    other = dataclasses.replace(TINY, learning_rate=0.5)
    with pytest.raises(ValueError, match=r"/a: .*\(learning_rate was 0.002, is now 0.5\)"):
        sweep({"new": TINY, "a": other}, tmp_path)


def test_what_is_trained_but_not_scored_is_not_complete(tmp_path, monkeypatch):
    record(tmp_path / "a", TINY)
    monkeypatch.setattr(module, "_start", never)
    with pytest.raises(AssertionError, match="started"):
        sweep({"a": TINY}, tmp_path, evaluate=True)
    record(tmp_path / "a", TINY, scores={"whole image": {}})
    assert list(sweep({"a": TINY}, tmp_path, evaluate=True)) == ["a"]


def test_each_device_has_so_many_runs_at_once(tmp_path, fake, monkeypatch):
    monkeypatch.setattr(module, "device_of", torch.device)  # this computer need not have them
    configs = {str(i): TINY for i in range(6)}
    assert list(sweep(configs, tmp_path, devices=["cuda:0", "cuda:1"], at_once=2)) == list(configs)
    assert Fake.most == 4
    assert [device for _, device in Fake.started[:4]] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]


def test_at_once_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="at_once: found 0"):
        sweep({}, tmp_path, at_once=0)


def test_the_command_makes_every_combination_and_prints_a_table(tmp_path, fake, capsys):
    record(tmp_path / "rosettes-40", dataclasses.replace(TINY, fraction=0.4), kept={"step": 2, "score": 0.25})
    options = ["--fraction", 0.4, 1, "--seed", 0, 1, "--steps", 2, "--devices", "cpu"]
    assert command(tmp_path, *options, *OPTIONS) == 0
    assert [name for name, _ in Fake.started] == ["rosettes-40-seed1", "rosettes-100", "rosettes-100-seed1"]
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0].split() == ["rosettes-40", "2", "0.250", "1.5"]
    assert table[3].split() == ["rosettes-100-seed1", "2", "1.5"]


def test_the_command_fails_with_a_run(tmp_path, monkeypatch, capsys):
    def failing(job, environment):
        folder = module.Path(job["folder"])
        folder.mkdir()
        (folder / module.LOG).write_text("\n".join(map(str, range(9))))
        return SimpleNamespace(poll=lambda: 1, returncode=1, stdin=io.BytesIO())

    monkeypatch.setattr(module, "_start", failing)
    assert command(tmp_path, *OPTIONS) == 1
    out = capsys.readouterr().out
    assert "    4\n    5\n    6\n    7\n    8\n" in out and "    3\n" not in out


def test_a_child_trains_and_scores_only_what_is_missing(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(module, "train", lambda config, folder, device: done.append((config, device.type)))
    monkeypatch.setattr(module, "evaluate_run", lambda folder: done.append("scored"))
    monkeypatch.setattr(module, "_stop_with_the_parent", lambda: None)
    job = {"folder": str(tmp_path), "device": "cpu", "evaluate": True, "config": dataclasses.asdict(TINY)}

    def child():
        line = json.dumps(job).encode() + b"\n"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
        return module._child()

    assert child() == 0 and done == [(TINY, "cpu"), "scored"]
    record(tmp_path, TINY)
    assert child() == 0 and done[2:] == ["scored"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_its_runs_save_and_the_next_sweep_goes_on(tmp_path, end):
    endless = ["--steps", "1000000", "--validate-every", "2", "--devices", "cpu"]
    name = "rosettes-100"
    log, saved = tmp_path / name / module.LOG, tmp_path / name / "checkpoint.pt"
    parent = subprocess.Popen(
        [sys.executable, "-m", "spoco_lite", "sweep", str(tmp_path), *endless, *OPTIONS],
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        wait_for(saved.is_file, parent)
    finally:
        parent.send_signal(end)
    _, err = parent.communicate(timeout=60)
    if end == signal.SIGINT:
        assert parent.returncode == 130 and b"goes on where it stopped" in err
    wait_for(lambda: log.read_text().endswith("stopped\n"))
    step = torch.load(saved, weights_only=True)["step"]
    if end == signal.SIGINT:
        config = dataclasses.replace(TINY, steps=step + 1, validate_every=2)
        found = sweep({name: config}, tmp_path, devices=["cpu"])
        assert found[name]["changes"][0]["at_step"] == step and found[name]["steps"] == step + 1


def wait_for(condition, process=None, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        assert process is None or process.poll() is None, "ended too early"
        time.sleep(0.1)
