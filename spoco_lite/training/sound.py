"""What a run writes must be finite. If a loss or a weight is not: since which step, of which image, by which term."""

import math
from typing import TYPE_CHECKING

import torch

from ..objective import LossTerms
from .batches import Batch

if TYPE_CHECKING:
    from .loop import Training


def unsound(training: "Training") -> list[str]:
    """Names of what is not finite: of the loss since the last entry of the curve, and the weights by now.

    >>> import tempfile
    >>> from .config import Config
    >>> from .loop import Training
    >>> training = Training(Config(size=32, batch=2, widths=(4, 8)), tempfile.mkdtemp())
    >>> training.sums = torch.tensor([1.0, float("nan"), *[1.0] * (len(LossTerms._fields) - 2)])
    >>> unsound(training) == [LossTerms._fields[1]]
    True
    """
    sums = [] if training.sums is None else training.sums.tolist()
    wrong = [name for name, value in zip(LossTerms._fields, sums) if not math.isfinite(value)]
    return wrong if all(weight.isfinite().all() for weight in training.pair.parameters()) else [*wrong, "the weights"]


def explain(training: "Training", wrong: list[str]) -> str:
    """Why something is not finite. All is repeated from the last checkpoint on; in the bad step, image by image."""
    until, where = training.step, ""
    if training.processes == 1:
        training.restore()
        while not where and training.step < until:
            batch = training.draw(training.step)
            where = _bad_images(training, batch)
            if not where:
                training.train_step(batch)
    return (
        f"step {until}: {', '.join(wrong)} not finite in the last {training.config.log_every} steps{where}. The last "
        f"checkpoint in {training.folder} is sound; lower learning_rate, or mend the image, and start again."
    )


@torch.no_grad()
def _bad_images(training: "Training", batch: Batch) -> str:
    emb_f, emb_g, logits = training.embed(batch)
    found = ""
    for i, number in enumerate(training.batches.numbers(training.step)):
        one = slice(i, i + 1)
        options = {"logits": None if logits is None else logits[one], "generator": training.generator()}
        terms = training.loss(emb_f[one], emb_g[one], batch.labels[one], **options)
        bad = [name for name, term in terms._asdict().items() if not math.isfinite(term)]
        if bad:
            found += f"; in step {training.step + 1}: {', '.join(bad)} of image {training.batches.names[number]}"
    return found
