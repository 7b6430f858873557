"""Clusterers and decoders: naive twins, clusters that must not be lost, 2D and 3D, seeds, bad input."""

from functools import partial

import numpy as np
import pytest
import sklearn.cluster
import torch

from spoco_lite.clustering import consistency_clustering, hdbscan_clusters, mean_shift, segment
from spoco_lite.metrics import adapted_rand_error, symmetric_best_dice
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


def scene(shape, *, dim=16, sigma=0.05, seed=0):
    """An embedding image with a background and four boxes, the last one small; and its labels."""
    labels = torch.zeros(shape, dtype=torch.int64)
    half = tuple(side // 2 for side in shape[-2:])
    for k, (y, x) in enumerate([(0, 0), (0, half[1]), (half[0], 0), (half[0], half[1])], start=1):
        height, width = (5, 5) if k == 4 else (half[0] - 3 + k % 2, half[1] - 2)
        labels[..., y : y + height, x : x + width] = k
    generator = torch.Generator().manual_seed(seed)
    means = torch.linalg.qr(torch.randn(dim, 5, generator=generator)).Q.T * 4  # 5.7 apart
    embedding = means[labels] + sigma * torch.randn(*shape, dim, generator=generator)
    return embedding.movedim(-1, 0), labels


SHAPES = pytest.mark.parametrize("shape", [(40, 44), (6, 24, 28)], ids=["2D", "3D"])


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


# Images


@SHAPES
@TWO_CLUSTERERS
def test_segment_without_a_mask(shape, cluster):
    embedding, labels = scene(shape)
    found = segment(embedding, cluster=cluster)
    assert same_partition(found.flatten(), labels.flatten()) and torch.equal(found == 0, labels == 0)
    assert torch.bincount(found.flatten())[1:].diff().max() <= 0  # the largest first


@SHAPES
@TWO_CLUSTERERS
def test_segment_inside_a_mask(shape, cluster):
    embedding, labels = scene(shape)
    found = segment(embedding, cluster=cluster, foreground=labels > 0)
    assert same_partition(found.flatten(), labels.flatten()) and torch.equal(found == 0, labels == 0)


def test_segment_keeps_the_largest_cluster_if_told():
    embedding, labels = scene((40, 44))
    assert same_partition(segment(embedding, background="none").flatten(), labels.flatten())
    assert segment(embedding, background="none").min() == 1


def test_a_mask_with_one_object():
    embedding, labels = scene((40, 44))
    assert torch.equal(segment(embedding, foreground=labels == 1), (labels == 1).long())


def test_an_empty_mask_and_an_image_without_clusters():
    embedding, _ = scene((40, 44))
    assert not segment(embedding, foreground=torch.zeros(40, 44, dtype=torch.bool)).any()
    noise = 3 * torch.randn(16, 30, 30, generator=torch.Generator().manual_seed(0))
    assert not segment(noise).any()
    assert not segment(noise, foreground=torch.ones(30, 30, dtype=torch.bool)).any()


def test_noise_and_small_clusters_join_the_nearest_object_inside_a_mask_only():
    values = torch.tensor([0] * 6 + [-1] + [1] * 3 + [2] + [0] * 2).repeat(20, 1)  # columns

    def given(points):
        return points[:, 0].long()

    embedding = values[None].float()
    mask = torch.ones_like(values, dtype=torch.bool)
    mask[:, -1] = False
    filled = segment(embedding, cluster=given, foreground=mask, min_size=21)
    assert filled.unique(dim=0).tolist() == [[1] * 6 + [filled[0, 6].item()] + [2] * 3 + [filled[0, 10].item(), 1, 0]]
    assert filled[:, [6, 10]].min() >= 1
    bare = segment(embedding, cluster=given, background="none", min_size=21)
    assert bare.unique(dim=0).tolist() == [[1] * 6 + [0] + [2] * 3 + [0] + [1] * 2]


def naive_consistency(candidates, emb_g, delta_var):
    """The median IoU of each candidate, every pixel of it an anchor, the masks made one by one."""
    g = emb_g.flatten(1).T
    medians = {}
    for k in range(1, int(candidates.max()) + 1):
        own = (candidates == k).flatten()
        masks = [(g - g[pixel]).norm(dim=1) < 2 * delta_var for pixel in torch.where(own)[0]]
        medians[k] = np.median([((mask & own).sum() / (mask | own).sum()).item() for mask in masks])
    return medians


def pieces_of_background(shape=(40, 44)):
    """The scene, with a background that has fallen into two clusters, and a few strokes across both."""
    embedding, truth = scene(shape)
    half = torch.zeros(shape, dtype=torch.bool)
    half[..., : shape[-1] // 2] = True
    embedding[:, (truth == 0) & half] += 3.0
    strokes = torch.zeros(shape, dtype=torch.bool)
    strokes[..., ::13, :] = True
    return embedding, truth, strokes & (truth == 0)


def test_annotated_background_is_found_however_many_clusters_it_has():
    embedding, truth, strokes = pieces_of_background()
    assert same_partition(segment(embedding, background=strokes).flatten(), truth.flatten())
    assert not same_partition(segment(embedding, background="largest").flatten(), truth.flatten())


def test_a_stray_mark_does_not_make_an_object_background():
    embedding, truth, strokes = pieces_of_background()
    y, x = (truth == 1).nonzero()[0]
    strokes[y, x] = True
    assert same_partition(segment(embedding, background=strokes).flatten(), truth.flatten())


@pytest.mark.parametrize(
    ("background", "message"),
    [
        (torch.zeros(40, 44, dtype=torch.bool), "background marks no pixel"),
        (torch.zeros(40, 43, dtype=torch.bool), r"background must be a bool tensor of shape \(40, 44\)"),
        ("biggest", "background must be 'largest', 'none' or a mask, found 'biggest'"),
    ],
)
def test_bad_background(background, message):
    with pytest.raises(ValueError, match=message):
        segment(scene((40, 44))[0], background=background)


@SHAPES
def test_a_patch_of_noise_joins_the_object_that_most_of_its_neighbours_belong_to(shape):
    """By nearest pixels it would be cut in two; a leftover is one thing."""
    embedding, truth = scene(shape)
    labels = torch.ones(shape, dtype=torch.int64)
    labels[..., 20:] = 2
    labels[..., 5:9, 18:24] = 3  # two columns in object 1, four in object 2, too small to stay
    points = torch.nn.functional.one_hot(labels - 1, 3).movedim(-1, 0) * 4.0

    def cluster(points):
        return largest_first(points.argmax(dim=1))

    found = segment(points, cluster=cluster, foreground=torch.ones(shape, dtype=torch.bool), min_size=200)
    patch = found[labels == 3].unique()
    assert patch.tolist() == found[labels == 2].unique().tolist()
    assert found.unique().numel() == 2


@pytest.mark.parametrize("shape", [(24, 28), (3, 24, 20)], ids=["2D", "3D"])
def test_consistency_naive_twin(shape):
    embedding, labels = scene(shape)
    emb_g, _ = scene(shape, seed=1)
    emb_g[0, (labels == 3) & (torch.arange(shape[-1]) % 3 == 0)] += 3.0  # g breaks object 3 into 2/3 and 1/3 ...
    emb_g[:, labels == 2] = emb_g[:, labels == 0].mean(1)[:, None]  # ... and takes object 2 for background
    candidates = segment(embedding)
    medians = naive_consistency(candidates, emb_g, 0.5)
    assert len(medians) == 4 and 0.6 < medians[candidates[labels == 3][0].item()] < 0.7
    for threshold in (0.1, 0.6, 0.8):
        found = consistency_clustering(embedding, emb_g, iou_threshold=threshold, anchors_per_object=200)
        expected = [k for k, median in medians.items() if median >= threshold]
        assert found.unique().tolist() == list(range(len(expected) + 1))
        for number, k in enumerate(expected, start=1):
            assert torch.equal(found == number, candidates == k)


def test_objects_as_wide_as_training_allows_are_consistent():
    """Pixels at distance 0.45 from their mean satisfy the pull loss, but lie up to 0.9 apart."""
    embedding, labels = scene((40, 44), sigma=0.45 / 16**0.5)
    assert same_partition(consistency_clustering(embedding, embedding).flatten(), labels.flatten())


@SHAPES
def test_equal_networks_keep_every_compact_object(shape):
    embedding, labels = scene(shape, sigma=0.03)
    assert same_partition(consistency_clustering(embedding, embedding).flatten(), labels.flatten())
    inside = consistency_clustering(embedding, embedding, foreground=labels > 0)
    assert same_partition(inside.flatten(), labels.flatten())


def test_consistency_drops_a_background_that_g_sees_otherwise():
    """A scattered background: pieces in f, other pieces in g. Without the test they are false objects."""
    generator = torch.Generator().manual_seed(0)
    embedding, labels = scene((40, 44), sigma=0.03)
    emb_g = embedding.clone()
    stripes = torch.arange(44).expand(40, 44) // 4 % 3
    places = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q[:, :6] * 9
    for view, offset, split in ((embedding, 0, stripes), (emb_g, 3, stripes.roll(2, dims=1))):
        for piece in range(3):
            view[:, (labels == 0) & (split == piece)] = places[:, offset + piece, None]
    truth, before = labels.numpy(), segment(embedding)
    after = consistency_clustering(embedding, emb_g, background="none")
    assert symmetric_best_dice(truth, after) == 1.0 > symmetric_best_dice(truth, before)
    assert adapted_rand_error(truth, after) == 0.0


def test_consistency_same_seed_same_labels():
    embedding, _ = scene((40, 44), sigma=0.09)
    first = consistency_clustering(embedding, embedding, anchors_per_object=3, seed=5)
    assert torch.equal(consistency_clustering(embedding, embedding, anchors_per_object=3, seed=5), first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": torch.zeros(2, 8)}, r"one floating point image \(E, Y, X\)"),
        ({"embedding": torch.zeros(1, 2, 3, 8, 8)}, r"found torch.float32 \(1, 2, 3, 8, 8\)"),
        ({"embedding": torch.zeros(2, 8, 8, dtype=torch.int64)}, "found torch.int64"),
        ({"embedding": torch.full((2, 8, 8), float("nan"))}, "embedding holds NaN"),
        (
            {"foreground": torch.ones(8, 9, dtype=torch.bool)},
            r"\(8, 8\), like the image, found torch.bool \(8, 9\)",
        ),
        ({"foreground": torch.ones(8, 8)}, "found torch.float32"),
        ({"background": "darkest"}, "'darkest'"),
        ({"min_size": 0}, "min_size must be positive"),
    ],
)
def test_bad_images(change, message):
    arguments = {"embedding": torch.zeros(2, 8, 8)} | change
    with pytest.raises(ValueError, match=message):
        segment(**arguments)


def test_bad_pairs():
    image = torch.zeros(2, 8, 8)
    with pytest.raises(ValueError, match=r"one image, found \(2, 8, 8\) and \(2, 8, 9\)"):
        consistency_clustering(image, torch.zeros(2, 8, 9))
    with pytest.raises(ValueError, match="emb_g holds NaN"):
        consistency_clustering(image, image / 0)
    with pytest.raises(ValueError, match="anchors_per_object must be positive"):
        consistency_clustering(image, image, anchors_per_object=0)
