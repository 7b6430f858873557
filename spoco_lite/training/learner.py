"""The networks, the loss and the optimiser of a run, and one step of training."""

import inspect

import numpy as np
import torch
from torch import Tensor

from ..objective import LossTerms, SpocoLoss
from ..results.runs import build_pair
from . import processes
from .batches import Batch, seed_of
from .config import Config
from .diagnostics import Diagnostics, diagnose
from .schedule import schedule

# The fields of the configuration that are arguments of the loss.
OF_LOSS = ("delta_var", "delta_dist", "kernel_threshold", "max_anchors", "consistency", "unlabeled_push", "foreground")


class Learner:
    """f, its momentum average g, and what a step does to them. The same step everywhere, on one process or several.

    ``max_objects`` is the largest label of a batch; None counts the objects in each step, which waits for the device.
    Raises ValueError for loss options that the loss does not have, or that are fields of the configuration.

    >>> learner = Learner(Config(batch=2, widths=(4, 8)), max_objects=1)
    >>> views, labels = torch.rand(2, 2, 3, 16, 16), torch.ones(2, 16, 16, dtype=torch.int64)
    >>> terms = learner.train_step(Batch(*views, labels))
    >>> learner.step, terms.push
    (1, tensor(0.))
    """

    def __init__(
        self,
        config: Config,
        *,
        max_objects: int | None,
        device: str | torch.device | None = None,
        compiled: bool = False,
    ):
        self.config = config
        self.rank, self.processes = processes.rank(), processes.count()
        self.device = processes.device_of(device)
        self.precision = precision(self.device, config.ndim)
        self.flat = torch.channels_last if config.ndim == 2 else torch.channels_last_3d
        pair = build_pair(config.plain()).to(self.device, memory_format=self.flat)
        self.pair = processes.with_common_statistics(pair)
        self.net = processes.in_parallel(torch.compile(self.pair.f) if compiled else self.pair.f)
        options = {name: getattr(config, name) for name in OF_LOSS}
        unknown = set(config.loss_options) - (set(inspect.signature(SpocoLoss).parameters) - {*OF_LOSS, "max_objects"})
        if unknown:
            raise ValueError(f"loss_options: found {', '.join(sorted(unknown))}; SpocoLoss lists what there is")
        self.loss = SpocoLoss(**options, max_objects=max_objects, **config.loss_options)
        self.optimizer = torch.optim.AdamW(
            self.pair.f.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda" or None,
        )
        self.step = 0
        self.seen: tuple[Tensor, Tensor, Tensor] | None = None  # embeddings under f and g, and labels, of the last step

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Embeddings ``(N, E, *S)`` of both views, under f with gradients, and under g without; logits of f, if any."""
        view_f, view_g = (v.contiguous(memory_format=self.flat) for v in (batch.view_f, batch.view_g))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            emb_f, logits = self.pair.f.split(self.net(view_f))
            if not self.config.consistency:  # nobody looks at g's embeddings
                return emb_f, emb_f, logits
            with torch.no_grad():
                return emb_f, self.pair.g.split(self.pair.g(view_g))[0], logits

    def generator(self) -> torch.Generator:
        """Random numbers of this step, for the anchors."""
        return torch.Generator(self.device).manual_seed(seed_of(self.config.seed, self.step, self.rank))

    def lattice(self) -> tuple[slice, ...]:
        """The pixels that the loss of this step looks at: every ``loss_stride``-th along each axis, the first drawn.

        >>> Learner(Config(widths=(4,), loss_stride=2), max_objects=1).lattice()
        (slice(1, None, 2), slice(0, None, 2))
        """
        rng = np.random.default_rng(seed_of(self.config.seed, self.step, self.rank))
        first = rng.integers(self.config.loss_stride, size=self.config.ndim).tolist()
        return tuple(slice(f, None, self.config.loss_stride) for f in first)

    def train_step(self, batch: Batch) -> LossTerms:
        """Forward, backward, optimiser, momentum average. Nothing here waits for the device."""
        config = self.config
        self.pair.train()
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(self.step, config.steps)
        emb_f, emb_g, logits = self.embed(batch)
        lattice = (..., *self.lattice())
        emb_f, emb_g, labels = emb_f[lattice], emb_g[lattice], batch.labels[lattice]
        logits = None if logits is None else logits[lattice]
        terms = self.loss(emb_f, emb_g, labels, logits=logits, generator=self.generator())
        self.seen = emb_f.detach(), emb_g.detach(), labels
        self.optimizer.zero_grad()
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(self.pair.f.parameters(), config.clip_norm)
        self.optimizer.step()
        self.step += 1
        # An average over 1000 steps would remember the untrained network for long: it is short at first.
        self.pair.update(min(config.momentum, self.step / (self.step + 10)))
        return LossTerms(*(t.detach() for t in terms))

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


def precision(device: torch.device, ndim: int) -> str:
    """``"bfloat16"`` where the device computes in it, else ``"float32"``; the loss is always float32.

    Volumes on a CPU are float32: the bfloat16 weight gradients of oneDNN's 3D convolutions, as PyTorch 2.13 brings it,
    are not finite for some shapes, such as 4 x 72 x 72 voxels and 32 channels.

    >>> precision(torch.device("meta"), 2), precision(torch.device("cpu"), 3)
    ('float32', 'float32')
    """
    if device.type == "cpu" and ndim == 3:
        return "float32"
    native = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    }
    return "bfloat16" if native.get(device.type, bool)() else "float32"
