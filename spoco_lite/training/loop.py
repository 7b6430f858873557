"""One training loop for every data set, 2D and 3D, on one process or several.

It can be stopped at any moment, also by ``kill -9``, and goes on from its last checkpoint. All that is random in step t
follows from the seed and from t: a resumed run draws what an uninterrupted one would have.
"""

import contextlib
import math
import time
from pathlib import Path

import torch

from ..data.writing import alone, write_json
from ..objective import LossTerms
from ..prediction.decoders import check_decoder, decoder_of
from ..results.runs import FORMAT, LOCK, WEIGHTS, load_run, peak_memory_mb, prediction_size, save_weights
from ..show.progress import progress_of
from . import processes
from .batches import Batch, Batches
from .checkpoint import write_table
from .config import Config
from .interrupts import Interrupts
from .material import gather
from .pictures import draw_curve, draw_held_out
from .sound import explain, unsound
from .standing import Standing
from .validation import validate

CHECKPOINT_SECONDS = 60  # a checkpoint after each validation, and when the last one is this old


class Training(Standing):
    """A run: its data, where it stands, and what it leaves behind. ``run()`` trains to the end and writes the record.

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
        device = processes.device_of(device)
        if config.batch % processes.count():
            raise ValueError(f"batch: {config.batch} images cannot be shared by {processes.count()} processes")
        if Path(folder).exists() and not Path(folder).is_dir():
            raise ValueError(f"{folder}: a file; give a folder for the run")
        check_decoder(decoder_of(config.plain(), masked=False), ndim=config.ndim)
        material = gather(config)
        self.held_out, self.plan = material.held_out, material.plan
        self.batches = Batches(material.samples, config, device)
        # A crop shows few of a volume's objects. Counting them is free on a CPU; a GPU would have to wait.
        counted = config.crop and device.type == "cpu"
        most = None if counted else self.batches.max_objects
        super().__init__(
            config, folder, max_objects=most, description=material.description, device=device, compiled=compiled
        )
        self.folder.mkdir(parents=True, exist_ok=True)

    def draw(self, step: int) -> Batch:
        """The batch of a step, or this process's part of it."""
        return self.batches.draw(step, rank=self.rank, processes=self.processes)

    def run(self, *, progress: bool = True) -> dict:
        """Train from wherever the run stands to the last step; returns the record, which is written to ``run.json``.

        Ctrl-C ends it after the step, with a checkpoint.

        Raises ValueError where it would replace what cannot be made again, and while another process trains or scores
        the same run.
        """
        with alone(self.folder / LOCK) if self.rank == 0 else contextlib.nullcontext():
            return self._run(progress)

    def _run(self, progress: bool) -> dict:
        config = self.config
        self.resume()
        before = load_run(self.folder) if (self.folder / "run.json").is_file() else {}
        if self.rank == 0 and self.step:
            write_table(self.curve, self.folder / "log.csv")  # a kill may have come between it and the checkpoint
        if before.get("steps") == self.step == config.steps and self.kept:
            return before
        self.start_clock()
        if self.step == 0:
            self.save()  # there is always one to go back to
        if self.rank == 0:
            self.plan.write(self.folder / "annotation.json")
        shown = progress and self.rank == 0
        bar = progress_of(total=config.steps, initial=self.step, desc=self.folder.name, unit="step", shown=shown)
        with bar, Interrupts() as interrupts:
            while self.step < config.steps:
                terms = torch.stack(self.train_step(self.draw(self.step)))
                self.sums, self.summed = terms if self.sums is None else self.sums + terms, self.summed + 1
                bar.update()
                last = self.step == config.steps
                validates = last or self.step % config.validate_every == 0
                if validates or self.step % config.log_every == 0:
                    bar.set_postfix(_short(self._log()))
                stopped = interrupts.asked and self.processes == 1  # several would not stop in the same step
                saves = validates or stopped or time.perf_counter() - self.saved > CHECKPOINT_SECONDS
                if saves and (wrong := unsound(self)):
                    raise FloatingPointError(explain(self, wrong))
                if validates and self.rank == 0:
                    self._validate()
                if saves:
                    self.save()
                if stopped and not last:
                    raise KeyboardInterrupt
        if self.rank == 0 and not self.kept:  # a run that was made shorter, or whose weights were lost
            self._validate()
            self.save()
        record = processes.of_the_first(self.record())  # the others do not know which weights are kept
        if before.get("kept") == record["kept"]:  # the scores are those of the same weights
            scored = "scores", "tuning", "scored_commit", "scored_view"
            record |= {name: before[name] for name in scored if name in before}
        if self.rank == 0:
            write_json(self.folder / "run.json", record)
            draw_curve(self.curve, self.folder / "curve.png")
        return record

    def _log(self) -> dict:
        values = dict(zip(LossTerms._fields, processes.mean(self.sums / self.summed).tolist()))
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(explain(self, wrong))
        entry = {"step": self.step, "seconds": round(time.perf_counter() - self.started, 1)}
        entry |= {name: round(value, 5) for name, value in values.items()}
        entry |= {name: round(value, 4) for name, value in self.diagnose()._asdict().items()}
        self.curve.append(entry)
        self.sums, self.summed = None, 0
        return entry

    def _validate(self) -> None:
        """Score f and g on the images held out, and keep the weights if g is as good as ever or better."""
        score = None
        if self.held_out:
            plain = self.config.plain()
            size, decoder = prediction_size(plain), decoder_of(plain, masked=False)
            scores = validate(self.pair, self.held_out, size=size, decoder=self.config.decoder)
            picture = self.folder / "held_out.jpg"
            draw_held_out(self.pair, self.held_out, picture, decoder=decoder, size=size, step=self.step)
            if self.curve and self.curve[-1]["step"] == self.step:
                self.curve[-1] |= scores
            score = scores["score_g"]
            if self.kept and score < self.kept["score"]:
                return
        self.kept = {"step": self.step, "score": score}
        save_weights(self.pair, self.folder / WEIGHTS)

    def record(self) -> dict:
        """What ``run.json`` holds (:mod:`spoco_lite.results.runs`)."""
        return {
            "name": self.folder.name,
            "format": FORMAT,
            "config": self.config.plain(),
            "data": self.description,
            **self.provenance,
            "precision": self.precision,
            "processes": self.processes,
            "parameters": sum(p.numel() for p in self.pair.f.parameters()),
            "steps": self.step,
            "seconds": round(self.seconds),
            "changes": self.changes,
            "peak_memory_mb": peak_memory_mb(self.device),
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

    Started by ``torchrun``, the processes share each batch. ``compiled`` runs f through ``torch.compile``.
    """
    with processes.joined(device):
        return Training(config, folder, device=device, compiled=compiled).run(progress=progress)


def _short(entry: dict) -> dict:
    return {name: f"{entry[name]:.2f}" for name in ("total", "pull", "push", "instance", "consistency", "within")}
