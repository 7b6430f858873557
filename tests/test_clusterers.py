"""Clusterers: naive twins, peers, clusters that must not be lost, seeds, bad input."""

from functools import partial

import numpy as np
import pytest
import sklearn.cluster
import torch

from spoco_lite.clustering import hdbscan_clusters, mean_shift
from spoco_lite.sums import points as points_module
from spoco_lite.sums.points import ball_sums, largest_first, nearest

TWO_CLUSTERERS = pytest.mark.parametrize(
    "cluster", [mean_shift, partial(hdbscan_clusters, min_cluster_size=10)], ids=["mean_shift", "hdbscan"]
)


def clusters(sizes, *, sigma, dim=16, distance=4.0, seed=0):
    """Points of Gaussian clusters in random order, and their true labels; means at least `distance` apart."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.zeros(0, dim)
    while len(means) < len(sizes):
        mean = distance * torch.randn(1, dim, generator=generator) / dim**0.5 * 1.5
        if not len(means) or torch.cdist(mean, means).min() >= distance:
            means = torch.cat([means, mean])
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return means[labels] + sigma * torch.randn(len(labels), dim, generator=generator), labels


def same_partition(a, b):
    """Whether two label vectors group the points alike, whatever the numbers; noise (-1) is a group too."""
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


# Peers


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_finds_the_same_clusters(seed):
    """Its MeanShift, with each point as a seed, and its HDBSCAN, on all points."""
    points, truth = clusters([120, 90, 60, 40], sigma=0.1, seed=seed)
    for ours, peer in (
        (mean_shift, sklearn.cluster.MeanShift(bandwidth=1.0)),
        (hdbscan_clusters, sklearn.cluster.HDBSCAN(min_cluster_size=30, min_samples=15, copy=True)),
    ):
        found, theirs = ours(points), torch.from_numpy(peer.fit_predict(points.numpy()))
        inside = theirs >= 0  # noise of HDBSCAN goes to the nearest mean in ours
        assert inside.float().mean() > 0.9
        assert same_partition(found[inside], theirs[inside]) and same_partition(found, truth)


# Mean-shift


def naive_mean_shift(points, bandwidth, merge, min_points):
    """Every point climbs on its own until it stands still; then the modes are merged, the densest first."""
    points = points.double().numpy()
    modes = []
    for point in points:
        while True:
            near = points[np.linalg.norm(points - point, axis=1) <= bandwidth]
            step, point = np.linalg.norm(near.mean(0) - point), near.mean(0)
            if step < 1e-6:
                break
        modes.append((len(near), point))
    stay = []
    for count, mode in sorted(modes, key=lambda entry: -entry[0]):
        if count >= min_points and all(np.linalg.norm(mode - other) > merge for other in stay):
            stay.append(mode)
    distance = np.array([[np.linalg.norm(point - mode) for mode in stay] for point in points])
    return torch.from_numpy(distance.argmin(1)), distance.min(1)


@pytest.mark.parametrize("seed", range(4))
def test_mean_shift_naive_twin(seed):
    points, _ = clusters([60, 40, 30, 5], sigma=0.25, dim=3, distance=3.0, seed=seed)
    expected, distance = naive_mean_shift(points, 1.0, 1.5, 16)
    assert same_partition(mean_shift(points), expected)
    with_noise = mean_shift(points, radius=0.8)
    assert torch.equal(with_noise == -1, torch.from_numpy(distance > 0.8))
    assert 0 < (with_noise == -1).sum() < len(points) / 2


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.05, 0.12])
def test_mean_shift_finds_every_compact_cluster_in_16_dimensions(sigma):
    """Grid seeds lose most of these clusters at sigma 0.01; seeds from the data lose none."""
    points, truth = clusters([3000, 2000] + [300] * 12 + [20], sigma=sigma)
    assert same_partition(mean_shift(points), truth)


def test_mean_shift_finds_a_small_cluster_beside_a_huge_one():
    """30 of 40,030 points: the first round of 1500 seeds hits them with a probability of two thirds only."""
    for seed in range(5):
        points, truth = clusters([40_000, 30], sigma=0.05, dim=8, seed=seed)
        assert same_partition(mean_shift(points, seeds=50, seed=seed), truth)


def test_mean_shift_calls_scattered_points_noise():
    points = 3 * torch.randn(3000, 16, generator=torch.Generator().manual_seed(0))
    assert (mean_shift(points) == -1).all()


def test_mean_shift_merge_and_bandwidth():
    points = torch.cat([torch.zeros(30, 2), torch.full((20, 2), 1.0)])  # 1.41 apart
    assert mean_shift(points).unique().tolist() == [0]
    assert mean_shift(points, merge=1.2).tolist() == [0] * 30 + [1] * 20
    assert mean_shift(points, merge=1.2, min_points=25).unique().tolist() == [0]
    assert mean_shift(points, merge=1.2, min_points=25, radius=0.5).tolist() == [0] * 30 + [-1] * 20


def test_far_from_the_origin_distances_stay_accurate():
    points, truth = clusters([50] * 5, sigma=0.05)
    assert same_partition(mean_shift(points + 5000), truth)


# HDBSCAN


def test_hdbscan_assigns_the_points_outside_the_subsample():
    points, truth = clusters([1200, 1000, 800, 600], sigma=0.1)
    assert same_partition(hdbscan_clusters(points, subsample=600), truth)


def test_hdbscan_radius():
    points, truth = clusters([500, 400], sigma=0.05)
    stray = points[:1] + torch.tensor([2.0] + [0.0] * 15)
    every = torch.cat([points, stray])
    assert hdbscan_clusters(every)[-1] >= 0
    with_radius = hdbscan_clusters(every, radius=1.0)
    assert with_radius[-1] == -1 and same_partition(with_radius[:-1], truth)


def test_hdbscan_without_clusters_is_noise():
    assert hdbscan_clusters(torch.zeros(10, 4)).tolist() == [-1] * 10
    assert (hdbscan_clusters(torch.rand(60, 4, generator=torch.Generator().manual_seed(0))) == -1).all()


# Both


@TWO_CLUSTERERS
def test_same_seed_same_labels_and_no_global_randomness(cluster):
    points, _ = clusters([450, 300, 250], sigma=0.35)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = cluster(points, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(cluster(points, seed=3), first)
    assert first.dtype == torch.int64 and first.shape == (1000,)


@TWO_CLUSTERERS
def test_order_of_points_does_not_matter(cluster):
    points, _ = clusters([300, 200, 100], sigma=0.1)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    labels = cluster(points)
    assert torch.equal(cluster(points[order]), labels[order])
    assert torch.bincount(labels).tolist() == [300, 200, 100]  # the largest first


@TWO_CLUSTERERS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_and_gradients(cluster, dtype):
    points, truth = clusters([300, 200], sigma=0.05)
    assert same_partition(cluster(points.to(dtype).requires_grad_()), truth)


@TWO_CLUSTERERS
def test_no_points(cluster):
    assert cluster(torch.zeros(0, 16)).tolist() == []


@TWO_CLUSTERERS
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(4), r"points must be a floating point tensor \(P, E\)"),
        (torch.zeros(4, 2, dtype=torch.int64), "found torch.int64"),
        (torch.tensor([[0.0, float("nan")]]), "NaN"),
        (torch.tensor([[0.0, float("inf")]]), "infinite"),
    ],
)
def test_bad_points(cluster, points, message):
    with pytest.raises(ValueError, match=message):
        cluster(points)


@pytest.mark.parametrize("name", ["bandwidth", "merge", "radius", "min_points", "seeds"])
def test_bad_parameters(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, found 0"):
        mean_shift(torch.zeros(4, 2), **{name: 0})


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_change_nothing(monkeypatch, block):
    generator = torch.Generator().manual_seed(0)
    points, centres = torch.randn(50, 4, generator=generator), torch.randn(6, 4, generator=generator)
    distance = torch.tensor([[(point - centre).norm() for centre in centres] for point in points])
    monkeypatch.setattr(points_module, "BLOCK", block)
    assert torch.equal(nearest(points, centres), distance.argmin(1))
    assert torch.equal(nearest(points, centres, radius=1.5), distance.argmin(1).where(distance.amin(1) <= 1.5, -1))
    total, count = ball_sums(points, centres, 2.0)
    for k in range(6):
        inside = points[distance[:, k] <= 2.0]
        assert count[k] == len(inside)
        torch.testing.assert_close(total[k], inside.sum(0))


def test_largest_first():
    assert largest_first(torch.tensor([-1, 4, 4, 2, 2, 2, -1, 9])).tolist() == [-1, 1, 1, 0, 0, 0, -1, 2]
    assert largest_first(torch.tensor([-1, -1])).tolist() == [-1, -1]
