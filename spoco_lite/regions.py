"""Annotated regions: which pixel belongs to which object or to the background, and their mean embeddings.

All terms of the loss work on these few tensors, so that a batch needs one pass over the pixels and no Python loop.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Regions:
    """What the terms share. P pixels; R = K + 1 regions: region 0 is the background, 1..K are the objects."""

    embeddings: Tensor  # (N, E, P) float
    member: Tensor  # (N, R, P) 1 where the pixel belongs to the region
    unlabeled: Tensor  # (N, P) 1 where the label is -1
    means: Tensor  # (N, R, E)
    sizes: Tensor  # (N, R) pixels, at least 1
    present: Tensor  # (N, R) 1 where the region has a pixel

    @cached_property
    def squared_distances(self) -> Tensor:
        """Of all object means, the background left out, to all pixels (N, K, P); two terms need them."""
        return squared_distances(self.means[:, 1:], self.embeddings)


def annotated_regions(embeddings: Tensor, labels: Tensor, max_objects: int | None = None) -> Regions:
    """Regions of a batch of embeddings (N, E, *S) with labels (N, *S).

    Half precision becomes float32: a mean over 10,000 pixels or a difference of two close distances needs it.

    max_objects : None counts the objects, which waits for the device. Give an upper bound K if the labels of
        each image are already small numbers, -1 to K: then nothing waits, and all shapes are fixed.

    Example
    -------
    >>> embeddings = torch.tensor([[[[1.0, 3.0, 9.0]]]])       # one image of one row and three pixels, E = 1
    >>> regions = annotated_regions(embeddings, torch.tensor([[[7, 7, -1]]]))
    >>> regions.means[0, 1], regions.sizes[0]                   # object 7 is region 1; there is no background
    (tensor([2.]), tensor([1., 2.]))
    """
    check_batch(embeddings, labels)
    embeddings = full_precision(embeddings)
    embeddings, labels = embeddings.flatten(2), labels.flatten(1)
    if max_objects is None:
        labels, max_objects = _consecutive(labels)
    slots = torch.arange(max_objects + 1, device=labels.device)
    member = (labels[:, None] == slots[:, None]).to(embeddings.dtype)
    sizes = member.sum(2)
    present = (sizes > 0).to(embeddings.dtype)
    sizes = sizes.clamp_min(1)
    means = torch.bmm(member, embeddings.mT) / sizes[..., None]
    return Regions(embeddings, member, (labels < 0).to(embeddings.dtype), means, sizes, present)


def full_precision(embeddings: Tensor) -> Tensor:
    """bfloat16 and float16 become float32; float32 and float64 stay."""
    return embeddings.float() if embeddings.dtype in (torch.bfloat16, torch.float16) else embeddings


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Shapes and dtypes of a batch, or a ValueError that says which argument is wrong, what was found, what to give."""
    if embeddings.ndim not in (4, 5) or not embeddings.is_floating_point():
        raise ValueError(
            "embeddings: expected floating point (N, E, Y, X) or (N, E, Z, Y, X), "
            f"found {embeddings.dtype} of shape {tuple(embeddings.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected integers (k > 0, 0 or -1), found {labels.dtype}; convert with .long()")
    if labels.shape != (embeddings.shape[0], *embeddings.shape[2:]):
        raise ValueError(
            f"labels: expected (N, *S) = {(embeddings.shape[0], *embeddings.shape[2:])} to match the embeddings, "
            f"found {tuple(labels.shape)}"
        )


def _consecutive(labels: Tensor) -> tuple[Tensor, int]:
    """Renumber the objects of each image to 1, 2, ... and say how many the richest image has."""
    if labels.numel() == 0:
        return labels.long(), 0
    labels = labels.long()
    if labels.min() < -1:
        raise ValueError(f"labels: found {int(labels.min())}; the only negative label is -1, for unlabelled pixels")
    stride = labels.max().clamp_min(0) + 1  # image and label in one number, so that one `unique` serves the batch
    image = torch.arange(labels.shape[0], device=labels.device)[:, None]
    values, inverse = torch.unique(torch.where(labels > 0, labels, 0) + image * stride, return_inverse=True)
    first = torch.searchsorted(values, (image * stride)[:, 0])  # label 0, or the object that stands in its place
    has_zero = (values[first.clamp_max(len(values) - 1)] == (image * stride)[:, 0]).long()
    rank = inverse - first[:, None] + 1 - has_zero[:, None]
    labels = torch.where(labels > 0, rank, labels)
    return labels, int(labels.max().clamp_min(0))


def squared_distances(anchors: Tensor, embeddings: Tensor) -> Tensor:
    """Squared Euclidean distances of all anchors (N, K, E) to all pixels (N, E, P) -> (N, K, P), at least 0.

    |a - e|^2 = |a|^2 + |e|^2 - 2 a.e needs one matrix product instead of a tensor of shape (N, K, E, P).
    Both are first shifted by the mean pixel: the three parts nearly cancel, and small numbers lose fewer digits.

    Example
    -------
    >>> squared_distances(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[3.0], [4.0]]]))
    tensor([[[25.]]])
    """
    # The shift cancels in the distance, so no gradient has to pass through it.
    centre = embeddings.detach().mean(dim=2, keepdim=True) if embeddings.shape[2] else 0.0
    embeddings = embeddings - centre
    anchors = anchors - centre.mT if embeddings.shape[2] else anchors
    squares = anchors.square().sum(2, keepdim=True) + embeddings.square().sum(1, keepdim=True)
    return torch.baddbmm(squares, anchors, embeddings, alpha=-2).clamp_min(0)
