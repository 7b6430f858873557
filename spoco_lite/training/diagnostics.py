"""Numbers beside the loss that say what the embeddings have learnt, and what they have not."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..selection import draw_anchors
from ..sums.regions import annotated_regions


class Diagnostics(NamedTuple):
    """Means over the images of a batch (0-dim tensors); an image without annotated objects counts as 0.

    ``within`` is the share of an image's annotated object pixels that lie within delta_var of their mean: low while
    objects do not yet hold together. ``apart`` is the share of pairs of annotated means that are at least
    2 delta_dist apart: low while neighbours look alike; 1 where there is no pair. ``mean_norm`` is the mean length
    of the means, which the regulariser keeps small. ``anchors`` is how many anchors covered the unlabelled pixels, for
    the consistency loss: few if these are one lump, the most that may be drawn if they are scattered.
    """

    within: Tensor
    apart: Tensor
    mean_norm: Tensor
    anchors: Tensor


@torch.no_grad()
def diagnose(
    emb_f: Tensor,
    emb_g: Tensor,
    labels: Tensor,
    *,
    delta_var: float = 0.5,
    delta_dist: float = 2.0,
    max_anchors: int = 20,
    coverage: float = 0.95,
    max_objects: int | None = None,
    generator: torch.Generator | None = None,
) -> Diagnostics:
    """Look at a batch: embeddings ``(N, E, *S)`` under f and g and labels ``(N, *S)``, arguments as in SpocoLoss.

    >>> embeddings = torch.tensor([[[[0.0, 0.8, 9.0, 9.0]]]])
    >>> result = diagnose(embeddings, embeddings, torch.tensor([[[1, 1, 2, -1]]]))
    >>> [round(float(value), 2) for value in result]
    [1.0, 1.0, 4.7, 1.0]
    """
    r = annotated_regions(emb_f, labels, max_objects)
    pixels = r.lifted[:, :-2] + r.centre[..., None]  # (N, E, P)
    own = r.means.mT.gather(2, r.slots.clamp_min(0).long()[:, None].expand(-1, pixels.shape[1], -1))
    annotated = r.slots > 0
    near = (torch.linalg.vector_norm(pixels - own, dim=1) <= delta_var) & annotated
    present = r.present[:, 1:]
    distance = torch.cdist(r.means[:, 1:], r.means[:, 1:])
    pairs = (present[:, :, None] * present[:, None]).triu(1)
    count = pairs.sum((1, 2))
    apart = (pairs * (distance >= 2 * delta_dist)).sum((1, 2)) / count.clamp_min(1)
    norms = torch.linalg.vector_norm(r.means[:, 1:], dim=2) * present
    _, valid = draw_anchors(
        emb_f, emb_g, labels, delta_var=delta_var, max_anchors=max_anchors, coverage=coverage, generator=generator
    )
    return Diagnostics(
        (near.sum(1) / annotated.sum(1).clamp_min(1)).mean(),
        torch.where(count > 0, apart, 1.0).mean(),
        (norms.sum(1) / present.sum(1).clamp_min(1)).mean(),
        valid.float().sum(1).mean(),
    )
