"""From embedding images to objects: `segment` with any clusterer, and consistency clustering.

A *clusterer* is a function from points (P, E) to labels (P,): 0..K-1, the largest cluster first, and -1 for
noise. There are two, `mean_shift` and `hdbscan_clusters`; any function of that kind will do. `segment`
applies one to the pixels of an embedding image ``(E, *S)``, in 2D or 3D, and gives a label image: 0 background,
1..K objects. `consistency_clustering` also asks the momentum network g whether it sees the same objects as f.

All distances are Euclidean, in the units of the embedding: training pulls the pixels of an object to within
`delta_var` = 0.5 of their mean and pushes the means of two objects at least 2 * `delta_dist` = 4 apart.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from .clusterers import hdbscan_clusters, mean_shift
from .sums.points import centred, check_positive, largest_first, squared_distances

__all__ = ["Clusterer", "consistency_clustering", "hdbscan_clusters", "mean_shift", "segment"]

Clusterer = Callable[[Tensor], Tensor]


def segment(
    embedding: Tensor,
    *,
    cluster: Clusterer = mean_shift,
    foreground: Tensor | None = None,
    background: Literal["largest", "none"] | Tensor = "largest",
    min_size: int = 16,
) -> Tensor:
    """Cluster the pixels of an embedding image into a label image: 0 background, 1..K objects, the largest first.

    Parameters
    ----------
    embedding
        ``(E, *S)`` floating point, S two or three axes.
    cluster
        a clusterer. Set its parameters with `functools.partial`, as in `partial(mean_shift, radius=1.0)`.
    foreground
        ``(*S)`` bool, or None. With a mask only its pixels are clustered, and each belongs to an object: a
        patch of pixels that the clusterer calls noise, or whose cluster is too small, joins the object that
        most of its neighbours belong to.
    background
        what is background without a mask, besides noise. "largest": the largest cluster. "none": no cluster.
        ``(*S)`` bool: annotated background, such as a few strokes; a cluster is background if they mark it at
        least half as densely as the whole image. With a mask, background is what lies outside it.
    min_size
        a smaller cluster, in pixels, is not an object.

    Returns
    -------
    Tensor
        labels ``(*S)`` int64 on the device of `embedding`.

    Raises
    ------
    ValueError
        wrong shapes and dtypes, values that are not finite, and an unknown or empty `background`.

    Example
    -------
    >>> embedding = torch.zeros(2, 12, 12)
    >>> embedding[0, 2:8, 2:8] = 4.0
    >>> segment(embedding)[5].tolist()
    [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    """
    _check_image(embedding, "embedding")
    check_positive(min_size=min_size)
    inside = _mask(foreground, embedding, "foreground")
    found = largest_first(cluster(embedding[:, inside].T))
    if foreground is None:
        found = largest_first(_without_background(found, background, embedding))
    sizes = torch.bincount(found[found >= 0])
    found[found >= (sizes >= min_size).sum()] = -1  # they are sorted by size: the small ones come last
    labels = torch.zeros(embedding.shape[1:], dtype=torch.int64, device=embedding.device)
    labels[inside] = found + 1
    if foreground is not None and labels.any():
        labels = torch.from_numpy(_join_neighbours(labels.cpu().numpy(), inside.cpu().numpy())).to(labels.device)
    return labels


def _without_background(found: Tensor, background: str | Tensor, embedding: Tensor) -> Tensor:
    """Clusters (P,), the largest first, with those of the background made noise."""
    if isinstance(background, Tensor):
        marked = _mask(background, embedding, "background").flatten()
        if not marked.any():
            raise ValueError("background marks no pixel; mark some, or say 'largest' or 'none'")
        clusters = int(found.max()) + 1
        sizes, marks = (torch.bincount(f[f >= 0], minlength=clusters) for f in (found, found[marked]))
        dropped = marks / sizes >= 0.5 * marked.float().mean()
        return torch.where(dropped[found], -1, found) if clusters else found
    if background not in ("largest", "none"):
        raise ValueError(f"background must be 'largest', 'none' or a mask, found {background!r}")
    return torch.where(found == 0, -1, found) if background == "largest" else found


def _join_neighbours(labels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Each patch of pixels `inside` without a label takes the label that most of its neighbours have."""
    patches, count = ndimage.label((labels == 0) & inside)
    if not count:
        return labels
    votes = np.zeros((count + 1, labels.max() + 1), np.int64)
    for axis in range(labels.ndim):
        patch, label = np.moveaxis(patches, axis, 0), np.moveaxis(labels, axis, 0)
        for here, there in ((patch[:-1], label[1:]), (patch[1:], label[:-1])):
            touching = (here > 0) & (there > 0)
            np.add.at(votes, (here[touching], there[touching]), 1)
    joined = np.where(patches > 0, votes.argmax(1)[patches], labels)
    # What touches no object, an island of noise in the mask, joins the one that is nearest in space.
    nearest = ndimage.distance_transform_edt(joined == 0, return_distances=False, return_indices=True)
    return joined[tuple(nearest)] * inside


WHOLE_IMAGE = partial(mean_shift, radius=1.0)  # what lies far from every mode is background


def consistency_clustering(
    emb_f: Tensor,
    emb_g: Tensor,
    *,
    cluster: Clusterer = WHOLE_IMAGE,
    foreground: Tensor | None = None,
    background: Literal["largest", "none"] | Tensor = "largest",
    min_size: int = 16,
    delta_var: float = 0.5,
    anchors_per_object: int = 20,
    iou_threshold: float = 0.6,
    seed: int = 0,
) -> Tensor:
    """Keep those objects of f that the momentum network g sees as well.

    Without background labels nothing pulls the background together. It falls into pieces, and into other pieces
    in g than in f. So each candidate S, clustered from f, is tested: pixels p of S are drawn, each gives the mask
    ``T_p = {i : ||g_i - g_p|| < 2 * delta_var}``, and S stays if the median IoU of S and T_p reaches `iou_threshold`.

    The radius is that of `mean_shift`. The public code takes `delta_var` for both; but training is content with pixels
    within `delta_var` of their mean, and so up to twice as far from each other. On embeddings that are no tighter than
    that, masks of radius `delta_var` are too small and reject good objects.

    Source: Wolny et al., Sparse object-level supervision for instance segmentation with pixel embeddings,
    CVPR 2022.

    Parameters
    ----------
    emb_f, emb_g
        ``(E, *S)`` floating point, embeddings of the same image by the two networks.
    cluster, foreground, background, min_size
        as in `segment`, which makes the candidates. The default clusterer leaves pixels farther than 1 from
        every mode to the background. With a mask, T_p lies inside it.
    delta_var
        half the radius of the masks in g, as in training.
    anchors_per_object
        how many pixels are drawn, with replacement, from each candidate.
    iou_threshold
        candidates with a lower median IoU become background.
    seed
        of the anchors.

    Returns
    -------
    Tensor
        labels ``(*S)`` int64: 0 background, 1..K objects, the largest first.

    Raises
    ------
    ValueError
        as in `segment`, and if the two embeddings differ in their spatial shape.

    Example
    -------
    >>> emb_f = torch.zeros(2, 20, 20)
    >>> emb_f[0, 2:8, 2:8], emb_f[1, 10:18, 10:18] = 4.0, 4.0
    >>> emb_g = emb_f.clone()
    >>> emb_g[1, 10:18, ::2] = 9.0  # g sees the first object, but not the second
    >>> labels = consistency_clustering(emb_f, emb_g)
    >>> labels.unique().tolist(), labels[2:8, 2:8].unique().tolist()
    ([0, 1], [1])
    """
    _check_image(emb_g, "emb_g")
    check_positive(delta_var=delta_var, anchors_per_object=anchors_per_object)
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold: found {iou_threshold}; give a number from 0 to 1")
    if emb_f.shape[1:] != emb_g.shape[1:]:
        raise ValueError(f"emb_f and emb_g must show one image, found {tuple(emb_f.shape)} and {tuple(emb_g.shape)}")
    labels = segment(emb_f, cluster=cluster, foreground=foreground, background=background, min_size=min_size)
    inside = _mask(foreground, emb_g, "foreground")
    points, candidate = centred(emb_g[:, inside].T), labels[inside]
    generator = torch.Generator().manual_seed(seed)
    kept = torch.zeros(int(labels.max()) + 1, dtype=torch.bool, device=labels.device)
    for k in range(1, len(kept)):
        (members,) = torch.where(candidate == k)
        drawn = torch.randint(len(members), (anchors_per_object,), generator=generator).to(members.device)
        drawn = members[drawn]
        # Whatever lies near an anchor is no farther from the mean than the farthest anchor and the radius together.
        to_mean = squared_distances(points[members].mean(dim=0, keepdim=True), points)[0].clamp_min(0).sqrt()
        (others,) = torch.where(to_mean <= 1.001 * (to_mean[drawn].max() + 2 * delta_var))
        near = squared_distances(points[drawn], points[others]) < (2 * delta_var) ** 2
        shared = near[:, candidate[others] == k].count_nonzero(dim=1)
        iou = shared / (near.count_nonzero(dim=1) + len(members) - shared)
        kept[k] = iou.quantile(0.5) >= iou_threshold
    return torch.where(kept, kept.cumsum(0), 0)[labels]


def _mask(mask: Tensor | None, embedding: Tensor, name: str) -> Tensor:
    if mask is None:
        return torch.ones(embedding.shape[1:], dtype=torch.bool, device=embedding.device)
    if not isinstance(mask, Tensor):
        raise ValueError(f"{name} must be a bool tensor, found {type(mask).__name__}; torch.from_numpy makes one")
    if mask.dtype != torch.bool or mask.shape != embedding.shape[1:]:
        raise ValueError(
            f"{name} must be a bool tensor of shape {tuple(embedding.shape[1:])}, like the image, "
            f"found {mask.dtype} {tuple(mask.shape)}"
        )
    return mask.to(embedding.device)


def _check_image(embedding: Tensor, name: str) -> None:
    if not isinstance(embedding, Tensor):
        raise ValueError(f"{name} must be a tensor, found {type(embedding).__name__}; torch.from_numpy makes one")
    if not embedding.numel():
        raise ValueError(f"{name} of shape {tuple(embedding.shape)} has no pixel or no number")
    if embedding.ndim not in (3, 4) or not embedding.is_floating_point():
        raise ValueError(
            f"{name} must be one floating point image (E, Y, X) or (E, Z, Y, X), "
            f"found {embedding.dtype} {tuple(embedding.shape)}"
        )
    if not embedding.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values; check the network that made it")
