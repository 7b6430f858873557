"""Annotated regions: which pixel belongs to which object or to the background, and their mean embeddings.

All terms of the loss work on these few tensors, so that a batch needs no Python loop over its images and objects.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .blocks import sum_over_pixels

_MOST = torch.iinfo(torch.int64).max - 1


@dataclass(frozen=True)
class Regions:
    """What the terms share. P pixels; R = K + 1 regions: region 0 is the background, 1..K are the objects."""

    lifted: Tensor  #: (N, E + 2, P) float, the embeddings, ready for distances by matrix product
    centre: Tensor  #: (N, E), where the lifted embeddings have their origin
    slots: Tensor  #: (N, P) int32, the region that the pixel belongs to, or -1
    means: Tensor  #: (N, R, E)
    sizes: Tensor  #: (N, R) pixels, at least 1
    present: Tensor  #: (N, R) 1 where the region has a pixel
    unlabeled: Tensor  #: (N,) pixels with label -1, at least 1


def annotated_regions(embeddings: Tensor, labels: Tensor, max_objects: int | None = None) -> Regions:
    """Regions of a batch of embeddings ``(N, E, *S)`` with labels ``(N, *S)``.

    Half precision becomes float32: a mean over 10,000 pixels or a difference of two close distances needs it.

    Parameters
    ----------
    max_objects
        None counts the objects, which waits for the device. Give an upper bound K if the labels of each image
        are already small numbers, -1 to K: then nothing waits, and all shapes are fixed.

    Example
    -------
    >>> embeddings = torch.tensor([[[[1.0, 3.0, 9.0]]]])       # one image of one row and three pixels, E = 1
    >>> regions = annotated_regions(embeddings, torch.tensor([[[7, 7, -1]]]))
    >>> regions.means[0, 1], regions.sizes[0]                   # object 7 is region 1; there is no background
    (tensor([2.]), tensor([1., 2.]))
    """
    check_batch(embeddings, labels)
    slots = labels.flatten(1)
    if max_objects is None:
        slots, max_objects = consecutive(slots.long())
    slots = slots.int()
    lifted, centre = lift(embeddings)

    def sums(block: Tensor, slots: Tensor) -> tuple[Tensor]:
        return (torch.bmm(membership(slots, max_objects + 1, block.dtype), block.mT),)

    (total,) = sum_over_pixels(sums, [], [lifted, slots], rows=max_objects + 1)  # (N, R, E + 2)
    sizes = total[..., -2].detach()  # the sum of ones
    return Regions(
        lifted,
        centre,
        slots,
        means=total[..., :-2] / sizes[..., None].clamp_min(1) + centre[:, None],
        sizes=sizes.clamp_min(1),
        present=(sizes > 0).to(sizes.dtype),
        unlabeled=(slots < 0).sum(1).clamp_min(1),
    )


def lift(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings ``(N, E, *S)`` -> their lifted form (N, E + 2, P): e, 1 and ``|e|^2``; and its origin (N, E).

    The origin is the mean pixel. ``|a - e|^2 = (-2 a, |a|^2, 1) . (e, 1, |e|^2)``: the distances of all anchors to
    all pixels are one matrix product, and no tensor of shape (N, K, E, P). The three parts nearly cancel; around
    the mean pixel, and in at least float32, they are small and lose few digits.

    >>> lift(torch.tensor([[[[1.0, 5.0]]]]))
    (tensor([[[-2.,  2.],
             [ 1.,  1.],
             [ 4.,  4.]]]), tensor([[3.]]))
    """
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    embeddings = embeddings.flatten(2)
    centre = embeddings.detach().sum(2, dtype=dtype) / max(1, embeddings.shape[2])
    return _Lift.apply(embeddings, centre), centre


class _Lift(torch.autograd.Function):
    """One pass over the pixels forward, and one back. The shift cancels in a distance, so it needs no gradient."""

    @staticmethod
    def forward(ctx, embeddings: Tensor, centre: Tensor) -> Tensor:
        n, e, p = embeddings.shape
        lifted = torch.empty((n, e + 2, p), dtype=centre.dtype, device=centre.device)
        lifted[:, :e].copy_(embeddings).sub_(centre[..., None])
        lifted[:, e] = 1
        lifted[:, e + 1] = lifted[:, :e].square().sum(1)
        ctx.save_for_backward(lifted)
        ctx.dtype = embeddings.dtype
        return lifted

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (lifted,) = ctx.saved_tensors
        slope = torch.addcmul(gradient[:, :-2], lifted[:, :-2], gradient[:, -1:], value=2)
        return slope.to(ctx.dtype), None


def lifted_distances(anchors: Tensor, lifted: Tensor, centre: Tensor) -> Tensor:
    """Squared distances of anchors (N, K, E) to lifted pixels (N, E + 2, P) -> (N, K, P); rounding can give -1e-6.

    >>> lifted_distances(torch.tensor([[[0.0, 0.0]]]), *lift(torch.tensor([[[3.0], [4.0]]])))
    tensor([[[25.]]])
    """
    anchors = anchors - centre[:, None]
    ones = torch.ones_like(anchors[..., :1])
    return torch.bmm(torch.cat([-2 * anchors, anchors.square().sum(2, keepdim=True), ones], 2), lifted)


def membership(slots: Tensor, regions: int, dtype: torch.dtype) -> Tensor:
    """(N, P) numbers of regions -> (N, R, P), 1 where the pixel belongs to the region; -1 belongs to none.

    >>> membership(torch.tensor([[0, 1, -1]]), 2, torch.float32)
    tensor([[[1., 0., 0.],
             [0., 1., 0.]]])
    """
    numbers = torch.arange(regions, dtype=slots.dtype, device=slots.device)
    member = torch.empty((len(slots), regions, slots.shape[1]), dtype=dtype, device=slots.device)
    return torch.eq(slots[:, None], numbers[:, None], out=member)  # without a detour through bool: four times faster


def full_precision(embeddings: Tensor) -> Tensor:
    """bfloat16 and float16 become float32; float32 and float64 stay."""
    return embeddings.float() if embeddings.dtype in (torch.bfloat16, torch.float16) else embeddings


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Shapes and dtypes of a batch, or a ValueError that says which argument is wrong, what was found, what to give."""
    for name, given in (("embeddings", embeddings), ("labels", labels)):
        if not isinstance(given, Tensor):
            raise ValueError(f"{name}: expected a tensor, found {type(given).__name__}; torch.from_numpy makes one")
    if embeddings.ndim not in (4, 5) or not embeddings.is_floating_point():
        raise ValueError(
            "embeddings: expected floating point (N, E, Y, X) or (N, E, Z, Y, X), "
            f"found {embeddings.dtype} of shape {tuple(embeddings.shape)}"
        )
    if labels.dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64):
        raise ValueError(f"labels: found {labels.dtype}, where -1 is a large number; give int64")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected integers (k > 0, 0 or -1), found {labels.dtype}; convert with .long()")
    if labels.shape != (embeddings.shape[0], *embeddings.shape[2:]):
        raise ValueError(
            f"labels: expected (N, *S) = {(embeddings.shape[0], *embeddings.shape[2:])} to match the embeddings, "
            f"found {tuple(labels.shape)}"
        )


def consecutive(labels: Tensor) -> tuple[Tensor, int]:
    """Renumber the objects of each image, (N, P) int64, to 1, 2, ... and say how many the richest image has."""
    if labels.numel() == 0:
        return labels, 0
    if labels.min() < -1:
        raise ValueError(f"labels: found {int(labels.min())}; the only negative label is -1, for unlabelled pixels")
    if int(labels.max()) > _MOST // len(labels):  # the numbers below would overflow
        values, inverse = torch.unique(labels.clamp_min(0), return_inverse=True)
        labels = torch.where(labels < 0, labels, inverse + (values[0] > 0))
    stride = labels.max().clamp_min(0) + 1  # image and label in one number, so that one `unique` serves the batch
    image = torch.arange(labels.shape[0], device=labels.device)[:, None]
    values, inverse = torch.unique(torch.where(labels > 0, labels, 0) + image * stride, return_inverse=True)
    first = torch.searchsorted(values, (image * stride)[:, 0])  # label 0, or the object that stands in its place
    has_zero = (values[first.clamp_max(len(values) - 1)] == (image * stride)[:, 0]).long()
    rank = inverse - first[:, None] + 1 - has_zero[:, None]
    labels = torch.where(labels > 0, rank, labels)
    return labels, int(labels.max().clamp_min(0))


def in_full(slots: Tensor) -> Tensor:
    """Of labels ``(N, P)``, which images are annotated in full: (N,), bool. More background than unlabelled pixels.

    Unlabelled is then at most what a view shows beyond the border of its image.

    >>> in_full(torch.tensor([[0, 0, 1, -1], [0, 1, -1, -1], [1, 1, 2, 2]]))
    tensor([ True, False,  True])
    """
    unlabeled = (slots < 0).sum(1)
    return ((slots == 0).sum(1) > unlabeled) | (unlabeled == 0)
