"""From annotated samples to the batch of a step: which images, and two views of each."""

from typing import NamedTuple

import numpy as np
import torch
from skimage.segmentation import relabel_sequential
from torch import Tensor

from ..augment import two_views
from ..data import Sample
from .config import Config

TRIES = 8  # windows drawn for a crop, so that most show an annotated object


class Batch(NamedTuple):
    view_f: Tensor  # (N, C, *S)
    view_g: Tensor  # (N, C, *S)
    labels: Tensor  # (N, *S)


class Batches:
    """All samples on the device, and the batch of any step. All that is random follows from the seed and the step.

    Samples of one size are augmented together, others one by one. With several processes each of them draws its
    own part of the same batch.

    Raises ValueError for a sample that the configuration does not fit.

    >>> samples = [Sample(np.random.rand(3, 40, 40).astype(np.float32), np.ones((40, 40), np.int64), "a")] * 2
    >>> Batches(samples, Config(size=32, batch=2), torch.device("cpu")).draw(7).view_f.shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, samples: list[Sample], config: Config, device: torch.device):
        for sample in samples:
            check_sample(sample, config)
        self.config, self.device = config, device
        self.names = [s.name for s in samples]
        self.images = [torch.from_numpy(s.image).to(device) for s in samples]
        # int32 holds any number of objects; a large set, which stays on the device, is a third smaller for it.
        self.labels = [torch.from_numpy(renumbered(s.labels).astype(np.int32)).to(device) for s in samples]
        # Where most images have no label, a batch would mostly teach nothing: every second image has some, then.
        silent = np.array([bool((s.labels < 0).all()) for s in samples])
        self.streams = [where for where in (np.flatnonzero(~silent), np.flatnonzero(silent)) if len(where)]
        self.max_objects = max(int(labels.max()) for labels in self.labels)
        if len({labels.shape for labels in self.labels}) == 1:
            self.images, self.labels = torch.stack(self.images), torch.stack(self.labels)

    def numbers(self, step: int, *, rank: int = 0, processes: int = 1) -> list[int]:
        """Numbers of the samples of a step: each once in an epoch, in another order in the next.

        If some are annotated and others not at all, either kind has epochs of its own, and every second is annotated.

        >>> samples = [Sample(np.zeros((3, 40, 40), np.float32), np.ones((40, 40), np.int64), "a")] * 6
        >>> batches = Batches(samples, Config(size=32, batch=2), torch.device("cpu"))
        >>> sorted(batches.numbers(0) + batches.numbers(1) + batches.numbers(2))
        [0, 1, 2, 3, 4, 5]
        """
        local, numbers = self.config.batch // processes, []
        first = step * self.config.batch + rank * local
        for place in range(first, first + local):
            turn, which = divmod(place, len(self.streams))
            epoch, place_in_it = divmod(turn, len(stream := self.streams[which]))
            numbers.append(int(stream[_shuffled(self.config.seed, epoch, len(stream))[place_in_it]]))
        return numbers

    def draw(self, step: int, *, rank: int = 0, processes: int = 1) -> Batch:
        """The batch of a step, augmented; nothing here waits for the device."""
        numbers = self.numbers(step, rank=rank, processes=processes)
        if isinstance(self.images, Tensor):
            index = torch.tensor(numbers)
            if self.device.type == "cuda":  # a copy from ordinary memory would wait
                index = index.pin_memory().to(self.device, non_blocking=True)
            return self._views(self.images[index], self.labels[index], seed_of(self.config.seed, step, rank))
        parts = [
            self._views(self.images[number][None], self.labels[number][None], seed_of(self.config.seed, step, rank, i))
            for i, number in enumerate(numbers)
        ]
        return Batch(*(torch.cat(tensors) for tensors in zip(*parts)))

    def _views(self, images: Tensor, labels: Tensor, seed: int) -> Batch:
        config = self.config
        views = two_views(
            images,
            labels.long(),
            size=config.size,
            seed=seed,
            scale=config.view_scale,
            symmetry=config.symmetry,
            photometry=config.photometry,
            tries=TRIES if config.crop else 1,
        )
        return Batch(*views)


def check_sample(sample: Sample, config: Config) -> None:
    """Raise a ValueError that names the sample, if a configuration does not fit it."""
    axes = sample.image.ndim - 1
    if axes != config.ndim:
        advice = "volumes need a size of three numbers and crop=True" if axes == 3 else "give size one number, or two"
        raise ValueError(f"{sample.name}: an image of shape {sample.image.shape}, and size is {config.size}; {advice}")
    if len(sample.image) != config.in_channels:
        raise ValueError(
            f"{sample.name}: the image has {len(sample.image)} channels, in_channels is {config.in_channels}; "
            "set in_channels, or bring all images to one number of channels"
        )
    if not np.isfinite(sample.image).all():
        raise ValueError(f"{sample.name}: the image holds NaN or infinity; repair the file or leave it out")


def seed_of(*numbers: int) -> int:
    """One seed of several numbers.

    >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Objects become 1, 2, ...: the loss has one slot for each number up to the highest.

    >>> renumbered(np.array([[-1, 0, 7], [3, 7, 900]])).tolist()
    [[-1, 0, 2], [1, 2, 3]]
    """
    return np.where(labels > 0, relabel_sequential(np.maximum(labels, 0))[0], labels)


def _shuffled(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, n]).permutation(n)
