"""Differentiable instance selection: from the embedding of one anchor to the soft mask of its object.

Source: Wolny et al. 2022. The kernel turns the distance between a pixel's embedding and the anchor's into a number
between 0 and 1, and its width is chosen so that a pixel at distance ``delta_var`` gets exactly ``threshold``::

    phi(e; a) = exp(-|e - a|^2 / (2 sigma^2)),   2 sigma^2 = -delta_var^2 / ln(threshold)
"""

import math

import torch
from torch import Tensor

from .sums.regions import check_batch, full_precision, lift, lifted_distances

CANDIDATES_PER_ANCHOR = 5  # pixels drawn for each anchor wanted; those too close to an earlier anchor are passed over


class GaussianKernel:
    """From squared distances to soft membership; 1 at distance 0, ``threshold`` at distance ``delta_var``.

    The defaults are those of the public code for leaves: ``delta_var=0.5``, ``threshold=0.5``.

    Example
    -------
    >>> kernel = GaussianKernel(delta_var=0.5, threshold=0.5)
    >>> kernel(torch.tensor([0.0, 0.25, 1.0]))
    tensor([1.0000, 0.5000, 0.0625])
    """

    def __init__(self, delta_var: float = 0.5, threshold: float = 0.5):
        if not delta_var > 0:
            raise ValueError(f"delta_var: found {delta_var}; give a positive distance in embedding space")
        if not 0 < threshold < 1:
            raise ValueError(f"threshold: found {threshold}; give a number between 0 and 1, both excluded")
        self.delta_var, self.threshold = delta_var, threshold
        self.rate = -math.log(threshold) / delta_var**2  # 1 / (2 sigma^2)

    def __call__(self, squared_distance: Tensor) -> Tensor:
        # e^-30 = 1e-13 adds nothing to a sum in float32. Smaller numbers would, once squared, be denormal:
        # a CPU computes with these ten times slower.
        # Rounding can make a distance of 0 a little negative.
        return squared_distance.clamp(0, 30 / self.rate).mul(-self.rate).exp()

    def overlap_and_mass(self, squared: Tensor, target: Tensor) -> Tensor:
        """Of the masks p = phi(squared), with targets q: sums over the pixels of p q, and of p^2.

        ``squared`` and ``target`` are (N, K, P); no gradient flows into the target. Returns (2, N, K).
        """
        return _OverlapAndMass.apply(squared, target, self)


class _OverlapAndMass(torch.autograd.Function):
    """With its slope written out: the chain rule through each operation would take three times as long.

    d/dD of a sum of p q + b sum of p^2, at p = exp(-rate D), is -rate p (a q + 2 b p) for each pixel.
    """

    @staticmethod
    def forward(ctx, squared: Tensor, target: Tensor, kernel: GaussianKernel) -> Tensor:
        masks = kernel(squared)
        ctx.save_for_backward(masks, target)
        ctx.rate = kernel.rate
        return torch.stack([(masks * target).sum(2), mass_of(masks)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        masks, target = ctx.saved_tensors
        a, b = -ctx.rate * gradient[..., None]
        return (target * a).addcmul_(masks, 2 * b).mul_(masks), None, None


def mass_of(masks: Tensor) -> Tensor:
    """What masks (N, K, P) add to the denominator of Dice: the sums (N, K) of their squares."""
    return masks.square().sum(2)


def soft_masks(embeddings: Tensor, anchors: Tensor, kernel: GaussianKernel) -> Tensor:
    """Soft masks of the objects that the anchors belong to.

    Parameters
    ----------
    embeddings
        ``(N, E, *S)``, one embedding per pixel.
    anchors
        (N, K, E), K anchor embeddings per image: object means, or embeddings of sampled pixels.
    kernel
        the membership as a function of squared distance.

    Returns
    -------
    Tensor
        ``(N, K, *S)``, between 0 and 1. Differentiable in embeddings and anchors.

    Example
    -------
    >>> embeddings = torch.zeros(1, 2, 4, 4); embeddings[:, 0, :, 2:] = 3.0
    >>> soft_masks(embeddings, torch.zeros(1, 1, 2), GaussianKernel())[0, 0, 0]
    tensor([1.0000e+00, 1.0000e+00, 1.4552e-11, 1.4552e-11])
    """
    if embeddings.ndim < 3 or anchors.ndim != 3 or anchors.shape[::2] != embeddings.shape[:2]:
        raise ValueError(
            "soft_masks: expected embeddings (N, E, *S) and anchors (N, K, E), "
            f"found {tuple(embeddings.shape)} and {tuple(anchors.shape)}"
        )
    masks = kernel(lifted_distances(anchors, *lift(embeddings)))
    return masks.unflatten(2, embeddings.shape[2:])


@torch.no_grad()
def draw_anchors(
    emb_f: Tensor,
    emb_g: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    max_anchors: int = 20,
    coverage: float = 0.95,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Unlabelled pixels at random, each at least ``delta_var`` from every earlier one, in f and in g.

    Wolny et al. 2022 cover the unlabelled region: draw a pixel, remove all within delta_var of it in f or in g,
    draw from the rest. Drawing from the whole region and passing over those that should have been removed gives the
    same distribution, needs distances between the drawn pixels only, and no shape that depends on the data. The
    ``5 * max_anchors`` pixels drawn also tell how much of the region is covered.

    Parameters
    ----------
    emb_f, emb_g
        ``(N, E, *S)``.
    labels
        ``(N, *S)``, -1 where unlabelled.
    generator
        on the embeddings' device.
    max_anchors
        20 as in the public code.
    coverage
        draw no further once this share of the unlabelled pixels lies near an anchor; 1 draws as long as it
        can. The public code stops when the rest is less than 5% of the image.

    Returns
    -------
    pixels, valid
        (N, max_anchors) int64, numbers of pixels in the flattened image, and (N, max_anchors) bool, False where
        fewer anchors were found (all False for an image without unlabelled pixels).

    Example
    -------
    >>> embeddings = torch.zeros(1, 2, 8, 8); embeddings[..., 4:] = 3.0
    >>> pixels, valid = draw_anchors(embeddings, embeddings, torch.full((1, 8, 8), -1))
    >>> int(valid.sum())  # two groups of equal embeddings, so two anchors
    2
    """
    check_batch(emb_f, labels)
    if max_anchors < 1 or not 0 < coverage <= 1:
        raise ValueError(
            f"max_anchors: found {max_anchors}; give 1 or more; coverage: found {coverage}; give a share above 0"
        )
    emb_f, emb_g, unlabeled = emb_f.flatten(2), emb_g.flatten(2), labels.flatten(1) < 0
    n, pixels = unlabeled.shape
    if pixels == 0 or n == 0:
        return labels.new_zeros(n, max_anchors, dtype=torch.long), unlabeled.new_zeros(n, max_anchors)
    draws = _uniform((n, CANDIDATES_PER_ANCHOR * max_anchors), emb_f.device, generator)
    cumulative = unlabeled.cumsum(1)
    count = cumulative[:, -1:]
    ranks = (draws * count).long() + 1  # the pixel with the r-th unlabelled label, r uniform in 1..count
    candidates = torch.searchsorted(cumulative, ranks).clamp_max(pixels - 1)

    def close(emb: Tensor) -> Tensor:
        at = full_precision(embeddings_at(emb, candidates))
        return lifted_distances(at, *lift(at.mT)) < delta_var**2

    removes = close(emb_f) | close(emb_g)  # (N, M, M)
    free = (count > 0).expand_as(candidates).clone()
    order = torch.arange(candidates.shape[1], device=candidates.device)
    chosen, valid = [], []
    for _ in range(max_anchors):  # greedy by nature: the next anchor depends on the earlier ones
        first = torch.where(free, order, len(order)).amin(1, keepdim=True)
        rest = free.to(torch.float32).mean(1, keepdim=True)
        valid.append((first < len(order)) & (rest > 1 - coverage))
        first = first.clamp_max(len(order) - 1)
        chosen.append(candidates.gather(1, first))
        free &= ~removes.gather(1, first[..., None].expand(-1, 1, len(order)))[:, 0]
        free.scatter_(1, first, False)  # itself, whatever rounding says of its distance to itself
    return torch.cat(chosen, 1), torch.cat(valid, 1)


@torch.no_grad()
def draw_object_pixels(slots: Tensor, sizes: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """One pixel of each region, drawn at random: (N, R) numbers of pixels in the flattened image.

    ``slots`` (N, P) and ``sizes`` (N, R) are those of
    :class:`spoco_lite.sums.regions.Regions`. A region without pixels gets any pixel.

    >>> draw_object_pixels(torch.tensor([[0, 2, 1, -1]]), torch.ones(1, 3))
    tensor([[0, 2, 1]])
    """
    order = slots.argsort(dim=1, stable=True)  # the unlabelled pixels, then those of region 0, of region 1, ...
    regions = torch.arange(sizes.shape[1], dtype=slots.dtype, device=slots.device).repeat(len(slots), 1)
    before = torch.searchsorted(slots.gather(1, order), regions)
    draws = _uniform(before.shape, slots.device, generator)
    places = before + (draws * sizes).long()
    return order.gather(1, places.clamp_max(slots.shape[1] - 1))


def _uniform(shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Numbers from 0 to below 1, in float64, which reaches each of a billion pixels; Apple GPUs have float32 only."""
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.rand(shape, dtype=dtype, device=device, generator=generator)


def embeddings_at(embeddings: Tensor, pixels: Tensor) -> Tensor:
    """Embeddings (N, E, P) at numbered pixels (N, A) -> (N, A, E).

    >>> embeddings_at(torch.tensor([[[5.0, 6.0, 7.0]]]), torch.tensor([[2, 0]]))
    tensor([[[7.],
             [5.]]])
    """
    return embeddings.gather(2, pixels[:, None].expand(-1, embeddings.shape[1], -1)).mT


def pixel_numbers(anchors: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Anchors given as coordinates (N, A, D), in the form of :func:`draw_anchors`, for labels of a shape ``(N, *S)``.

    >>> pixel_numbers(torch.tensor([[[1, 2]]]), torch.Size([1, 3, 10]))
    (tensor([[12]]), tensor([[True]]))
    """
    size = torch.tensor(shape[1:], device=anchors.device)
    expected = (shape[0], anchors.shape[1] if anchors.ndim == 3 else -1, len(size))
    if anchors.shape != expected or anchors.is_floating_point():
        raise ValueError(
            f"anchors: expected integer coordinates (N, A, D) with N = {shape[0]}, D = {len(size)}, "
            f"found {anchors.dtype} of shape {tuple(anchors.shape)}"
        )
    if ((anchors < 0) | (anchors >= size)).any():
        raise ValueError(f"anchors: a coordinate lies outside the image of size {tuple(shape[1:])}")
    pixels = anchors[..., 0]
    for axis in range(1, len(size)):
        pixels = pixels * size[axis] + anchors[..., axis]
    return pixels, torch.ones_like(pixels, dtype=torch.bool)
