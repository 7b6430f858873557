"""Where a run stands, and how that outlasts a stop at any moment."""

import time
from pathlib import Path

import torch

from ..results.runs import FORMAT, WEIGHTS, provenance
from .checkpoint import read_checkpoint, write_checkpoint, write_table
from .config import Config
from .learner import Learner
from .start import begin_with


class Standing(Learner):
    """A learner whose steps are counted in a folder: what it has done is saved there, and it goes on from that.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> standing = Standing(Config(batch=2, widths=(4, 8)), folder, max_objects=1)
    >>> standing.step = 5
    >>> standing.save()
    >>> again = Standing(Config(batch=2, widths=(4, 8)), folder, max_objects=1)
    >>> again.resume()
    >>> again.step
    5
    """

    def __init__(
        self,
        config: Config,
        folder: str | Path,
        *,
        max_objects: int | None,
        description: dict | None = None,
        device: str | torch.device | None = None,
        compiled: bool = False,
    ):
        super().__init__(config, max_objects=max_objects, device=device, compiled=compiled)
        self.folder = Path(folder)
        self.seconds, self.curve = 0.0, []
        self.sums, self.summed = None, 0  # of the loss terms since the last entry of the curve, and of how many steps
        self.kept: dict | None = None  # the step and the score of the weights that are kept
        self.changes: list[dict] = []
        self.description = description or {}  # of what is learnt from
        self.provenance = provenance(self.device)  # of the start: the checkout may move on while a run trains
        self.start_clock()

    def start_clock(self) -> None:
        """From now on time counts: that of the run, and that since the last checkpoint."""
        self.saved = time.perf_counter()
        self.started = self.saved - self.seconds

    def save(self) -> None:
        """Write the checkpoint, and the curve as a table."""
        self.saved = time.perf_counter()
        self.seconds = self.saved - self.started
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
            "data": self.description,
        }
        write_checkpoint(state, self.folder)
        write_table(self.curve, self.folder / "log.csv")

    def resume(self) -> None:
        """Load the checkpoint if there is one. Steps and labels may differ from those before; the record says so.

        A score from before labels changed does not count against those that follow: the images held out may be others,
        and what was mended may be what they cannot show.

        Raises ValueError where it cannot go on, or would replace what cannot be made again.
        """
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
        change = {}
        steps, before, now = there["config"]["steps"], there.get("data", {}), self.description
        if before and before["labels"] != now["labels"] and self.step < self.config.steps:
            self.kept = None
            change |= {"objects_before": before["annotated_objects"], "objects_after": now["annotated_objects"]}
        if steps != self.config.steps:
            change |= {"steps_before": steps, "steps_after": self.config.steps}
        if change:
            self.changes.append({"at_step": self.step} | change | {"commit": provenance()["commit"]})

    def restore(self) -> dict | None:
        """Go back to the checkpoint, and return it; None if there is none."""
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
        return state
