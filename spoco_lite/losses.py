"""The six terms of the SPOCO loss as pure functions, and :class:`SpocoLoss`, which adds them up.

Every function takes embeddings (N, E, *S) and labels (N, *S): ``k > 0`` an annotated object, ``0`` annotated
background, ``-1`` unlabelled. An annotated *region* is an object or the background; both are pulled together and pushed
apart, only objects have a mask to match. Each term is computed per image and averaged over the N images, so that
a batch counts as the mean of its images. An image to which a term does not apply (no object; no unlabelled pixel) adds 0.

Sources: De Brabandere et al. 2017 (pull, push, regulariser), Wolny et al. 2022 (instance, unlabelled push, consistency).
Defaults are those of the public code for leaves: delta_var .5, delta_dist 2, kernel threshold .5, weights 1, 1, .001, 1, 1, 1.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from .regions import Regions, annotated_regions, full_precision
from .selection import GaussianKernel, draw_anchors, squared_distances

EPS = 1e-6  # keeps the Dice of two empty masks, and the slope of a distance of 0, finite


def _mean_over_images(per_image: Tensor) -> Tensor:
    return per_image.sum() / max(len(per_image), 1)


def _dice(p: Tensor, q: Tensor, over: tuple[int, ...]) -> Tensor:
    """Dice of two soft masks with squared denominators (Milletari et al. 2016): 2 sum(pq) / (sum(p^2) + sum(q^2))."""
    overlap = (p * q).sum(over)
    return 2 * overlap / (p.square().sum(over) + q.square().sum(over)).clamp_min(EPS)


def _pull(r: Regions, delta_var: float) -> Tensor:
    own_mean = torch.bmm(r.means.mT, r.member)  # (N, E, P): the mean of the region that a pixel lies in
    distance = torch.linalg.vector_norm(r.embeddings - own_mean, dim=1)  # its gradient at distance 0 is 0
    share = torch.bmm((r.present / r.sizes)[:, None], r.member)[:, 0]  # (N, P): 1 / N_k, and 0 where unlabelled
    hinged = (distance - delta_var).clamp_min(0).square()
    return _mean_over_images((share * hinged).sum(1) / r.present.sum(1).clamp_min(1))


def _push(r: Regions, delta_dist: float) -> Tensor:
    distance = torch.linalg.vector_norm(r.means[:, :, None] - r.means[:, None], dim=3)  # (N, R, R)
    pairs = r.present[:, :, None] * r.present[:, None]
    pairs = pairs * (1 - torch.eye(pairs.shape[1], dtype=pairs.dtype, device=pairs.device))
    hinged = (2 * delta_dist - distance).clamp_min(0).square()
    return _mean_over_images((pairs * hinged).sum((1, 2)) / pairs.sum((1, 2)).clamp_min(1))


def _regularizer(r: Regions) -> Tensor:
    norms = torch.linalg.vector_norm(r.means, dim=2) * r.present
    return _mean_over_images(norms.sum(1) / r.present.sum(1).clamp_min(1))


def _instance(r: Regions, squared: Tensor, kernel: GaussianKernel, reduction: str) -> Tensor:
    present = r.present[:, 1:]
    masks, truth = kernel(squared), r.member[:, 1:]
    objects = present.sum(1)
    if reduction == "pooled":
        return _mean_over_images((1 - _dice(masks * present[..., None], truth, (1, 2))) * (objects > 0))
    losses = (1 - _dice(masks, truth, (2,))) * present
    return _mean_over_images(losses.sum(1) / objects.clamp_min(1))


def _unlabeled_push(r: Regions, squared: Tensor, delta_dist: float) -> Tensor:
    # The square root has no finite slope at 0; below EPS the distance is held, and its gradient is 0.
    distance = squared.clamp_min(EPS**2).sqrt()
    hinged = (delta_dist - distance).clamp_min(0).square()
    per_object = torch.bmm(hinged, r.unlabeled[..., None])[..., 0] / r.unlabeled.sum(1, keepdim=True).clamp_min(1)
    present = r.present[:, 1:]
    return _mean_over_images((per_object * present).sum(1) / present.sum(1).clamp_min(1))


def _consistency(f: Tensor, g: Tensor, kernel: GaussianKernel, anchors: Tensor, valid: Tensor) -> Tensor:
    """f, g (N, E, P); anchors (N, A) pixel numbers; valid (N, A) 1 where the anchor counts."""

    def masks(emb: Tensor) -> Tensor:
        at_anchor = emb.gather(2, anchors[:, None].expand(-1, emb.shape[1], -1)).mT  # (N, A, E)
        return kernel(squared_distances(at_anchor, emb))

    losses = (1 - _dice(masks(f), masks(g), (2,))) * valid
    return _mean_over_images(losses.sum(1) / valid.sum(1).clamp_min(1))


def _without_autocast(function):
    """Run a term outside autocast: its matrix products would round distances to three digits."""

    @functools.wraps(function)
    def wrapper(embeddings: Tensor, *args, **kwargs):
        with torch.autocast(embeddings.device.type, enabled=False):
            return function(embeddings, *args, **kwargs)

    return wrapper


@_without_autocast
def pull_loss(embeddings: Tensor, labels: Tensor, *, delta_var: float = 0.5) -> Tensor:
    """Pixels of a region come within ``delta_var`` of its mean: mean_k mean_{i in S_k} [|mu_k - e_i| - delta_var]_+^2.

    >>> pull_loss(torch.tensor([[[[-1.0, 1.0]]]]), torch.tensor([[[1, 1]]]))   # both at distance 1 from the mean 0
    tensor(0.2500)
    """
    return _pull(annotated_regions(embeddings, labels), delta_var)


@_without_autocast
def push_loss(embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0) -> Tensor:
    """Means of two regions move 2 delta_dist apart: mean_{k != l} [2 delta_dist - |mu_k - mu_l|]_+^2.

    >>> push_loss(torch.tensor([[[[0.0, 3.0]]]]), torch.tensor([[[1, 2]]]))
    tensor(1.)
    """
    return _push(annotated_regions(embeddings, labels), delta_dist)


@_without_autocast
def regularizer_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Means of the annotated regions stay near the origin: mean_k |mu_k|.

    >>> regularizer_loss(torch.tensor([[[[0.0, 3.0]]]]), torch.tensor([[[1, 2]]]))
    tensor(1.5000)
    """
    return _regularizer(annotated_regions(embeddings, labels))


@_without_autocast
def instance_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    kernel_threshold: float = 0.5,
    reduction: str = "object",
) -> Tensor:
    """Soft masks, selected by the objects' means, match the annotated masks: 1 - Dice.

    ``reduction="object"`` averages the Dice of each object, as the equation reads; ``"pooled"`` is one Dice over the
    masks of all objects of an image, as the public code computes it: there large objects outweigh small ones.

    >>> embeddings = torch.tensor([[[[0.0, 0.0, 9.0, 9.0]]]])
    >>> instance_loss(embeddings, torch.tensor([[[1, 1, -1, -1]]]))
    tensor(0.)
    """
    kernel = GaussianKernel(delta_var, kernel_threshold)
    if reduction not in ("object", "pooled"):
        raise ValueError(f'reduction: found {reduction!r}; give "object" or "pooled"')
    r = annotated_regions(embeddings, labels)
    return _instance(r, squared_distances(r.means[:, 1:], r.embeddings), kernel, reduction)


@_without_autocast
def unlabeled_push_loss(embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0) -> Tensor:
    """Unlabelled pixels keep ``delta_dist`` from the annotated objects: mean_k mean_{i in U} [delta_dist - |mu_k - e_i|]_+^2.

    Only objects push. Annotated background does not: most unlabelled pixels are background themselves.

    >>> unlabeled_push_loss(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[1, -1]]]))
    tensor(1.)
    """
    r = annotated_regions(embeddings, labels)
    return _unlabeled_push(r, squared_distances(r.means[:, 1:], r.embeddings), delta_dist)


@_without_autocast
def consistency_loss(
    emb_f: Tensor,
    emb_g: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    kernel_threshold: float = 0.5,
    anchors: Tensor | None = None,
    max_anchors: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The same unlabelled pixel selects the same soft mask in f and in g: mean over anchors of 1 - Dice.

    g is a target: no gradient flows into ``emb_g``.

    Parameters
    ----------
    emb_f, emb_g : (N, E, *S), embeddings of two views of the same images, aligned pixel by pixel.
    labels : (N, *S); anchors are drawn where it is -1 (:func:`spoco_lite.selection.draw_anchors`).
    anchors : (N, A, D), integer coordinates of given anchor pixels (D = 2 or 3, in the order of \\*S), instead of drawn ones.
    max_anchors, generator : how many to draw at most, and with which random numbers.

    >>> embeddings = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bool(consistency_loss(embeddings, embeddings, torch.full((1, 8, 8), -1)) < 1e-6)   # two equal networks agree
    True
    """
    kernel = GaussianKernel(delta_var, kernel_threshold)
    if emb_f.shape != emb_g.shape:
        raise ValueError(f"emb_f and emb_g must have one shape, found {tuple(emb_f.shape)} and {tuple(emb_g.shape)}")
    emb_f, emb_g = full_precision(emb_f), full_precision(emb_g.detach())
    if anchors is None:
        pixels, valid = draw_anchors(
            emb_f, emb_g, labels, delta_var=delta_var, max_anchors=max_anchors, generator=generator
        )
    else:
        pixels, valid = _pixel_numbers(anchors, labels.shape)
    return _consistency(emb_f.flatten(2), emb_g.flatten(2), kernel, pixels, valid.to(emb_f.dtype))


def _pixel_numbers(anchors: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    size = torch.tensor(shape[1:], device=anchors.device)
    if anchors.ndim != 3 or anchors.shape[0] != shape[0] or anchors.shape[2] != len(size) or anchors.is_floating_point():
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


class LossTerms(NamedTuple):
    """What :class:`SpocoLoss` returns: the weighted sum to minimise, and each term before its weight (0-dim tensors)."""

    total: Tensor
    pull: Tensor
    push: Tensor
    regularizer: Tensor
    instance: Tensor
    unlabeled_push: Tensor
    consistency: Tensor


class SpocoLoss:
    """The whole loss: a weighted sum of the six terms, for dense and for sparse annotation alike.

    Which terms act follows from the labels: without unlabelled pixels there is no unlabelled push and no consistency.
    A term of weight 0 is not computed, and reported as 0. Weights and constants default to the public code's.

    Parameters
    ----------
    delta_var, delta_dist, kernel_threshold, reduction, max_anchors : as in the single terms.
    pull, push, regularizer, instance, unlabeled_push, consistency : weights.
    max_objects : upper bound of the labels, for training without waiting for the device
        (:func:`spoco_lite.regions.annotated_regions`).

    Example
    -------
    >>> embeddings = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> labels = torch.full((2, 8, 8), -1); labels[:, :4] = 1; labels[:, :2] = 2
    >>> terms = SpocoLoss()(embeddings, embeddings, labels)
    >>> terms._fields
    ('total', 'pull', 'push', 'regularizer', 'instance', 'unlabeled_push', 'consistency')
    >>> torch.allclose(terms.total, terms.pull + terms.push + .001 * terms.regularizer + terms.instance
    ...                + terms.unlabeled_push + terms.consistency)
    True
    """

    def __init__(
        self,
        *,
        delta_var: float = 0.5,
        delta_dist: float = 2.0,
        kernel_threshold: float = 0.5,
        reduction: str = "object",
        max_anchors: int = 20,
        pull: float = 1.0,
        push: float = 1.0,
        regularizer: float = 0.001,
        instance: float = 1.0,
        unlabeled_push: float = 1.0,
        consistency: float = 1.0,
        max_objects: int | None = None,
    ):
        if reduction not in ("object", "pooled"):
            raise ValueError(f'reduction: found {reduction!r}; give "object" or "pooled"')
        self.kernel = GaussianKernel(delta_var, kernel_threshold)
        self.delta_var, self.delta_dist, self.reduction = delta_var, delta_dist, reduction
        self.max_anchors, self.max_objects = max_anchors, max_objects
        self.weights = {
            "pull": pull,
            "push": push,
            "regularizer": regularizer,
            "instance": instance,
            "unlabeled_push": unlabeled_push,
            "consistency": consistency,
        }

    def __call__(
        self, emb_f: Tensor, emb_g: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> LossTerms:
        """Embeddings (N, E, *S) of two aligned views under f and g, labels (N, *S) -> the terms."""
        with torch.autocast(emb_f.device.type, enabled=False):
            r = annotated_regions(emb_f, labels, self.max_objects)
            squared = squared_distances(r.means[:, 1:], r.embeddings)  # shared by two terms

            def consistency() -> Tensor:
                return consistency_loss(
                    emb_f,
                    emb_g,
                    labels,
                    delta_var=self.delta_var,
                    kernel_threshold=self.kernel.threshold,
                    max_anchors=self.max_anchors,
                    generator=generator,
                )

            compute = {
                "pull": lambda: _pull(r, self.delta_var),
                "push": lambda: _push(r, self.delta_dist),
                "regularizer": lambda: _regularizer(r),
                "instance": lambda: _instance(r, squared, self.kernel, self.reduction),
                "unlabeled_push": lambda: _unlabeled_push(r, squared, self.delta_dist),
                "consistency": consistency,
            }
            terms = {name: compute[name]() if weight else emb_f.new_zeros(()) for name, weight in self.weights.items()}
            total = sum(self.weights[name] * term for name, term in terms.items())
        return LossTerms(total, **terms)
