"""One training loop. It can be stopped at any moment, also by ``kill -9``, and goes on from its last checkpoint.

All that is random in step t follows from the seed and from t: a resumed run draws what an uninterrupted one would have.
"""

import dataclasses
import hashlib
import math
import os
import pickle
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import data
from .augment import two_views
from .losses import LossTerms, SpocoLoss
from .metrics import symmetric_best_dice
from .predict import segment_image
from .runs import build_pair, peak_memory_mb, provenance, save_weights, write_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a run. Defaults: the public code's for leaves where it has one; others say why.

    >>> Config(dataset="cvppp", fraction=0.1).steps
    1000
    """

    dataset: str = "rosettes"
    data_options: dict = dataclasses.field(
        default_factory=dict
    )  # of the data set's reader, such as {"path": ...}
    annotate: str = (
        "per image"  # this and the next three: what is annotated (data.annotation.plan_annotation)
    )
    fraction: float = 1.0
    number: int | None = None  # of objects, instead of the fraction
    background: str = "none"  # "all" makes the annotation dense
    seed: int = 0
    size: int = 256  # height and width of the views, in pixels
    symmetry: str = "plane"  # this and the next: how the two views are made (augment.two_views)
    photometry: str = "colour"
    batch: int = 4
    steps: int = 1000
    learning_rate: float = 2e-3  # ten times the public code's: few steps, one cosine cycle with warm-up
    weight_decay: float = 1e-4
    clip_norm: float = 10.0
    in_channels: int = 3
    embedding_dim: int = 16
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    norm: str = "batch"
    momentum: float = 0.999
    delta_var: float = 0.5
    delta_dist: float = 2.0
    kernel_threshold: float = 0.5
    max_anchors: int = 20
    consistency: float = 1.0
    unlabeled_push: float = 1.0
    validate_every: int = 500
    validation_images: int = 20  # of the validation split; only looked at, never used to choose
    log_every: int = 50


class Batch(NamedTuple):
    view_f: Tensor  # (N, C, *S)
    view_g: Tensor  # (N, C, *S)
    labels: Tensor  # (N, *S)


class Training:
    """State of a run: networks, optimiser, step. ``run()`` trains to the end and writes the record.

    >>> import tempfile
    >>> training = Training(Config(size=32, batch=2, widths=(4, 8)), tempfile.mkdtemp())
    >>> training.draw(step=0).view_f.shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, config: Config, folder: str | Path, *, device: str | torch.device | None = None):
        self.config, self.folder = config, Path(folder)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # Larger than the views: crops of 70% of the area keep their detail.
        dense = list(
            data.load(config.dataset, "train", size=round(config.size * 1.25), **config.data_options)
        )
        self._check(dense)
        self.plan = data.plan_annotation(
            dense,
            config.annotate,
            fraction=config.fraction if config.number is None else None,
            number=config.number,
            seed=config.seed,
            background=config.background,
        )
        samples = [self.plan.apply(s) for s in dense]
        if not config.consistency:  # the only term that learns from an image without any annotation
            samples = [s for s in samples if (s.labels >= 0).any()]
        self.images = torch.from_numpy(np.stack([s.image for s in samples])).to(self.device)
        self.labels = torch.from_numpy(np.stack([_renumbered(s.labels) for s in samples])).to(self.device)
        self.description = _describe(config, self.plan, dense)
        self.pair = build_pair(dataclasses.asdict(config)).to(self.device, memory_format=torch.channels_last)
        self.loss = SpocoLoss(
            delta_var=config.delta_var,
            delta_dist=config.delta_dist,
            kernel_threshold=config.kernel_threshold,
            max_anchors=config.max_anchors,
            consistency=config.consistency,
            unlabeled_push=config.unlabeled_push,
            max_objects=int(self.labels.max()),
        )
        self.optimizer = torch.optim.AdamW(
            self.pair.f.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.step, self.seconds, self.curve = 0, 0.0, []
        self.changes: list[dict] = []
        self.provenance = provenance()  # of the start: the checkout may move on while a run trains
        self.folder.mkdir(parents=True, exist_ok=True)

    def _check(self, samples: list) -> None:
        """Images that this loop cannot train on, named, before any work is done."""
        for s in samples:
            if s.image.ndim != 3:
                raise ValueError(f"{s.name}: a volume of shape {s.image.shape}; training takes images (C, Y, X) only")
            if len(s.image) != self.config.in_channels:
                raise ValueError(
                    f"{s.name}: the image has {len(s.image)} channels, in_channels is {self.config.in_channels}; "
                    "set in_channels, or bring all images to one number of channels"
                )
            if not np.isfinite(s.image).all():
                raise ValueError(f"{s.name}: the image holds NaN or infinity; repair the file or leave it out")

    # ------------------------------------------------------------------ one step

    def draw(self, step: int) -> Batch:
        """The batch of a step: images without replacement within an epoch, two augmented views."""
        config, n = self.config, len(self.images)
        places = range(step * config.batch, (step + 1) * config.batch)
        indices = torch.tensor([_shuffled(config.seed, place // n, n)[place % n] for place in places])
        indices = indices.to(self.device)
        views = two_views(
            self.images[indices],
            self.labels[indices],
            size=config.size,
            seed=_seed(config.seed, step),
            scale=(1.05, 1.25),  # of images that are 1.25 times as large: 70 to 100% of their area
            symmetry=config.symmetry,
            photometry=config.photometry,
        )
        return Batch(*views)

    def train_step(self, batch: Batch) -> LossTerms:
        """Forward, backward, optimiser, momentum average. Nothing here waits for the device."""
        config = self.config
        self.pair.train()
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(self.step, config.steps)
        generator = torch.Generator(self.device).manual_seed(_seed(config.seed, self.step))
        view_f, view_g = (
            v.contiguous(memory_format=torch.channels_last) for v in (batch.view_f, batch.view_g)
        )
        with torch.autocast(self.device.type, torch.bfloat16):
            if config.consistency:
                emb_f, emb_g = self.pair(view_f, view_g)
            else:  # nobody looks at g's embeddings
                emb_f = emb_g = self.pair.f(view_f)
        terms = self.loss(emb_f, emb_g, batch.labels, generator=generator)
        self.optimizer.zero_grad()
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(self.pair.f.parameters(), config.clip_norm)
        self.optimizer.step()
        self.step += 1
        # An average over 1000 steps would remember the untrained network for long: it is short at first.
        self.pair.update(min(config.momentum, self.step / (self.step + 10)))
        return LossTerms(*(t.detach() for t in terms))

    # ------------------------------------------------------------------ the loop

    def run(self, *, progress: bool = True) -> dict:
        """Train from wherever the run stands to the last step; returns the record that it wrote to ``run.json``."""
        config = self.config
        self.resume()
        self.plan.write(self.folder / "annotation.json")
        validation = data.load(config.dataset, "val", size=config.size, **config.data_options)
        validation = list(validation[: config.validation_images])
        started, sums = time.perf_counter() - self.seconds, None
        bar = tqdm(
            total=config.steps, initial=self.step, disable=not progress, desc=self.folder.name, unit="step"
        )
        while self.step < config.steps:
            terms = self.train_step(self.draw(self.step))
            sums = torch.stack(terms) if sums is None else sums + torch.stack(terms)
            bar.update()
            last = self.step == config.steps
            if self.step % config.log_every == 0 or last:
                count = (self.step - 1) % config.log_every + 1
                entry = self._log(sums / count, started)
                sums = None
                bar.set_postfix({"loss": f"{entry['total']:.3f}"})
                if self.step % config.validate_every == 0 or last:
                    entry["sbd"] = self.validate(validation)
                    bar.set_postfix({"loss": f"{entry['total']:.3f}", "SBD": f"{entry['sbd']:.3f}"})
                self.seconds = time.perf_counter() - started
                self.save()
        bar.close()
        save_weights(self.pair, self.folder / "weights.safetensors")
        record = self.record()
        write_json(self.folder / "run.json", record)
        return record

    def _log(self, mean: Tensor, started: float) -> dict:
        values = dict(zip(LossTerms._fields, mean.tolist()))
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(
                f"step {self.step}: {', '.join(wrong)} not finite in the last {self.config.log_every} steps. The last "
                f"checkpoint in {self.folder} is sound; lower learning_rate and start again."
            )
        entry = {"step": self.step, "seconds": round(time.perf_counter() - started, 1)}
        entry |= {name: round(value, 5) for name, value in values.items()}
        self.curve.append(entry)
        return entry

    @torch.no_grad()
    def validate(self, samples: list) -> float:
        """Mean SBD of g's embeddings, clustered inside the true foreground: a quick look, not the reported score."""
        scores = []
        for s in samples:
            labels = segment_image(self.pair, s.image, foreground=s.labels > 0)
            scores.append(symmetric_best_dice(s.labels, labels))
        return round(float(np.mean(scores)), 4)

    # ------------------------------------------------------------------ what stays

    def save(self) -> None:
        """Write the checkpoint beside the old one, then put it in its place: a kill leaves one that is whole."""
        state = {
            "config": dataclasses.asdict(self.config),
            "pair": self.pair.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "provenance": self.provenance,
            "changes": self.changes,
        }
        torch.save(state, self.folder / "checkpoint.tmp")
        os.replace(self.folder / "checkpoint.tmp", self.folder / "checkpoint.pt")

    def resume(self) -> None:
        """Load the checkpoint if there is one.

        Only ``steps`` may differ from it: a run can be made longer or shorter. The schedule follows the new length from
        there on, and the record says so.
        """
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{path}: not a readable checkpoint ({error}); delete it to start again"
            ) from error
        there, here = state["config"], dataclasses.asdict(self.config)
        changed = {key: (there.get(key), here[key]) for key in here if there.get(key) != here[key]}
        if set(changed) - {"steps"}:
            listed = ", ".join(f"{key} was {old!r}, is now {new!r}" for key, (old, new) in changed.items())
            raise ValueError(
                f"{path}: belongs to another configuration ({listed}). Take another folder, or delete it."
            )
        self.pair.load_state_dict(state["pair"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self.provenance, self.changes = state["provenance"], state["changes"]
        if changed:
            change = {"at_step": self.step, "steps_before": there["steps"], "steps_after": here["steps"]}
            self.changes.append(change | {"commit": provenance()["commit"]})

    def record(self) -> dict:
        """What ``run.json`` holds (:mod:`spoco_lite.runs`)."""
        return {
            "name": self.folder.name,
            "config": dataclasses.asdict(self.config),
            "data": self.description,
            **self.provenance,
            "parameters": sum(p.numel() for p in self.pair.f.parameters()),
            "steps": self.step,
            "seconds": round(self.seconds),
            "changes": self.changes,
            "peak_memory_mb": peak_memory_mb(),
            "curve": self.curve,
            "scores": {},
        }


def train(
    config: Config, folder: str | Path, *, device: str | torch.device | None = None, progress: bool = True
) -> dict:
    """Train a run to its end, or go on with one that was stopped; returns its record."""
    return Training(config, folder, device=device).run(progress=progress)


def schedule(step: int, steps: int, *, warmup: float = 0.02) -> float:
    """Factor of the learning rate: linear warm-up over the first steps, then half a cosine to 0.

    >>> [round(schedule(t, 100), 2) for t in (0, 2, 51, 99)]
    [0.5, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, steps - rising))


def _seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint32)[0])


def _shuffled(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, n]).permutation(n)


def _renumbered(labels: np.ndarray) -> np.ndarray:
    """Objects become 1, 2, ...: the loss has one slot for each number up to the highest."""
    values, inverse = np.unique(labels, return_inverse=True)
    return (inverse.reshape(labels.shape) - np.searchsorted(values, 1) + 1) * (labels > 0) + np.minimum(
        labels, 0
    )


def _describe(config: Config, plan: data.Plan, dense: list) -> dict:
    """What the run was trained on, and what it cost to annotate."""
    cost = plan.cost(dense)
    names = "\n".join(s.name for s in dense) + "\n"
    return {
        "dataset": config.dataset,
        "split": "train",
        "images": cost.images,
        "annotated_images": cost.annotated_images,
        "objects": cost.objects,
        "annotated_objects": cost.annotated_objects,
        "annotated_pixels": round(cost.annotated_pixels / cost.pixels, 4),
        "checksum": hashlib.sha256(names.encode()).hexdigest(),
    }
