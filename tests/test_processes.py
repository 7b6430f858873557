"""Two processes, started by torchrun, gloo on the CPU: the gradients of one with the doubled batch; resuming."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from spoco_lite.results.runs import load_run
from spoco_lite.training import loop as train
from spoco_lite.training import processes
from spoco_lite.training.config import Config

# GroupNorm: on the CPU, BatchNorm looks at each process's own part of the batch.
CONFIG = Config(
    size=32,
    batch=4,
    steps=6,
    widths=(4, 8),
    embedding_dim=4,
    unit=(4.0, 4.0),
    foreground=1.0,
    fraction=0.4,
    held_out=1,
    norm="group",
    validate_every=3,
)

# Views as the images are, and anchors at fixed pixels: what is drawn at random differs from process to process.
WORKER = """
import sys
import torch
from spoco_lite.training import batches, processes, loop as train
from spoco_lite import losses
from spoco_lite.training.config import Config

batches.two_views = lambda images, labels, **_: (images, images.flip(1), labels)

def draw_anchors(emb_f, emb_g, labels, **_):
    unlabeled = labels.flatten(1) < 0
    pixels = unlabeled.float().argsort(dim=1, descending=True, stable=True)[:, :200:20]
    return pixels, torch.ones(len(labels), 10).bool()

losses.draw_anchors = draw_anchors
torch.set_num_threads(1)
with processes.joined():
    training = train.Training(train.{config}, sys.argv[1], device="cpu")
    training.precision = "float32"
    for step in range(2):
        terms = training.train_step(training.draw(step))
        means = [float(processes.mean(term)) for term in terms]
        if processes.rank() == 0:
            found = {{"gradients": [p.grad.clone() for p in training.pair.f.parameters()],
                      "g": training.pair.g.state_dict(), "terms": means, "processes": processes.count()}}
            torch.save(found, f"{{sys.argv[1]}}/found{{step}}.pt")
"""

TRAINED = """
import sys
import torch
from spoco_lite.training import loop as train
torch.set_num_threads(1)
stop, step = int(sys.argv[2]), train.Training.train_step

def stopping(self, batch):
    if self.step == stop:
        sys.exit(7)
    return step(self, batch)

train.Training.train_step = stopping
train.train(train.{config}, sys.argv[1], device="cpu", progress=False)
"""


def start(script, *arguments, tmp_path, processes):
    path = tmp_path / "script.py"
    path.write_text(script.format(config=repr(CONFIG)))
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 else []), str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """What one and what two processes found in the first two steps."""
    found = {}
    for count in (1, 2):
        folder = tmp_path_factory.mktemp(f"with-{count}")
        done = start(WORKER, folder, tmp_path=folder, processes=count)
        assert done.returncode == 0, done.stderr
        found[count] = [torch.load(folder / f"found{step}.pt", weights_only=True) for step in range(2)]
    return found


@pytest.mark.parametrize("step", [0, 1])
def test_two_processes_find_the_gradients_of_one_with_the_doubled_batch(steps, step):
    one, two = steps[1][step], steps[2][step]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert all(value > 0 for value in one["terms"])  # every term takes part
    assert two["terms"] == pytest.approx(one["terms"], rel=1e-4)
    for a, b in zip(one["gradients"], two["gradients"]):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(a.abs().max()) + 1e-7)
    for name, value in one["g"].items():
        torch.testing.assert_close(two["g"][name], value, rtol=1e-3, atol=1e-4)


def test_half_of_the_batch_alone_gives_other_gradients(steps, tmp_path):
    """The test above can fail: without the mean over the processes the gradients differ."""
    training = train.Training(dataclasses.replace(CONFIG, batch=2), tmp_path, device="cpu")
    training.train_step(training.draw(0))
    ours, both = [p.grad for p in training.pair.f.parameters()], steps[2][0]["gradients"]
    assert any(not torch.allclose(a, b, rtol=0.1) for a, b in zip(ours, both))


def test_two_processes_resume(tmp_path):
    runs = {}
    for name, stops in (("uninterrupted", [99]), ("resumed", [4, 99])):
        for stop in stops:
            done = start(TRAINED, tmp_path / name, stop, tmp_path=tmp_path, processes=2)
            assert (done.returncode == 0) == (stop == 99), done.stderr
        runs[name] = tmp_path / name
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in runs.values()]
    assert states[0]["step"] == CONFIG.steps
    for name, value in states[0]["pair"].items():
        assert torch.equal(value, states[1]["pair"][name]), name
    weights = [(folder / "weights.safetensors").read_bytes() for folder in runs.values()]
    assert weights[0] == weights[1]
    for name, value in states[0].items():
        if name == "curve":
            curves = [[{k: v for k, v in e.items() if k != "seconds"} for e in s["curve"]] for s in states]
            assert curves[0] == curves[1]
        elif name in ("step", "kept", "changes"):
            assert value == states[1][name]


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(train.processes, "count", lambda: 3)
    with pytest.raises(ValueError, match="batch: 4 images cannot be shared by 3 processes"):
        train.Training(CONFIG, tmp_path)


def test_the_command_trains_to_the_end(tmp_path):
    """Only the first process validates; the others must not stop it, and one of them says where the run is."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = "--size 32 --batch 2 --steps 2 --widths 4 8 --embedding-dim 4 --held-out 2 --norm group --device cpu"
    command = [*torchrun, "-m", "spoco_lite", "train", str(tmp_path / "run"), *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    record = load_run(tmp_path / "run")
    assert record["steps"] == 2 and record["processes"] == 2 and record["kept"]["score"] >= 0
    assert done.stdout.count("the weights are those of step 2") == 1


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "nccl"), (None, "nccl")])
def test_processes_talk_as_their_devices_do(monkeypatch, device, backend):
    """On a machine with a GPU, as torchrun starts a process."""
    asked = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", asked.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with processes.joined(device):
        assert asked == [backend]
