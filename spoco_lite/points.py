"""Clusterers: points in, labels out. Mean-shift in torch, and HDBSCAN.

A clusterer is a function from points (P, E) to labels (P,): 0..K-1, the largest cluster first, and -1 for
noise. Distances are Euclidean. The random draws come from `seed` alone: the same seed gives the same labels.
"""

import numpy as np
import torch
from hdbscan import HDBSCAN
from torch import Tensor

BLOCK = 1 << 22  # entries of a distance table held at once (16 MiB in float32), however many points
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
    found = torch.from_numpy(clusterer.fit_predict(points[chosen].double().cpu().numpy())).to(chosen)

    clustered, member = chosen[found >= 0], found[found >= 0]
    sizes = torch.bincount(member)
    means = points.new_zeros(len(sizes), points.shape[1]).index_add_(0, member, points[clustered])
    labels = nearest(points, means / sizes[:, None], radius=radius)
    labels[clustered] = torch.where(labels[clustered] >= 0, member, -1)
    return largest_first(labels)


def nearest(points: Tensor, centres: Tensor, *, radius: float | None = None) -> Tensor:
    """Index (P,) int64 of the centre (K, E) nearest to each point (P, E); -1 if none lies within `radius`.

    >>> nearest(torch.tensor([[0.0], [3.0], [9.0]]), torch.tensor([[0.5], [4.0]]), radius=2.0).tolist()
    [0, 1, -1]
    """
    if not len(centres):
        return torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    labels = []
    for block in points.split(max(1, BLOCK // len(centres))):
        distance, index = squared_distances(block, centres).min(dim=1)
        labels.append(index if radius is None else index.where(distance <= radius**2, -1))
    return torch.cat(labels)


def ball_sums(points: Tensor, centres: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Sum (K, E) and number (K,) of the points (P, E) within `radius` of each centre (K, E)."""
    ones = torch.ones_like(points[:, :1])
    weighted = torch.cat(
        [points, ones], dim=1
    )  # so that one product gives the sum, and in its last column the number
    total = weighted.new_zeros(len(centres), weighted.shape[1])
    for block in weighted.split(max(1, BLOCK // max(1, len(centres)))):
        near = squared_distances(block[:, :-1], centres) <= radius**2
        total.addmm_(near.to(block.dtype).T, block)
    return total[:, :-1], total[:, -1]


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """(P, E), (K, E) -> (P, K) with one matrix product; far from the origin rounding spoils it, so centre first."""
    return (points.square().sum(1, keepdim=True) + centres.square().sum(1)).addmm_(
        points, centres.T, alpha=-2
    )


def largest_first(labels: Tensor) -> Tensor:
    """Renumber labels (P,) to 0, 1, ... by decreasing number of points; -1 stays.

    >>> largest_first(torch.tensor([3, 5, 5, -1])).tolist()
    [1, 0, 0, -1]
    """
    sizes = torch.bincount(labels[labels >= 0])
    order = sizes.argsort(descending=True, stable=True)
    lookup = labels.new_full((len(sizes) + 1,), -1)  # -1 finds its last entry
    lookup[order] = torch.arange(len(sizes), device=labels.device)
    return lookup[labels]


def draw(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of at most `count` different points, drawn on the CPU so that each device gets the same."""
    return torch.randperm(len(points), generator=generator)[:count].to(points.device)


def centred(points: Tensor) -> Tensor:
    """float32 points around their mean, where `squared_distances` is accurate."""
    points = points.detach().float()
    return points - points.mean(dim=0) if len(points) else points


def check_points(points: Tensor) -> None:
    if points.ndim != 2 or not points.is_floating_point():
        raise ValueError(
            f"points must be a floating point tensor (P, E), found {points.dtype} {tuple(points.shape)}"
        )
    if not points.isfinite().all():
        raise ValueError("points hold NaN or infinite values; check the network that made them")


def check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, found {value}")
