"""The six terms of the SPOCO loss as pure functions, and :class:`SpocoLoss`, which adds them up.

Every function takes embeddings ``(N, E, *S)`` and labels ``(N, *S)``: ``k > 0`` an annotated object, ``0`` annotated
background, ``-1`` unlabelled. An annotated *region* is an object or the background; both are pulled together and pushed
apart, only objects have a mask to match. Each term is computed per image and averaged over the N images, so that
a batch counts as the mean of its images. An image to which a term does not apply (no object, no unlabelled pixel) adds
0. Whoever needs several terms of one batch computes its ``regions`` once and passes them on, as ``SpocoLoss`` does.

Sources: De Brabandere et al. 2017 (pull, push, regulariser), Wolny et al. 2022 (instance, unlabelled push,
consistency). Defaults are those of the public code for leaves: delta_var .5, delta_dist 2, kernel threshold .5, squared
Dice, object means as anchors, and the weights of :class:`SpocoLoss`. Where the equations differ from that code, the
equations win: Dice per object, and a consistency averaged over anchors and images.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import sum_over_pixels
from .regions import Regions, annotated_regions, check_batch, lift, lifted_distances, membership
from .selection import GaussianKernel, draw_anchors, draw_object_pixels, embeddings_at, mass_of, pixel_numbers

EPS = 1e-6  # keeps the Dice of two empty masks, and the slope of a distance of 0, finite
CHOICES = {
    "reduction": ("object", "pooled"),
    "denominator": ("squared", "plain"),
    "anchor": ("mean", "pixel"),
}


def _check_choices(**given: str) -> None:
    for name, value in given.items():
        if value not in CHOICES[name]:
            raise ValueError(f"{name}: found {value!r}; give one of {', '.join(CHOICES[name])}")


def _mean_over_images(per_image: Tensor) -> Tensor:
    return per_image.sum() / max(len(per_image), 1)


class _Term(NamedTuple):
    """A term that looks at every pixel: what a block of pixels adds to its sums, and what becomes of the sums.

    ``add`` gets B pixels: their squared distances to all anchors and their membership of all regions, both (N, R, B),
    and 1 where they are unlabelled, (N, B).
    """

    anchors: Tensor  # (N, R, E): the means of the regions, or pixels of theirs
    add: Callable[[Tensor, Tensor, Tensor], Tensor]
    finish: Callable[[Tensor], Tensor]


def _run(regions: Regions, *terms: _Term) -> list[Tensor]:
    """The values of some terms, in one run over the pixels for all of them."""
    anchors = list({id(term.anchors): term.anchors for term in terms}.values())  # most terms share the means
    table_of = [next(i for i, a in enumerate(anchors) if a is term.anchors) for term in terms]

    def block(*tensors: Tensor) -> tuple[Tensor, ...]:
        *anchors, lifted, slots = tensors
        tables = [lifted_distances(a, lifted, regions.centre) for a in anchors]
        member = membership(slots, tables[0].shape[1], lifted.dtype)
        unlabeled = (slots < 0).to(lifted.dtype)
        return tuple(term.add(tables[table], member, unlabeled) for term, table in zip(terms, table_of))

    sums = sum_over_pixels(block, anchors, [regions.lifted, regions.slots], rows=anchors[0].shape[1])
    return [term.finish(total) for term, total in zip(terms, sums)]


def _without_autocast(function):
    """Run a term outside autocast: its matrix products would round distances to three digits."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        device = next((x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), "cpu")
        if not torch.amp.is_autocast_available(device):
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return wrapper


@_without_autocast
def pull_loss(
    embeddings: Tensor, labels: Tensor, *, delta_var: float = 0.5, regions: Regions | None = None
) -> Tensor:
    """Pixels of a region come within ``delta_var`` of its mean.

    The equation: ``mean_k mean_{i in S_k} [|mu_k - e_i| - delta_var]_+^2``.

    >>> pull_loss(torch.tensor([[[[-1.0, 1.0]]]]), torch.tensor([[[1, 1]]]))  # both at distance 1 from the mean 0
    tensor(0.2500)
    """
    r = regions or annotated_regions(embeddings, labels)
    return _run(r, _pull(r, delta_var=delta_var))[0]


def _pull(r: Regions, *, delta_var: float) -> _Term:
    def add(squared: Tensor, member: Tensor, unlabeled: Tensor) -> Tensor:
        # Below delta_var the hinge is 0 whatever the distance, and so is its slope; a root has none at 0.
        hinged = (squared.clamp_min(max(delta_var, EPS) ** 2).sqrt() - delta_var).square()
        return (hinged * member).sum(2)

    def finish(sums: Tensor) -> Tensor:
        return _mean_over_images((sums / r.sizes).sum(1) / r.present.sum(1).clamp_min(1))

    return _Term(r.means, add, finish)


@_without_autocast
def push_loss(
    embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0, regions: Regions | None = None
) -> Tensor:
    """Means of two regions move 2 delta_dist apart: ``mean_{k != l} [2 delta_dist - |mu_k - mu_l|]_+^2``.

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
    """Means of the annotated regions stay near the origin: ``mean_k |mu_k|``.

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
    denominator: str = "squared",
    anchor: str = "mean",
    generator: torch.Generator | None = None,
    regions: Regions | None = None,
) -> Tensor:
    """Soft masks, selected by one anchor per object, match the annotated masks: 1 - Dice.

    Parameters
    ----------
    reduction
        ``"object"`` averages the Dice of each object, as the equation reads; ``"pooled"`` is one Dice over the
        masks of all objects of an image, as the public code computes it: there large objects outweigh small ones.
    denominator
        ``"squared"``, ``2 sum(pq) / (sum(p^2) + sum(q^2))`` (Milletari et al. 2016; the public code's), or
        ``"plain"``, ``2 sum(pq) / (sum(p) + sum(q))``.
    anchor
        ``"mean"``, the object's mean embedding (the public code's), or ``"pixel"``, one of its pixels drawn at
        random with the ``generator`` (as Wolny et al. 2022 draw it in their figure 2).

    Example
    -------
    >>> embeddings = torch.tensor([[[[0.0, 0.0, 9.0, 9.0]]]])
    >>> instance_loss(embeddings, torch.tensor([[[1, 1, -1, -1]]]))
    tensor(0.)
    """
    r = regions or annotated_regions(embeddings, labels)
    options = {"reduction": reduction, "denominator": denominator, "anchor": anchor, "generator": generator}
    return _run(r, _instance(r, delta_var=delta_var, kernel_threshold=kernel_threshold, **options))[0]


def _instance(
    r: Regions,
    *,
    delta_var: float,
    kernel_threshold: float,
    reduction: str,
    denominator: str,
    anchor: str,
    generator: torch.Generator | None,
) -> _Term:
    _check_choices(reduction=reduction, denominator=denominator, anchor=anchor)
    kernel = GaussianKernel(delta_var, kernel_threshold)
    anchors, sizes, present = r.means, r.sizes[:, 1:], r.present[:, 1:]
    if anchor == "pixel":
        pixels = draw_object_pixels(r.slots, r.sizes, generator=generator)
        anchors = embeddings_at(r.lifted[:, :-2], pixels) + r.centre[:, None]

    def add(squared: Tensor, member: Tensor, unlabeled: Tensor) -> Tensor:
        return kernel.overlap_and_mass(squared, member, denominator)

    def finish(sums: Tensor) -> Tensor:
        overlap, mass = sums[..., 1:] * present  # the background has no mask
        mass, objects = mass + sizes * present, present
        if reduction == "pooled":
            overlap, mass, objects = (x.sum(1, keepdim=True) for x in (overlap, mass, objects))
            objects = objects.clamp_max(1)
        losses = (1 - 2 * overlap / mass.clamp_min(EPS)) * objects
        return _mean_over_images(losses.sum(1) / objects.sum(1).clamp_min(1))

    return _Term(anchors, add, finish)


@_without_autocast
def unlabeled_push_loss(
    embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0, regions: Regions | None = None
) -> Tensor:
    """Unlabelled pixels keep away from annotated objects: ``mean_k mean_{i in U} [delta_dist - |mu_k - e_i|]_+^2``.

    Only objects push. Annotated background does not: most unlabelled pixels are background themselves.

    >>> unlabeled_push_loss(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[1, -1]]]))
    tensor(1.)
    """
    r = regions or annotated_regions(embeddings, labels)
    return _run(r, _unlabeled_push(r, delta_dist=delta_dist))[0]


def _unlabeled_push(r: Regions, *, delta_dist: float) -> _Term:
    def add(squared: Tensor, member: Tensor, unlabeled: Tensor) -> Tensor:
        # The square root has no finite slope at 0; below EPS the distance is held, and its gradient is 0.
        hinged = (delta_dist - squared.clamp_min(EPS**2).sqrt()).clamp_min(0).square()
        return torch.bmm(hinged, unlabeled[..., None])[..., 0]

    def finish(sums: Tensor) -> Tensor:
        present = r.present[:, 1:]
        per_object = sums[:, 1:] / r.unlabeled[:, None]
        return _mean_over_images((per_object * present).sum(1) / present.sum(1).clamp_min(1))

    return _Term(r.means, add, finish)


@_without_autocast
def consistency_loss(
    emb_f: Tensor,
    emb_g: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    kernel_threshold: float = 0.5,
    denominator: str = "squared",
    anchors: Tensor | None = None,
    max_anchors: int = 20,
    coverage: float = 0.95,
    generator: torch.Generator | None = None,
    regions: Regions | None = None,
) -> Tensor:
    """The same unlabelled pixel selects the same soft mask in f and in g: mean over anchors of 1 - Dice.

    g is a target: no gradient flows into ``emb_g``.

    Parameters
    ----------
    emb_f, emb_g
        ``(N, E, *S)``, embeddings of two views of the same images, aligned pixel by pixel.
    labels
        ``(N, *S)``; anchors are drawn where it is -1 (:func:`spoco_lite.selection.draw_anchors`).
    denominator
        of Dice, as in :func:`instance_loss`.
    anchors
        (N, A, D), integer coordinates of anchor pixels in the order of the axes, instead of drawn ones.
    max_anchors, coverage, generator
        how many to draw at most, when to stop, and with which random numbers.

    Example
    -------
    >>> embeddings = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bool(consistency_loss(embeddings, embeddings, torch.full((1, 8, 8), -1)) < 1e-6)   # two equal networks agree
    True
    """
    kernel = GaussianKernel(delta_var, kernel_threshold)
    _check_choices(denominator=denominator)
    if emb_f.shape != emb_g.shape:
        raise ValueError(
            f"emb_f and emb_g must have one shape, found {tuple(emb_f.shape)} and {tuple(emb_g.shape)}"
        )
    check_batch(emb_f, labels)
    lifted_f, centre_f = (regions.lifted, regions.centre) if regions else lift(emb_f)
    lifted_g, centre_g = lift(emb_g.detach())
    if anchors is None:
        draw = {"max_anchors": max_anchors, "coverage": coverage, "generator": generator}
        pixels, valid = draw_anchors(emb_f, emb_g, labels, delta_var=delta_var, **draw)
    else:
        pixels, valid = pixel_numbers(anchors, labels.shape)
    anchors_f = embeddings_at(lifted_f[:, :-2], pixels) + centre_f[:, None]
    anchors_g = embeddings_at(lifted_g[:, :-2], pixels) + centre_g[:, None]

    def add(anchors_f: Tensor, anchors_g: Tensor, block_f: Tensor, block_g: Tensor) -> tuple[Tensor, Tensor]:
        in_g = kernel(lifted_distances(anchors_g, block_g, centre_g))
        squared = lifted_distances(anchors_f, block_f, centre_f)
        return kernel.overlap_and_mass(squared, in_g, denominator), mass_of(in_g, denominator)

    (overlap, mass_f), mass_g = sum_over_pixels(
        add, [anchors_f, anchors_g], [lifted_f, lifted_g], rows=pixels.shape[1]
    )
    losses = (1 - 2 * overlap / (mass_f + mass_g).clamp_min(EPS)) * valid
    return _mean_over_images(losses.sum(1) / valid.sum(1).clamp_min(1))


class LossTerms(NamedTuple):
    """What :class:`SpocoLoss` returns: the weighted sum to minimise, each term before its weight (0-dim tensors)."""

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
    delta_var, delta_dist, kernel_threshold, reduction, denominator, anchor, max_anchors, coverage
        as in the terms.
    pull, push, regularizer, instance, unlabeled_push, consistency
        weights.
    max_objects
        upper bound of the labels, for training without waiting for the device
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
        denominator: str = "squared",
        anchor: str = "mean",
        max_anchors: int = 20,
        coverage: float = 0.95,
        pull: float = 1.0,
        push: float = 1.0,
        regularizer: float = 0.001,
        instance: float = 1.0,
        unlabeled_push: float = 1.0,
        consistency: float = 1.0,
        max_objects: int | None = None,
    ):
        _check_choices(reduction=reduction, denominator=denominator, anchor=anchor)
        GaussianKernel(delta_var, kernel_threshold)  # complains of values that make no kernel
        self.max_objects = max_objects
        self.weights = {
            "pull": pull,
            "push": push,
            "regularizer": regularizer,
            "instance": instance,
            "unlabeled_push": unlabeled_push,
            "consistency": consistency,
        }
        masks = {"delta_var": delta_var, "kernel_threshold": kernel_threshold, "denominator": denominator}
        self.options: dict[str, dict] = {
            "pull": {"delta_var": delta_var},
            "push": {"delta_dist": delta_dist},
            "regularizer": {},
            "instance": {**masks, "reduction": reduction, "anchor": anchor},
            "unlabeled_push": {"delta_dist": delta_dist},
            "consistency": {**masks, "max_anchors": max_anchors, "coverage": coverage},
        }

    @_without_autocast
    def __call__(
        self, emb_f: Tensor, emb_g: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> LossTerms:
        """Embeddings (N, E, *S) of two aligned views under f and g, labels (N, *S) -> the terms."""
        regions = annotated_regions(emb_f, labels, self.max_objects)
        zero = regions.lifted.new_zeros(())
        values = dict.fromkeys(self.weights, zero)
        on = {name: self.options[name] for name, weight in self.weights.items() if weight}
        terms = {}  # those that look at every pixel
        if "pull" in on:
            terms["pull"] = _pull(regions, **on["pull"])
        if "instance" in on:
            terms["instance"] = _instance(regions, **on["instance"], generator=generator)
        if "unlabeled_push" in on:
            terms["unlabeled_push"] = _unlabeled_push(regions, **on["unlabeled_push"])
        if terms:
            values |= zip(terms, _run(regions, *terms.values()))
        if "push" in on:
            values["push"] = push_loss(emb_f, labels, regions=regions, **on["push"])
        if "regularizer" in on:
            values["regularizer"] = regularizer_loss(emb_f, labels, regions=regions)
        if "consistency" in on:
            values["consistency"] = consistency_loss(
                emb_f, emb_g, labels, regions=regions, generator=generator, **on["consistency"]
            )
        return LossTerms(sum((self.weights[name] * value for name, value in values.items()), zero), **values)
