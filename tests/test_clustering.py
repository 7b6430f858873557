"""From embeddings to objects: masks, backgrounds, two networks that must agree, 2D and 3D, bad input."""

import numpy as np
import pytest
import torch
from test_clusterers import TWO_CLUSTERERS, same_partition

from spoco_lite.clustering import consistency_clustering, segment
from spoco_lite.metrics import adapted_rand_error, symmetric_best_dice
from spoco_lite.sums.points import largest_first


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
