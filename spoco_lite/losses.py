"""The six terms of the SPOCO loss as pure functions. :class:`spoco_lite.objective.SpocoLoss` adds them up.

Every function takes embeddings ``(N, E, *S)`` and labels ``(N, *S)``: ``k > 0`` an annotated object, ``0`` annotated
background, ``-1`` unlabelled. An annotated *region* is an object or the background; both are pulled together and pushed
apart, only objects have a mask to match. Each term is computed per image and averaged over the N images, so that
a batch counts as the mean of its images. An image to which a term does not apply (no object, no unlabelled pixel) adds
0. Whoever needs several terms of one batch computes its ``regions`` once and passes them on.

Sources: De Brabandere et al. 2017 (pull, push, regulariser), Wolny et al. 2022 (instance, unlabelled push,
consistency). Defaults are those of the public code for leaves: delta_var .5, delta_dist 2, kernel threshold .5, squared
Dice, object means as anchors. Where the equations differ from that code, the equations win: Dice per object, and
a consistency averaged over anchors and images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .selection import GaussianKernel, draw_anchors, draw_object_pixels, embeddings_at, mass_of, pixel_numbers
from .sums.blocks import sum_over_pixels
from .sums.regions import (
    Regions,
    annotated_regions,
    check_batch,
    consecutive,
    full_precision,
    in_full,
    lift,
    lifted_distances,
)
from .sums.terms import EPS, Term, check_choices, exact, mean_over_images, run_terms


@exact
def pull_loss(embeddings: Tensor, labels: Tensor, *, delta_var: float = 0.5, regions: Regions | None = None) -> Tensor:
    """Pixels of a region come within ``delta_var`` of its mean.

    The equation: ``mean_k mean_{i in S_k} [|mu_k - e_i| - delta_var]_+^2``.

    >>> pull_loss(torch.tensor([[[[-1.0, 1.0]]]]), torch.tensor([[[1, 1]]]))  # both at distance 1 from the mean 0
    tensor(0.2500)
    """
    r = regions or annotated_regions(embeddings, labels)
    return run_terms(r, pull_term(r, delta_var=delta_var))[0]


def pull_term(r: Regions, *, delta_var: float) -> Term:
    """What :func:`pull_loss` computes, to be run along with other terms."""

    def add(squared: Tensor, member: Tensor, unlabeled: Tensor) -> Tensor:
        # Below delta_var the hinge is 0 whatever the distance, and so is its slope; a root has none at 0.
        hinged = (squared.clamp_min(max(delta_var, EPS) ** 2).sqrt() - delta_var).square()
        return (hinged * member).sum(2)

    def finish(sums: Tensor) -> Tensor:
        return mean_over_images((sums / r.sizes).sum(1) / r.present.sum(1).clamp_min(1))

    return Term(r.means, add, finish)


@exact
def push_loss(embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0, regions: Regions | None = None) -> Tensor:
    """Means of two regions move 2 delta_dist apart: ``mean_{k != l} [2 delta_dist - |mu_k - mu_l|]_+^2``.

    >>> push_loss(torch.tensor([[[[0.0, 3.0]]]]), torch.tensor([[[1, 2]]]))
    tensor(1.)
    """
    r = regions or annotated_regions(embeddings, labels)
    distance = torch.linalg.vector_norm(r.means[:, :, None] - r.means[:, None], dim=3)  # (N, R, R)
    pairs = r.present[:, :, None] * r.present[:, None]
    pairs = pairs * (1 - torch.eye(pairs.shape[1], dtype=pairs.dtype, device=pairs.device))
    hinged = (2 * delta_dist - distance).clamp_min(0).square()
    return mean_over_images((pairs * hinged).sum((1, 2)) / pairs.sum((1, 2)).clamp_min(1))


@exact
def regularizer_loss(embeddings: Tensor, labels: Tensor, *, regions: Regions | None = None) -> Tensor:
    """Means of the annotated regions stay near the origin: ``mean_k |mu_k|``.

    >>> regularizer_loss(torch.tensor([[[[0.0, 3.0]]]]), torch.tensor([[[1, 2]]]))
    tensor(1.5000)
    """
    r = regions or annotated_regions(embeddings, labels)
    norms = torch.linalg.vector_norm(r.means, dim=2) * r.present
    return mean_over_images(norms.sum(1) / r.present.sum(1).clamp_min(1))


@exact
def instance_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    kernel_threshold: float = 0.5,
    reduction: str = "object",
    anchor: str = "mean",
    generator: torch.Generator | None = None,
    regions: Regions | None = None,
) -> Tensor:
    """Soft masks, selected by one anchor per object, match the annotated masks: 1 - Dice.

    ``Dice = 2 sum(pq) / (sum(p^2) + sum(q^2))`` (Milletari et al. 2016; the public code's).

    Parameters
    ----------
    reduction
        ``"object"`` averages the Dice of each object, as the equation reads; ``"pooled"`` is one Dice over the
        masks of all objects of an image, as the public code computes it: there large objects outweigh small ones.
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
    options = {"reduction": reduction, "anchor": anchor, "generator": generator}
    return run_terms(r, instance_term(r, delta_var=delta_var, kernel_threshold=kernel_threshold, **options))[0]


def instance_term(
    r: Regions,
    *,
    delta_var: float,
    kernel_threshold: float,
    reduction: str,
    anchor: str,
    generator: torch.Generator | None,
) -> Term:
    """What :func:`instance_loss` computes, to be run along with other terms."""
    check_choices(reduction=reduction, anchor=anchor)
    kernel = GaussianKernel(delta_var, kernel_threshold)
    anchors, sizes, present = r.means, r.sizes[:, 1:], r.present[:, 1:]
    if anchor == "pixel":
        pixels = draw_object_pixels(r.slots, r.sizes, generator=generator)
        anchors = embeddings_at(r.lifted[:, :-2], pixels) + r.centre[:, None]

    def add(squared: Tensor, member: Tensor, unlabeled: Tensor) -> Tensor:
        return kernel.overlap_and_mass(squared, member)

    def finish(sums: Tensor) -> Tensor:
        overlap, mass = sums[..., 1:] * present  # the background has no mask
        mass, objects = mass + sizes * present, present
        if reduction == "pooled":
            overlap, mass, objects = (x.sum(1, keepdim=True) for x in (overlap, mass, objects))
            objects = objects.clamp_max(1)
        losses = (1 - 2 * overlap / mass.clamp_min(EPS)) * objects
        return mean_over_images(losses.sum(1) / objects.sum(1).clamp_min(1))

    return Term(anchors, add, finish)


@exact
def unlabeled_push_loss(
    embeddings: Tensor, labels: Tensor, *, delta_dist: float = 2.0, regions: Regions | None = None
) -> Tensor:
    """Unlabelled pixels keep away from annotated objects: ``mean_k mean_{i in U} [delta_dist - |mu_k - e_i|]_+^2``.

    Only objects push. Annotated background does not: most unlabelled pixels are background themselves.

    >>> unlabeled_push_loss(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[1, -1]]]))
    tensor(1.)
    """
    r = regions or annotated_regions(embeddings, labels)
    return run_terms(r, unlabeled_push_term(r, delta_dist=delta_dist))[0]


def unlabeled_push_term(r: Regions, *, delta_dist: float) -> Term:
    """What :func:`unlabeled_push_loss` computes, to be run along with other terms."""

    def add(squared: Tensor, member: Tensor, unlabeled: Tensor) -> Tensor:
        # The square root has no finite slope at 0; below EPS the distance is held, and its gradient is 0.
        hinged = (delta_dist - squared.clamp_min(EPS**2).sqrt()).clamp_min(0).square()
        return torch.bmm(hinged, unlabeled[..., None])[..., 0]

    def finish(sums: Tensor) -> Tensor:
        present = r.present[:, 1:]
        per_object = sums[:, 1:] / r.unlabeled[:, None]
        return mean_over_images((per_object * present).sum(1) / present.sum(1).clamp_min(1))

    return Term(r.means, add, finish)


@exact
def consistency_loss(
    emb_f: Tensor,
    emb_g: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    kernel_threshold: float = 0.5,
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
    if emb_f.shape != emb_g.shape:
        raise ValueError(f"emb_f and emb_g must have one shape, found {tuple(emb_f.shape)} and {tuple(emb_g.shape)}")
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
        return kernel.overlap_and_mass(squared, in_g), mass_of(in_g)

    (overlap, mass_f), mass_g = sum_over_pixels(add, [anchors_f, anchors_g], [lifted_f, lifted_g], rows=pixels.shape[1])
    losses = (1 - 2 * overlap / (mass_f + mass_g).clamp_min(EPS)) * valid
    return mean_over_images(losses.sum(1) / valid.sum(1).clamp_min(1))


@exact
def foreground_loss(logits: Tensor, labels: Tensor, *, max_objects: int | None = None) -> Tensor:
    """Objects against the rest, by cross-entropy. Not in the paper.

    Of an image in full, with more annotated background than unlabelled pixels (which a view may show beyond the
    border): twice the mean over what is annotated.

    Else ``mean_k mean_{i in S_k} softplus(-z_i) + mean_{i in R} softplus(z_i) + mean_{i in X} softplus(z_i)``: the
    objects S_k stand against their rims R and against X. R are the unlabelled pixels within two of an annotated object;
    they show where it ends, and would hardly count among all others.

    X is annotated background, such as a few strokes, or, where there is none, all that is unlabelled. That holds
    objects too. They do no harm if it is chance which objects are annotated: the more likely a pixel is to be an
    object's, the higher is the best logit, whatever share of X is object (Menon et al. 2015). Above 0 it is where
    annotated objects are denser than rims and X together. So neither a class prior nor pseudo-labels are needed. With
    few images chance is not even: of large cells in the middle, say, most may be unlabelled, and the network learns
    that they are background. With strokes it learns nothing of unlabelled pixels beyond the rims.

    ``logits`` and ``labels`` are ``(N, *S)``. Of an image without an annotated object only annotated background counts:
    unlabelled pixels alone would outweigh the objects of other images.

    >>> foreground_loss(torch.tensor([[[9.0, 9.0, -9.0, -9.0]]]), torch.tensor([[[1, 1, -1, -1]]])).round(decimals=3)
    tensor(0.)
    """
    z = full_precision(logits).flatten(1)
    slots, count = labels.flatten(1), max_objects
    if count is None:
        slots, count = consecutive(slots.long())
    if_object, if_not = F.softplus(-z), F.softplus(z)
    object_of = slots.clamp_min(0).long()
    empty = z.new_zeros(len(z), count + 1)
    sums = empty.scatter_add(1, object_of, if_object)[:, 1:]
    sizes = empty.scatter_add(1, object_of, torch.ones_like(z))[:, 1:]
    objects = (sums / sizes.clamp_min(1)).sum(1) / (sizes > 0).sum(1).clamp_min(1)

    def mean_where(mask: Tensor) -> Tensor:
        return (if_not * mask).sum(1) / mask.sum(1).clamp_min(1)

    background, has_background = mean_where(slots == 0), (slots == 0).any(1)
    unlabeled = mean_where((slots < 0) & (slots > 0).any(1, keepdim=True))
    rims = mean_where((slots < 0) & _near_objects(labels).flatten(1))
    sparse = objects + rims + torch.where(has_background, background, unlabeled)
    known = slots >= 0
    dense = 2 * (torch.where(slots > 0, if_object, if_not) * known).sum(1) / known.sum(1).clamp_min(1)
    return mean_over_images(torch.where(in_full(slots), dense, sparse))


def _near_objects(labels: Tensor) -> Tensor:
    """Pixels within two of an annotated object along each axis, and its own: ``(N, *S)``, bool."""
    near = (labels > 0).float()[:, None]
    pool, ndim = (F.max_pool2d, 2) if labels.ndim == 3 else (F.max_pool3d, 3)
    for axis in range(ndim):  # one axis after the other: in a volume 15 comparisons for each voxel, not 125
        width = [5 if a == axis else 1 for a in range(ndim)]
        near = pool(near, width, stride=1, padding=[w // 2 for w in width])
    return near[:, 0] > 0
