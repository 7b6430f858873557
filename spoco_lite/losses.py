"""The six terms of the SPOCO loss as pure functions, and :class:`SpocoLoss`, which adds them up.

Every function takes embeddings (N, E, *S) and labels (N, *S): ``k > 0`` an annotated object, ``0`` annotated
background, ``-1`` unlabelled. An annotated *region* is an object or the background; both are pulled together and pushed
apart, only objects have a mask to match. Each term is computed per image and averaged over the N images, so that
a batch counts as the mean of its images. An image to which a term does not apply (no object, no unlabelled pixel) adds
0. Whoever needs several terms of one batch computes its ``regions`` once and passes them on, as ``SpocoLoss`` does.

Sources: De Brabandere et al. 2017 (pull, push, regulariser), Wolny et al. 2022 (instance, unlabelled push,
consistency). Defaults are those of the public code for leaves: delta_var .5, delta_dist 2, kernel threshold .5, and the
weights of :class:`SpocoLoss`.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from .regions import Regions, annotated_regions, check_batch, full_precision, squared_distances
from .selection import GaussianKernel, draw_anchors, pixel_numbers

EPS = 1e-6  # keeps the Dice of two empty masks, and the slope of a distance of 0, finite


def _mean_over_images(per_image: Tensor) -> Tensor:
    return per_image.sum() / max(len(per_image), 1)


def _dice(p: Tensor, q: Tensor, over: tuple[int, ...]) -> Tensor:
    """Dice of soft masks with squared denominators (Milletari et al. 2016): 2 sum(pq) / (sum(p^2) + sum(q^2))."""
    overlap = (p * q).sum(over)
    return 2 * overlap / (p.square().sum(over) + q.square().sum(over)).clamp_min(EPS)


def _without_autocast(function):
    """Run a term outside autocast: its matrix products would round distances to three digits."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        device = next((x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return wrapper


@_without_autocast
def pull_loss(
    embeddings: Tensor, labels: Tensor, *, delta_var: float = 0.5, regions: Regions | None = None
) -> Tensor:
    """Pixels of a region come within ``delta_var`` of its mean: mean_k mean_{i in S_k} [|mu_k - e_i| - delta_var]_+^2.

    >>> pull_loss(torch.tensor([[[[-1.0, 1.0]]]]), torch.tensor([[[1, 1]]]))  # both at distance 1 from the mean 0
    tensor(0.2500)
    """
    r = regions or annotated_regions(embeddings, labels)
    own_mean = torch.bmm(r.means.mT, r.member)  # (N, E, P): the mean of the region that a pixel lies in
    distance = torch.linalg.vector_norm(r.embeddings - own_mean, dim=1)  # its gradient at distance 0 is 0
    share = torch.bmm((r.present / r.sizes)[:, None], r.member)[:, 0]  # (N, P): 1 / N_k, and 0 where unlabelled
    hinged = (distance - delta_var).clamp_min(0).square()
    return _mean_over_images((share * hinged).sum(1) / r.present.sum(1).clamp_min(1))


@_without_autocast
def push_loss(
    embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0, regions: Regions | None = None
) -> Tensor:
    """Means of two regions move 2 delta_dist apart: mean_{k != l} [2 delta_dist - |mu_k - mu_l|]_+^2.

    >>> push_loss(torch.tensor([[[[0.0, 3.0]]]]), torch.tensor([[[1, 2]]]))
    tensor(1.)
    """
    r = regions or annotated_regions(embeddings, labels)
    distance = torch.linalg.vector_norm(r.means[:, :, None] - r.means[:, None], dim=3)  # (N, R, R)
    pairs = r.present[:, :, None] * r.present[:, None]
    pairs = pairs * (1 - torch.eye(pairs.shape[1], dtype=pairs.dtype, device=pairs.device))
    hinged = (2 * delta_dist - distance).clamp_min(0).square()
    return _mean_over_images((pairs * hinged).sum((1, 2)) / pairs.sum((1, 2)).clamp_min(1))


@_without_autocast
def regularizer_loss(embeddings: Tensor, labels: Tensor, *, regions: Regions | None = None) -> Tensor:
    """Means of the annotated regions stay near the origin: mean_k |mu_k|.

    >>> regularizer_loss(torch.tensor([[[[0.0, 3.0]]]]), torch.tensor([[[1, 2]]]))
    tensor(1.5000)
    """
    r = regions or annotated_regions(embeddings, labels)
    norms = torch.linalg.vector_norm(r.means, dim=2) * r.present
    return _mean_over_images(norms.sum(1) / r.present.sum(1).clamp_min(1))


@_without_autocast
def instance_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    kernel_threshold: float = 0.5,
    reduction: str = "object",
    regions: Regions | None = None,
) -> Tensor:
    """Soft masks, selected by the objects' means, match the annotated masks: 1 - Dice.

    ``reduction="object"`` averages the Dice of each object, as the equation reads; ``"pooled"`` is one Dice over the
    masks of all objects of an image, as the public code computes it: there large objects outweigh small ones.

    >>> embeddings = torch.tensor([[[[0.0, 0.0, 9.0, 9.0]]]])
    >>> instance_loss(embeddings, torch.tensor([[[1, 1, -1, -1]]]))
    tensor(0.)
    """
    kernel = GaussianKernel(delta_var, kernel_threshold)
    _check_reduction(reduction)
    r = regions or annotated_regions(embeddings, labels)
    masks, truth, present = kernel(r.squared_distances), r.member[:, 1:], r.present[:, 1:]
    objects = present.sum(1)
    if reduction == "pooled":
        return _mean_over_images((1 - _dice(masks * present[..., None], truth, (1, 2))) * (objects > 0))
    losses = (1 - _dice(masks, truth, (2,))) * present
    return _mean_over_images(losses.sum(1) / objects.clamp_min(1))


@_without_autocast
def unlabeled_push_loss(
    embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0, regions: Regions | None = None
) -> Tensor:
    """Unlabelled pixels keep away from annotated objects: mean_k mean_{i in U} [delta_dist - |mu_k - e_i|]_+^2.

    Only objects push. Annotated background does not: most unlabelled pixels are background themselves.

    >>> unlabeled_push_loss(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[1, -1]]]))
    tensor(1.)
    """
    r = regions or annotated_regions(embeddings, labels)
    # The square root has no finite slope at 0; below EPS the distance is held, and its gradient is 0.
    distance = r.squared_distances.clamp_min(EPS**2).sqrt()
    hinged = (delta_dist - distance).clamp_min(0).square()
    per_object = torch.bmm(hinged, r.unlabeled[..., None])[..., 0] / r.unlabeled.sum(1, keepdim=True).clamp_min(1)
    present = r.present[:, 1:]
    return _mean_over_images((per_object * present).sum(1) / present.sum(1).clamp_min(1))


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
    anchors : (N, A, D), integer coordinates of anchor pixels in the order of the axes, instead of drawn ones.
    max_anchors, generator : how many to draw at most, and with which random numbers.

    >>> embeddings = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bool(consistency_loss(embeddings, embeddings, torch.full((1, 8, 8), -1)) < 1e-6)   # two equal networks agree
    True
    """
    kernel = GaussianKernel(delta_var, kernel_threshold)
    if emb_f.shape != emb_g.shape:
        raise ValueError(f"emb_f and emb_g must have one shape, found {tuple(emb_f.shape)} and {tuple(emb_g.shape)}")
    check_batch(emb_f, labels)
    emb_f, emb_g = full_precision(emb_f), full_precision(emb_g.detach())
    if anchors is None:
        pixels, valid = draw_anchors(
            emb_f, emb_g, labels, delta_var=delta_var, max_anchors=max_anchors, generator=generator
        )
    else:
        pixels, valid = pixel_numbers(anchors, labels.shape)

    def masks(embeddings: Tensor) -> Tensor:
        embeddings = embeddings.flatten(2)
        at_anchors = embeddings.gather(2, pixels[:, None].expand(-1, embeddings.shape[1], -1)).mT  # (N, A, E)
        return kernel(squared_distances(at_anchors, embeddings))

    losses = (1 - _dice(masks(emb_f), masks(emb_g), (2,))) * valid
    return _mean_over_images(losses.sum(1) / valid.sum(1).clamp_min(1))


def _check_reduction(reduction: str) -> None:
    if reduction not in ("object", "pooled"):
        raise ValueError(f'reduction: found {reduction!r}; give "object" or "pooled"')


class LossTerms(NamedTuple):
    """What :class:`SpocoLoss` returns: the weighted sum to minimise, each term before its weight (0-dim tensors)."""

    total: Tensor
    pull: Tensor
    push: Tensor
    regularizer: Tensor
    instance: Tensor
    unlabeled_push: Tensor
    consistency: Tensor


SUPERVISED = {
    "pull": pull_loss,
    "push": push_loss,
    "regularizer": regularizer_loss,
    "instance": instance_loss,
    "unlabeled_push": unlabeled_push_loss,
}


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
        _check_reduction(reduction)
        GaussianKernel(delta_var, kernel_threshold)  # complains of values that make no kernel
        kernel = {"delta_var": delta_var, "kernel_threshold": kernel_threshold}
        self.max_objects = max_objects
        self.options: dict[str, dict] = {
            "pull": {"delta_var": delta_var},
            "push": {"delta_dist": delta_dist},
            "regularizer": {},
            "instance": {**kernel, "reduction": reduction},
            "unlabeled_push": {"delta_dist": delta_dist},
            "consistency": {**kernel, "max_anchors": max_anchors},
        }
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
            regions = annotated_regions(emb_f, labels, self.max_objects)
        zero = regions.embeddings.new_zeros(())
        terms = dict.fromkeys(self.weights, zero)
        for name, weight in self.weights.items():
            if weight and name == "consistency":
                terms[name] = consistency_loss(emb_f, emb_g, labels, generator=generator, **self.options[name])
            elif weight:
                terms[name] = SUPERVISED[name](emb_f, labels, regions=regions, **self.options[name])
        return LossTerms(sum((self.weights[name] * term for name, term in terms.items()), zero), **terms)
