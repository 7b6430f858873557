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
from ..results.runs import FORMAT, LOCK, WEIGHTS, load_run, peak_memory_mb, prediction_size, provenance, save_weights
from ..show.progress import progress_of
from . import processes
from .batches import Batch, Batches
from .checkpoint import read_checkpoint, write_checkpoint, write_table
from .config import Config
from .interrupts import Interrupts
from .learner import Learner
from .material import gather
from .pictures import draw_curve, draw_held_out
from .start import begin_with
from .validation import validate

CHECKPOINT_SECONDS = 60  # a checkpoint after each validation, and when the last one is this old


class Training(Learner):
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
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{folder}: a file; give a folder for the run")
        check_decoder(decoder_of(config.plain(), masked=False), ndim=config.ndim)
        material = gather(config)
        self.held_out, self.plan, self.description = material.held_out, material.plan, material.description
        self.batches = Batches(material.samples, config, device)
        # A crop shows few of a volume's objects. Counting them is free on a CPU; a GPU would have to wait.
        counted = config.crop and device.type == "cpu"
        super().__init__(
            config, max_objects=None if counted else self.batches.max_objects, device=device, compiled=compiled
        )
        self.seconds, self.curve = 0.0, []
        self.sums, self.summed = None, 0  # of the loss terms since the last entry of the curve, and of how many steps
        self.kept: dict | None = None  # the step and the score of the weights that are kept
        self.changes: list[dict] = []
        self.provenance = provenance(device)  # of the start: the checkout may move on while a run trains
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
        self._saved = time.perf_counter()
        self._start = self._saved - self.seconds
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
                saves = validates or stopped or time.perf_counter() - self._saved > CHECKPOINT_SECONDS
                if saves:
                    self._refuse_unsound()
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
            record |= {name: before[name] for name in ("scores", "tuning", "scored_commit") if name in before}
        if self.rank == 0:
            write_json(self.folder / "run.json", record)
            draw_curve(self.curve, self.folder / "curve.png")
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

    def _refuse_unsound(self) -> None:
        """What is written must be finite: the loss since the last entry of the curve, and the weights by now."""
        sums = dict(zip(LossTerms._fields, [] if self.sums is None else self.sums.tolist()))
        wrong = [name for name, value in sums.items() if not math.isfinite(value)]
        if not all(weight.isfinite().all() for weight in self.pair.parameters()):
            wrong.append("the weights")
        if wrong:
            raise FloatingPointError(self._explain(wrong))

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
        emb_f, emb_g, logits = self.embed(batch)
        found = ""
        for i, number in enumerate(self.batches.numbers(self.step)):
            one = slice(i, i + 1)
            of_one = None if logits is None else logits[one]
            terms = self.loss(emb_f[one], emb_g[one], batch.labels[one], logits=of_one, generator=self.generator())
            bad = [name for name, term in terms._asdict().items() if not math.isfinite(term)]
            if bad:
                found += f"; in step {self.step + 1}: {', '.join(bad)} of image {self.batches.names[number]}"
        return found

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

    # ------------------------------------------------------------------ what stays

    def save(self) -> None:
        """Write the checkpoint, and the curve as a table."""
        self.seconds, self._saved = time.perf_counter() - self._start, time.perf_counter()
        if self.rank > 0:
            return
        state = {
            "format": FORMAT,
            "config": self.config.plain(),
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
        if there is None:
            for name in ("run.json", WEIGHTS, "annotation.json", "log.csv"):
                if (self.folder / name).exists():
                    raise ValueError(
                        f"{self.folder}: holds {name} of a run without its checkpoint, so that it cannot go on, and "
                        "training anew would replace it; give another folder, or move the files away"
                    )
            begin_with(self.pair, self.config.start)
            return
        if self.step > self.config.steps:
            raise ValueError(
                f"steps: found {self.config.steps}, but the run in {self.folder} has done {self.step}; "
                "give as many or more, or another folder"
            )
        if not (self.folder / WEIGHTS).is_file():
            self.kept = None  # so the next that are validated are kept, at the latest those of the last step
        if there["steps"] != self.config.steps:
            change = {"at_step": self.step, "steps_before": there["steps"], "steps_after": self.config.steps}
            self.changes.append(change | {"commit": provenance()["commit"]})

    def restore(self) -> dict | None:
        """Go back to the checkpoint, and return its configuration; None if there is no checkpoint."""
        state = read_checkpoint(self.folder, self.config.plain(), self.device)
        if state is None:
            return None
        try:
            self.pair.load_state_dict(state["pair"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
            self.sums, self.summed, self.kept = state["sums"], state["summed"], state["kept"]
            self.provenance, self.changes = state["provenance"], state["changes"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{self.folder}: its checkpoint is not of these networks ({error}); take another folder"
            ) from error
        return state["config"]

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
