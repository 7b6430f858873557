"""Steps per second of a training, where the time of a step goes, and what segmenting an image costs afterwards.

``python tests/benchmarks/bench_step.py CASE SECONDS [DEVICE]`` prints one row of :func:`step`.
"""

import dataclasses
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from bench_loss import in_fresh_process
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from spoco_lite import data
from spoco_lite.data import Sample
from spoco_lite.objective import LossTerms
from spoco_lite.prediction.decoders import DEFAULTS, WITH_MASK, decode
from spoco_lite.prediction.evaluate import centre, default_split
from spoco_lite.prediction.image import embed
from spoco_lite.results.runs import load_model, load_run, peak_memory_mb, prediction_size, with_weights
from spoco_lite.training.batches import Batch
from spoco_lite.training.loop import Config, Training
from spoco_lite.unet import MomentumPair

PARTS = ("data", "network", "loss", "optimiser", "momentum")
TOLERANCE = 0.15  # the parts of some steps add up to the time of other steps, within this share of it
LARGEST = 1 << 20  # pixels; of a larger volume, its centre is segmented


def cases() -> dict[str, Config]:
    """In 2D as three recorded runs: of leaves, or of drawn plants where the leaves are missing."""
    few, ours, dense = (
        Config.from_record(load_run(name)["config"]) for name in ("cvppp-10", "cvppp-10-ours", "cvppp-100")
    )
    try:
        data.load("cvppp", "train")
    except FileNotFoundError:
        few, ours, dense = (dataclasses.replace(config, dataset="rosettes") for config in (few, ours, dense))
    volumes = {"dataset": "cells3d", "crop": True, "size": (24, 64, 64), "in_channels": 1, "batch": 2}
    chosen = {
        "2D, 10% of the objects": few,
        "2D, 10% of the objects, our recipe": ours,
        "2D, all pixels, without g": dense,
        "3D, 25% of the objects": Config(**volumes, fraction=0.25, widths=(16, 32, 64, 128), photometry="microscopy"),
    }
    if torch.cuda.is_available():  # the sizes of the public code; on a CPU such a step takes too long
        large = {"size": 448, "widths": (16, 32, 64, 128, 256, 512)}
        chosen["2D, 10% of the objects, 448 px"] = dataclasses.replace(few, **large)
    return chosen


class Watched(Training):
    """A training that notes when each part of a step ends.

    The parts are marked inside the step that training takes: by hooks where the gradient reaches the embeddings,
    where it reaches the first layer, and after the optimiser, to which clipping is counted. On a GPU a mark is
    an event in its queue, so that nothing waits.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.marks: list[tuple[str, float | torch.cuda.Event]] | None = None
        next(self.pair.f.parameters()).register_post_accumulate_grad_hook(lambda _: self.mark("network"))
        self.optimizer.register_step_post_hook(lambda *_: self.mark("optimiser"))

    def mark(self, part: str) -> None:
        if self.marks is None:
            return
        if self.device.type == "cuda":
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = time.perf_counter()
        self.marks.append((part, now))

    def draw(self, step: int) -> Batch:
        batch = super().draw(step)
        self.mark("data")
        return batch

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        emb_f, emb_g, logits = super().embed(batch)
        self.mark("network")
        emb_f.register_hook(lambda _: self.mark("loss"))
        return emb_f, emb_g, logits

    def train_step(self, batch: Batch) -> LossTerms:
        terms = super().train_step(batch)
        self.mark("momentum")
        return terms

    def steps(self, count: int) -> float:
        """Take some steps; the seconds for one."""
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            self.train_step(self.draw(self.step))
        self.wait()
        return (time.perf_counter() - start) / count

    def parts(self, count: int) -> dict[str, float]:
        """Take some steps; the seconds for each part of one."""
        self.marks = []
        self.mark("start")
        self.steps(count)
        marks, self.marks = self.marks, None
        sums = defaultdict(float)
        for (_, before), (part, now) in zip(marks, marks[1:]):
            elapsed = now - before if isinstance(now, float) else before.elapsed_time(now) / 1000
            sums[part] += elapsed / count
        return sums

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def step(*, at_least: float = 15.0, device: str | None = None) -> list[dict]:
    """Each case, in a process of its own for the sake of its memory; ``at_least`` are seconds of measuring."""
    options = [str(at_least)] if device is None else [str(at_least), device]
    return [in_fresh_process(__file__, name, *options) for name in cases()]


def measure_step(name: str, at_least: float, device: str | None = None) -> dict:
    """Steps as they are and steps with marks, by turns; medians."""
    config = cases()[name]
    with tempfile.TemporaryDirectory() as folder:
        training = Watched(config, folder, device=device)
    on_gpu = training.device.type == "cuda"
    count = 20 if on_gpu else 1  # in a row; a GPU needs a queue that fills
    training.steps(3)
    plain, marked = [], []
    start = time.perf_counter()
    while len(plain) < 3 or time.perf_counter() - start < at_least:
        plain.append(training.steps(count))
        marked.append(training.parts(count))
    each = float(np.median(plain))
    parts = {part: float(np.median([m[part] for m in marked])) for part in PARTS}
    if abs(sum(parts.values()) - each) > TOLERANCE * each:
        raise RuntimeError(f"{name}: {parts} do not add up to {each:.4f} s; leave the machine alone, and try again")
    row = {"what": name, "dataset": config.dataset, "batch": config.batch, "widths": list(config.widths)}
    row["size"] = [config.size] * 2 if isinstance(config.size, int) else list(config.size)
    row |= {"device": training.device.type, "threads": torch.get_num_threads(), "precision": training.precision}
    row |= {"steps": count * len(plain), "seconds": round(each, 4), "steps_per_second": round(1 / each, 2)}
    row["parts"] = {part: round(value, 5) for part, value in parts.items()}
    row["peak_memory_mb"] = peak_memory_mb()
    return row | on_the_gpu(training) if on_gpu else row


def on_the_gpu(training: Watched, count: int = 20) -> dict:
    """How often a step waits for the GPU, and in which share of the time the GPU computes."""
    waits = host_waits(lambda: training.train_step(training.draw(training.step)))
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        elapsed = training.steps(count) * count
    kernels = [e for e in profiled.key_averages() if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    busy = sum(e.self_device_time_total for e in kernels) / 1e6 / elapsed
    return {"host_waits": waits, "busy": round(busy, 3)}


def host_waits(function: Callable[[], object]) -> int:
    """How often PyTorch waits for the GPU while a function runs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(warning.message) for warning in caught)


def prediction() -> list[dict]:
    """Each run with weights and data: seconds that an image takes, or a volume's centre; median over three."""
    rows = []
    for name in with_weights():
        config = load_run(name)["config"]
        try:
            samples = data.load(config["dataset"], default_split(config["dataset"]), **config.get("data_options", {}))
        except FileNotFoundError:
            continue
        samples = [centre(sample, LARGEST) for sample in samples[:3]]
        pair = load_model(name).to("cuda" if torch.cuda.is_available() else "cpu")
        for way, decoder in DEFAULTS.items():
            if samples[0].foreground is None and way == WITH_MASK:
                continue
            options = {"size": prediction_size(config), "masked": way == WITH_MASK}
            image_times(pair, samples[0], decoder, **options)  # warms up
            times = [image_times(pair, sample, decoder, **options) for sample in samples]
            network, everything = np.median(times, axis=0).tolist()
            row = {"run": name, "what": way, "cluster": decoder["cluster"], "network_seconds": round(network, 4)}
            rows.append(row | {"decoder_seconds": round(everything - network, 4)})
    return rows


def image_times(
    pair: MomentumPair, sample: Sample, decoder: dict, *, size: int | tuple[int, ...] | None, masked: bool
) -> tuple[float, float]:
    """Seconds of the network, f and g if the decoder wants both, and of the whole way from image to labels."""
    nets = [pair.f, pair.g] if decoder["consistent"] else [pair.g]
    start = time.perf_counter()
    for net in nets:
        embed(net, sample.image, size=size).cpu()  # which waits for a GPU
    middle = time.perf_counter()
    decode(pair, sample, decoder, size=size, masked=masked)
    return middle - start, time.perf_counter() - middle


if __name__ == "__main__":
    case, at_least, *device = sys.argv[1:]
    print(measure_step(case, float(at_least), *device))
