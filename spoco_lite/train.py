"""One training loop for every data set, 2D and 3D, on one process or several.

It can be stopped at any moment, also by ``kill -9``, and goes on from its last checkpoint. All that is random in step t
follows from the seed and from t: a resumed run draws what an uninterrupted one would have.
"""

import dataclasses
import hashlib
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import data, processes
from .batches import Batch, Batches, check_sample, seed_of
from .checkpoint import read_checkpoint, write_checkpoint, write_table
from .config import Config
from .data import Sample
from .diagnostics import Diagnostics, diagnose
from .interrupts import Interrupts
from .losses import LossTerms, SpocoLoss
from .runs import build_pair, load_run, peak_memory_mb, prediction_size, provenance, save_weights, write_json
from .schedule import schedule
from .validation import validate

CHECKPOINT_SECONDS = 60  # a checkpoint after each validation, and when the last one is this old
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


class Training:
    """State of a run: networks, optimiser, step. ``run()`` trains to the end and writes the record.

    >>> import tempfile
    >>> training = Training(Config(size=32, batch=2, widths=(4, 8)), tempfile.mkdtemp())
    >>> training.draw(step=0).view_f.shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        config: Config,
        folder: str | Path,
        *,
        device: str | torch.device | None = None,
        compiled: bool = False,
    ):
        self.config, self.folder = config, Path(folder)
        self.rank, self.processes = processes.rank(), processes.count()
        if config.batch % self.processes:
            raise ValueError(f"batch: {config.batch} images cannot be shared by {self.processes} processes")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = precision(self.device)

        # Images that are brought to a size keep some more, so that crops of 70% of the area keep their detail.
        size = None if config.crop else round(config.size * 1.25)
        dense = list(data.load(config.dataset, "train", size=size, **config.data_options))
        for sample in dense:
            check_sample(sample, config)
        split, dense = dense, dense[: len(dense) - config.held_out]
        if not dense:
            raise ValueError(f"held_out: {config.held_out} of {len(split)} training images leave none to train on")
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
        self.batches = Batches(samples, config, self.device)
        self.held_out = list(
            data.load(config.dataset, "train", **config.data_options)[len(dense) :] if config.held_out else []
        )
        self.description = _describe(config, self.plan, dense, split)

        self.flat = torch.channels_last if config.ndim == 2 else torch.channels_last_3d
        pair = build_pair(_plain(config)).to(self.device, memory_format=self.flat)
        self.pair = processes.with_common_statistics(pair)
        self.net = processes.in_parallel(torch.compile(self.pair.f) if compiled else self.pair.f)
        self.loss = SpocoLoss(
            delta_var=config.delta_var,
            delta_dist=config.delta_dist,
            kernel_threshold=config.kernel_threshold,
            max_anchors=config.max_anchors,
            consistency=config.consistency,
            unlabeled_push=config.unlabeled_push,
            # A crop shows few of a volume's objects. Counting them is free on a CPU; a GPU would have to wait.
            max_objects=None if config.crop and self.device.type == "cpu" else self.batches.max_objects,
            **config.loss_options,
        )
        self.optimizer = OPTIMIZERS[config.optimizer](
            self.pair.f.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda" or None,
        )
        self.step, self.seconds, self.curve = 0, 0.0, []
        self.sums, self.summed = None, 0  # of the loss terms since the last entry of the curve, and of how many steps
        self.seen: tuple[Tensor, Tensor, Tensor] | None = None  # embeddings under f and g, and labels, of the last step
        self.kept: dict | None = None  # the step and the score of the weights that are kept
        self.changes: list[dict] = []
        self.provenance = provenance()  # of the start: the checkout may move on while a run trains
        self.folder.mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------------ one step

    def draw(self, step: int) -> Batch:
        """The batch of a step, or this process's part of it."""
        return self.batches.draw(step, rank=self.rank, processes=self.processes)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings ``(N, E, *S)`` of both views, under f with gradients, and under g without."""
        view_f, view_g = (v.contiguous(memory_format=self.flat) for v in (batch.view_f, batch.view_g))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            emb_f = self.net(view_f)
            if not self.config.consistency:  # nobody looks at g's embeddings
                return emb_f, emb_f
            with torch.no_grad():
                return emb_f, self.pair.g(view_g)

    def generator(self) -> torch.Generator:
        """Random numbers of this step, for the anchors."""
        return torch.Generator(self.device).manual_seed(seed_of(self.config.seed, self.step, self.rank))

    def train_step(self, batch: Batch) -> LossTerms:
        """Forward, backward, optimiser, momentum average. Nothing here waits for the device."""
        config = self.config
        self.pair.train()
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(self.step, config.steps, kind=config.schedule)
        emb_f, emb_g = self.embed(batch)
        terms = self.loss(emb_f, emb_g, batch.labels, generator=self.generator())
        self.seen = emb_f.detach(), emb_g.detach(), batch.labels
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
        """Train from wherever the run stands to the last step; returns the record, which is written to ``run.json``.

        Ctrl-C ends it after the step, with a checkpoint.
        """
        config = self.config
        self.resume()
        if self.step == config.steps and (self.folder / "run.json").is_file():
            return load_run(self.folder)
        self._saved = time.perf_counter()
        self._start = self._saved - self.seconds
        if self.rank == 0:
            self.plan.write(self.folder / "annotation.json")
        if self.step == 0:
            self.save()  # there is always one to go back to
        bar = tqdm(
            total=config.steps,
            initial=self.step,
            disable=not progress or self.rank > 0,
            desc=self.folder.name,
            unit="step",
        )
        with bar, Interrupts() as interrupts:
            while self.step < config.steps:
                terms = torch.stack(self.train_step(self.draw(self.step)))
                self.sums, self.summed = terms if self.sums is None else self.sums + terms, self.summed + 1
                bar.update()
                last = self.step == config.steps
                validates = last or self.step % config.validate_every == 0
                if validates or self.step % config.log_every == 0:
                    bar.set_postfix(_short(self._log()))
                if validates and self.rank == 0:
                    self._validate()
                stopped = interrupts.asked and self.processes == 1  # several would not stop in the same step
                if validates or stopped or time.perf_counter() - self._saved > CHECKPOINT_SECONDS:
                    self.save()
                if stopped and not last:
                    raise KeyboardInterrupt
        record = self.record()
        if self.rank == 0:
            write_json(self.folder / "run.json", record)
        return record

    def _log(self) -> dict:
        values = dict(zip(LossTerms._fields, processes.mean(self.sums / self.summed).tolist()))
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(self._explain(wrong))
        entry = {"step": self.step, "seconds": round(time.perf_counter() - self._start, 1)}
        entry |= {name: round(value, 5) for name, value in values.items()}
        entry |= {name: round(value, 4) for name, value in self.diagnose()._asdict().items()}
        self.curve.append(entry)
        self.sums, self.summed = None, 0
        return entry

    def diagnose(self) -> Diagnostics:
        """What the embeddings of the last step say, as plain numbers."""
        options = self.loss.options["consistency"]
        found = diagnose(
            *self.seen,
            delta_var=self.config.delta_var,
            delta_dist=self.config.delta_dist,
            max_anchors=options["max_anchors"],
            coverage=options["coverage"],
            max_objects=self.loss.max_objects,
            generator=self.generator(),
        )
        return Diagnostics(*processes.mean(torch.stack(found)).tolist())

    def _explain(self, wrong: list[str]) -> str:
        """Why the loss is not finite. All is repeated from the last checkpoint on; in the bad step, image by image."""
        until, where = self.step, ""
        if self.processes == 1:
            self.restore()
            while not where and self.step < until:
                batch = self.draw(self.step)
                where = self._bad_images(batch)
                if not where:
                    self.train_step(batch)
        return (
            f"step {until}: {', '.join(wrong)} not finite in the last {self.config.log_every} steps{where}. The last "
            f"checkpoint in {self.folder} is sound; lower learning_rate, or mend the image, and start again."
        )

    @torch.no_grad()
    def _bad_images(self, batch: Batch) -> str:
        emb_f, emb_g = self.embed(batch)
        found = ""
        for i, number in enumerate(self.batches.numbers(self.step)):
            one = slice(i, i + 1)
            terms = self.loss(emb_f[one], emb_g[one], batch.labels[one], generator=self.generator())
            bad = [name for name, term in terms._asdict().items() if not math.isfinite(term)]
            if bad:
                found += f"; in step {self.step + 1}: {', '.join(bad)} of image {self.batches.names[number]}"
        return found

    def _validate(self) -> None:
        """Score f and g on the images held out, and keep the weights if g is as good as ever or better."""
        score = None
        if self.held_out:
            scores = validate(self.pair, self.held_out, size=prediction_size(_plain(self.config)))
            self.curve[-1] |= scores
            score = scores["score_g"]
            if self.kept and score < self.kept["score"]:
                return
        self.kept = {"step": self.step, "score": score}
        save_weights(self.pair, self.folder / "weights.safetensors")

    # ------------------------------------------------------------------ what stays

    def save(self) -> None:
        """Write the checkpoint, and the curve as a table."""
        self.seconds, self._saved = time.perf_counter() - self._start, time.perf_counter()
        if self.rank > 0:
            return
        state = {
            "config": _plain(self.config),
            "pair": self.pair.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "sums": self.sums,
            "summed": self.summed,
            "kept": self.kept,
            "provenance": self.provenance,
            "changes": self.changes,
        }
        write_checkpoint(state, self.folder)
        write_table(self.curve, self.folder / "log.csv")

    def resume(self) -> None:
        """Load the checkpoint if there is one. A run can be made longer or shorter; the record says so."""
        there = self.restore()
        if there is not None and there["steps"] != self.config.steps:
            change = {"at_step": self.step, "steps_before": there["steps"], "steps_after": self.config.steps}
            self.changes.append(change | {"commit": provenance()["commit"]})

    def restore(self) -> dict | None:
        """Go back to the checkpoint, and return its configuration; None if there is no checkpoint."""
        state = read_checkpoint(self.folder, _plain(self.config), self.device)
        if state is None:
            return None
        self.pair.load_state_dict(state["pair"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self.sums, self.summed, self.kept = state["sums"], state["summed"], state["kept"]
        self.provenance, self.changes = state["provenance"], state["changes"]
        return state["config"]

    def record(self) -> dict:
        """What ``run.json`` holds (:mod:`spoco_lite.runs`)."""
        return {
            "name": self.folder.name,
            "config": _plain(self.config),
            "data": self.description,
            **self.provenance,
            "precision": self.precision,
            "processes": self.processes,
            "parameters": sum(p.numel() for p in self.pair.f.parameters()),
            "steps": self.step,
            "seconds": round(self.seconds),
            "changes": self.changes,
            "peak_memory_mb": peak_memory_mb(),
            "held_out": [s.name for s in self.held_out],
            "kept": self.kept,
            "curve": self.curve,
            "scores": {},
        }


def train(
    config: Config,
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    compiled: bool = False,
    progress: bool = True,
) -> dict:
    """Train a run to its end, or go on with one that was stopped; returns its record.

    Started by ``torchrun``, the processes share each batch. ``compiled`` runs f through :func:`torch.compile`.
    """
    with processes.joined():
        return Training(config, folder, device=device, compiled=compiled).run(progress=progress)


def precision(device: torch.device) -> str:
    """``"bfloat16"`` where the device computes in it, else ``"float32"``; the loss is always float32.

    >>> precision(torch.device("meta"))
    'float32'
    """
    native = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    }
    return "bfloat16" if native.get(device.type, bool)() else "float32"


def _short(entry: dict) -> dict:
    return {name: f"{entry[name]:.2f}" for name in ("total", "pull", "push", "instance", "consistency", "within")}


def _plain(config: Config) -> dict:
    """The configuration as JSON holds it, so that a checkpoint and a record compare equal with it."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}


def _describe(config: Config, plan: data.Plan, dense: list[Sample], split: list[Sample]) -> dict:
    """What the run was trained on, and what it cost to annotate."""
    cost = plan.cost(dense)
    names = "\n".join(s.name for s in split) + "\n"
    return {
        "dataset": config.dataset,
        "split": "train",
        "images": cost.images,
        "annotated_images": cost.annotated_images,
        "objects": cost.objects,
        "annotated_objects": cost.annotated_objects,
        "annotated_pixels": round(cost.annotated_pixels / cost.pixels, 4),
        "held_out_objects": sum(len(np.unique(s.labels[s.labels > 0])) for s in split[len(dense) :]),
        "checksum": hashlib.sha256(names.encode()).hexdigest(),
    }
