"""From embeddings to objects: mean-shift, HDBSCAN and consistency clustering.

A *clusterer* is a function from points (P, E) to labels (P,): 0..K-1, the largest cluster first, and -1 for noise.
`segment` applies one to the pixels of an embedding image (E, *S), in 2D or 3D, and gives a label image: 0 background,
1..K objects. `consistency_clustering` also asks the momentum network g whether it sees the same objects as f.

All distances are Euclidean, in the units of the embedding: training pulls the pixels of an object to within
`delta_var` = 0.5 of their mean and pushes the means of two objects at least 2 * `delta_dist` = 4 apart.
The random draws come from `seed` alone: the same seed gives the same labels.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from hdbscan import HDBSCAN
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .points import (
    ball_sums,
    centred,
    check_image,
    check_points,
    check_positive,
    draw,
    largest_first,
    nearest,
    shape,
    squared_distances,
)

Clusterer = Callable[[Tensor], Tensor]

SAMPLE = 4096  # points that stand for the density while the seeds of mean-shift climb
ROUNDS = 3  # times that mean-shift sows seeds: among all points, then among those that no mode explains
STEPS_ON_SAMPLE, STEPS_ON_ALL = 20, 5  # most steps of a climb; it ends sooner if all modes stand still


def mean_shift(
    points: Tensor,
    *,
    bandwidth: float = 1.0,
    merge: float | None = None,
    radius: float | None = None,
    min_points: int = 16,
    seeds: int = 1500,
    seed: int = 0,
) -> Tensor:
    """Mean-shift with a flat kernel: points climb to the densest place nearby; those that meet are one cluster.

    A seed moves to the mean of all points within `bandwidth`, again and again, until it stands still on a *mode*.
    Seeds are points of the data. (The usual seeds, the cells of a grid, fail in 16 dimensions: rounding moves a point
    by about 1.15 bandwidths, so that a compact cluster may have no seed in its reach and is lost.) The seeds climb on
    a sample of the points. Points that no mode explains are sown again, so that small clusters are found too, and the
    modes end with a climb on all points.

    Parameters
    ----------
    points : (P, E) floating point, any device.
    bandwidth : radius of the kernel. Twice `delta_var` by default, the largest distance that training leaves between
        two pixels of an object.
    merge : of two modes closer than this, the one with fewer points goes. By default 1.5 * `bandwidth`, well
        below the distance of 4 that training asks for between objects.
    radius : points farther than this from every mode are noise. None: each point goes to its nearest mode.
    min_points : a mode with fewer points within `bandwidth` is dropped.
    seeds : points that climb in one round. A cluster of m points among P scattered ones wants about P / m seeds.
    seed : of the random draws.

    Returns labels (P,) int64: 0..K-1 by decreasing size, -1 noise. Without any mode all points are noise.
    Raises ValueError for points that are not a finite (P, E) table, and for lengths or numbers that are not positive.

    Source: Comaniciu and Meer, Mean shift: a robust approach toward feature space analysis, PAMI 2002.

    >>> corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]).repeat_interleave(50, dim=0)
    >>> labels = mean_shift(corners + 0.1 * torch.randn(150, 2, generator=torch.Generator().manual_seed(0)))
    >>> [part.unique().tolist() for part in labels.split(50)]
    [[0], [1], [2]]
    """
    check_points(points)
    merge = 1.5 * bandwidth if merge is None else merge
    check_positive(bandwidth=bandwidth, merge=merge, radius=radius, min_points=min_points, seeds=seeds)
    points = centred(points)
    generator = torch.Generator().manual_seed(seed)

    modes, rest = points[:0], points
    for _ in range(ROUNDS):
        if len(rest) < min_points:
            break
        sample = rest[draw(rest, max(SAMPLE, seeds), generator)]
        fewest = max(2, min_points * len(sample) / len(rest))
        found = _climb(sample[:seeds], sample, bandwidth, merge, fewest, STEPS_ON_SAMPLE)
        modes = torch.cat([modes, found])
        rest = points[nearest(points, modes, radius=merge) < 0]
    modes = _climb(modes, points, bandwidth, merge, min_points, STEPS_ON_ALL)
    return largest_first(nearest(points, modes, radius=radius))


def _climb(
    modes: Tensor, points: Tensor, bandwidth: float, merge: float, fewest: float, steps: int
) -> Tensor:
    """Move modes (M, E) uphill on the density of points (P, E); those with enough points, merged: (K, E)."""
    weight = modes.new_zeros(len(modes))
    for _ in range(steps):
        total, weight = ball_sums(points, modes, bandwidth)
        moved = torch.where(weight[:, None] > 0, total / weight[:, None], modes)
        still = bool(((moved - modes).norm(dim=1) < 1e-3 * bandwidth).all())
        go_on = _distinct(moved, weight, 0.1 * bandwidth)  # those that met climb on as one
        modes, weight = moved[go_on], weight[go_on]
        if still:
            break
    modes, weight = modes[weight >= fewest], weight[weight >= fewest]
    return modes[_distinct(modes, weight, merge)]


def _distinct(modes: Tensor, weight: Tensor, within: float) -> Tensor:
    """Indices of the modes that stay when, the heaviest first, each removes the others `within` its distance."""
    order = weight.argsort(descending=True, stable=True)
    close = (squared_distances(modes[order], modes[order]) <= within**2).cpu().numpy()
    free, stay = np.ones(len(close), dtype=bool), []
    for i, row in enumerate(close):
        if free[i]:
            stay.append(i)
            free &= ~row
    return order[torch.tensor(stay, dtype=torch.int64, device=order.device)]


def hdbscan_clusters(
    points: Tensor,
    *,
    min_cluster_size: int = 30,
    min_samples: int = 5,
    epsilon: float = 0.0,
    subsample: int = 12_000,
    radius: float | None = None,
    seed: int = 0,
) -> Tensor:
    """HDBSCAN on a random subsample; every other point goes to the cluster with the nearest mean.

    HDBSCAN compares clusters with each other: a single one comes out as noise or in pieces.

    Parameters
    ----------
    points : (P, E) floating point, any device; the clustering itself runs on the CPU.
    min_cluster_size, min_samples : as in the hdbscan package, counted in points of the subsample.
    epsilon : clusters closer than this are not split (`cluster_selection_epsilon`). 0 by default, since larger values
        merge objects that training has not yet moved apart.
    subsample : how many points HDBSCAN sees; its time grows faster than their number.
    radius : points that HDBSCAN has not put into a cluster, and that are farther than this from the mean of each, are
        noise. None: each goes to the cluster with the nearest mean.
    seed : of the subsample.

    Returns labels (P,) int64: 0..K-1 by decreasing size, -1 noise. Without any cluster all points are noise.
    Raises ValueError for points that are not a finite (P, E) table, and for parameters out of range.

    Source: Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates, PAKDD 2013.

    >>> corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]).repeat_interleave(50, dim=0)
    >>> noise = torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
    >>> sorted(part.unique().item() for part in hdbscan_clusters(corners + 0.1 * noise).split(50))
    [0, 1, 2]
    """
    check_points(points)
    check_positive(subsample=subsample, radius=radius)
    points = centred(points)
    if len(points) <= max(min_cluster_size, min_samples):
        return points.new_full((len(points),), -1, dtype=torch.int64)
    chosen = draw(points, subsample, torch.Generator().manual_seed(seed))
    clusterer = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_samples,
        cluster_selection_epsilon=epsilon,
        core_dist_n_jobs=1,  # starting processes costs more than they save on a subsample
    )
    found = torch.from_numpy(clusterer.fit_predict(points[chosen].double().cpu().numpy())).to(chosen)

    clustered, member = chosen[found >= 0], found[found >= 0]
    sizes = torch.bincount(member)
    means = points.new_zeros(len(sizes), points.shape[1]).index_add_(0, member, points[clustered])
    labels = nearest(points, means / sizes[:, None], radius=radius)
    labels[clustered] = member
    return largest_first(labels)


def segment(
    embedding: Tensor,
    *,
    cluster: Clusterer = mean_shift,
    foreground: Tensor | None = None,
    background: Literal["largest", "none"] = "largest",
    min_size: int = 16,
) -> Tensor:
    """Cluster the pixels of an embedding image into a label image: 0 background, 1..K objects, the largest first.

    Parameters
    ----------
    embedding : (E, *S) floating point, S two or three axes.
    cluster : a clusterer. Set its parameters with `functools.partial`, as in `partial(mean_shift, radius=1.0)`.
    foreground : (*S) bool, or None. With a mask only its pixels are clustered, and each belongs to an object: those
        that the clusterer calls noise, or that form too small a cluster, join the object that is nearest in space.
    background : what is background without a mask. "largest": the largest cluster, and noise. "none": noise only,
        each cluster is an object. With a mask, background is what lies outside it.
    min_size : a smaller cluster, in pixels, is not an object.

    Returns labels (*S) int64 on the device of `embedding`.
    Raises ValueError for wrong shapes and dtypes, values that are not finite, and an unknown `background`.

    >>> embedding = torch.zeros(2, 12, 12)
    >>> embedding[0, 2:8, 2:8] = 4.0
    >>> segment(embedding)[5].tolist()
    [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    """
    check_image(embedding, "embedding")
    check_positive(min_size=min_size)
    if background not in ("largest", "none"):
        raise ValueError(f"background must be 'largest' or 'none', found {background!r}")
    inside = _inside(foreground, embedding)
    found = largest_first(cluster(embedding[:, inside].T))
    if foreground is None and background == "largest":
        found = (found - 1).clamp(min=-1)
    sizes = torch.bincount(found[found >= 0])
    found[found >= (sizes >= min_size).sum()] = -1  # they are sorted by size: the small ones come last
    labels = torch.zeros(embedding.shape[1:], dtype=torch.int64, device=embedding.device)
    labels[inside] = found + 1
    if foreground is not None and labels.any():
        empty = (labels == 0).cpu().numpy()
        source = distance_transform_edt(empty, return_distances=False, return_indices=True)
        labels = labels[tuple(torch.from_numpy(source).to(labels))] * inside
    return labels


WHOLE_IMAGE = partial(mean_shift, radius=1.0)  # what lies far from every mode is background


def consistency_clustering(
    emb_f: Tensor,
    emb_g: Tensor,
    *,
    cluster: Clusterer = WHOLE_IMAGE,
    foreground: Tensor | None = None,
    background: Literal["largest", "none"] = "largest",
    min_size: int = 16,
    delta_var: float = 0.5,
    anchors_per_object: int = 20,
    iou_threshold: float = 0.6,
    seed: int = 0,
) -> Tensor:
    """Keep those objects of f that the momentum network g sees as well.

    Without background labels nothing pulls the background together. It falls into pieces, and into other pieces in g
    than in f. So each candidate S, clustered from f, is tested: pixels p of S are drawn, each gives the mask
    T_p = {i : ||g_i - g_p|| < `delta_var`}, and S stays if the median IoU of S and T_p reaches `iou_threshold`.

    Parameters
    ----------
    emb_f, emb_g : (E, *S) floating point, embeddings of the same image by the two networks.
    cluster, foreground, background, min_size : as in `segment`, which makes the candidates. The default clusterer
        leaves pixels farther than 1 from every mode to the background. With a mask, T_p lies inside it.
    delta_var : radius of the masks in g, as in training.
    anchors_per_object : how many pixels are drawn, with replacement, from each candidate.
    iou_threshold : candidates with a lower median IoU become background.
    seed : of the anchors.

    Returns labels (*S) int64: 0 background, 1..K objects, the largest first.
    Raises ValueError as `segment` does, and if the two embeddings differ in their spatial shape.

    Source: Wolny et al., Sparse object-level supervision for instance segmentation with pixel embeddings, CVPR 2022.

    >>> emb_f = torch.zeros(2, 20, 20)
    >>> emb_f[0, 2:8, 2:8], emb_f[1, 10:18, 10:18] = 4.0, 4.0
    >>> emb_g = emb_f.clone()
    >>> emb_g[1, 10:18, ::2] = 9.0  # g sees the first object, but not the second
    >>> labels = consistency_clustering(emb_f, emb_g)
    >>> labels.unique().tolist(), labels[2:8, 2:8].unique().tolist()
    ([0, 1], [1])
    """
    check_image(emb_g, "emb_g")
    check_positive(delta_var=delta_var, anchors_per_object=anchors_per_object)
    if emb_f.shape[1:] != emb_g.shape[1:]:
        raise ValueError(f"emb_f and emb_g must show one image, found shapes {shape(emb_f)} and {shape(emb_g)}")
    labels = segment(emb_f, cluster=cluster, foreground=foreground, background=background, min_size=min_size)
    inside = _inside(foreground, emb_g)
    points, candidate = centred(emb_g[:, inside].T), labels[inside]
    generator = torch.Generator().manual_seed(seed)
    kept = torch.zeros(int(labels.max()) + 1, dtype=torch.bool, device=labels.device)
    for k in range(1, len(kept)):
        (members,) = torch.where(candidate == k)
        drawn = torch.randint(len(members), (anchors_per_object,), generator=generator).to(members.device)
        near = squared_distances(points[members[drawn]], points) < delta_var**2
        shared = near[:, members].count_nonzero(dim=1)
        iou = shared / (near.count_nonzero(dim=1) + len(members) - shared)
        kept[k] = iou.quantile(0.5) >= iou_threshold
    return torch.where(kept, kept.cumsum(0), 0)[labels]


def _inside(foreground: Tensor | None, embedding: Tensor) -> Tensor:
    if foreground is None:
        return torch.ones(embedding.shape[1:], dtype=torch.bool, device=embedding.device)
    if foreground.dtype != torch.bool or foreground.shape != embedding.shape[1:]:
        raise ValueError(
            f"foreground must be a bool tensor of shape {shape(embedding)[1:]}, like the image, "
            f"found {foreground.dtype} {shape(foreground)}"
        )
    return foreground.to(embedding.device)
