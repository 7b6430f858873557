"""Clusterers: points in, labels out. Mean-shift in torch, and HDBSCAN.

A clusterer is a function from points (P, E) to labels (P,): 0..K-1, the largest cluster first, and -1 for
noise. Distances are Euclidean. The random draws come from `seed` alone: the same seed gives the same labels.
"""

import numpy as np
import torch
from hdbscan import HDBSCAN
from torch import Tensor

from .sums.points import (
    ball_sums,
    centred,
    check_points,
    check_positive,
    draw,
    largest_first,
    nearest,
    squared_distances,
)

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

    A seed moves to the mean of all points within `bandwidth`, again and again, until it stands still on a
    *mode*. Seeds are points of the data. (The usual seeds, the cells of a grid, fail in 16 dimensions:
    rounding moves a point by about 1.15 bandwidths, so that a compact cluster may have no seed in its reach
    and is lost.) The seeds climb on a sample of the points. Points that no mode explains are sown again, so
    that small clusters are found too, and the modes end with a climb on all points.

    Source: Comaniciu and Meer, Mean shift: a robust approach toward feature space analysis, PAMI 2002.

    Parameters
    ----------
    points
        (P, E) floating point, any device.
    bandwidth
        radius of the kernel. Twice `delta_var` by default, the largest distance that training leaves between
        two pixels of an object.
    merge
        of two modes closer than this, the one with fewer points goes. By default 1.5 * `bandwidth`, well
        below the distance of 4 that training asks for between objects.
    radius
        points farther than this from every mode are noise. None: each point goes to its nearest mode.
    min_points
        a mode with fewer points within `bandwidth` is dropped.
    seeds
        points that climb in one round. A cluster of m points among P scattered ones wants about P / m seeds.
    seed
        of the random draws.

    Returns
    -------
    Tensor
        labels (P,) int64: 0..K-1 by decreasing size, -1 noise. Without any mode all points are noise.

    Raises
    ------
    ValueError
        points that are not a finite (P, E) table, and lengths or numbers that are not positive.

    Example
    -------
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


def _climb(modes: Tensor, points: Tensor, bandwidth: float, merge: float, fewest: float, steps: int) -> Tensor:
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
    min_samples: int = 15,
    epsilon: float = 0.0,
    subsample: int = 12_000,
    radius: float | None = None,
    seed: int = 0,
) -> Tensor:
    """HDBSCAN on a random subsample; every other point goes to the cluster with the nearest mean.

    HDBSCAN compares clusters with each other: a single one comes out as noise or in pieces.

    Source: Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates,
    PAKDD 2013.

    Parameters
    ----------
    points
        (P, E) floating point, any device; the clustering itself runs on the CPU.
    min_cluster_size, min_samples
        as in the hdbscan package, counted in points of the subsample.
    epsilon
        clusters closer than this are not split (`cluster_selection_epsilon`). 0 by default, since larger
        values merge objects that training has not yet moved apart.
    subsample
        how many points HDBSCAN sees; its time grows faster than their number.
    radius
        points farther than this from the mean of every cluster are noise. None: each point that HDBSCAN has
        not put into a cluster goes to the nearest mean.
    seed
        of the subsample.

    Returns
    -------
    Tensor
        labels (P,) int64: 0..K-1 by decreasing size, -1 noise. Without any cluster all points are noise.

    Raises
    ------
    ValueError
        points that are not a finite (P, E) table, and parameters out of range.

    Example
    -------
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
    found = torch.from_numpy(clusterer.fit_predict(points[chosen].cpu().double().numpy())).to(chosen)

    clustered, member = chosen[found >= 0], found[found >= 0]
    sizes = torch.bincount(member)
    means = points.new_zeros(len(sizes), points.shape[1]).index_add_(0, member, points[clustered])
    labels = nearest(points, means / sizes[:, None], radius=radius)
    labels[clustered] = torch.where(labels[clustered] >= 0, member, -1)
    return largest_first(labels)
