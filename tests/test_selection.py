"""From an anchor to a soft mask, and which pixels become anchors."""

import math

import hypothesis.strategies as st
import naive
import pytest
import torch
from hypothesis import given, settings

from spoco_lite import selection
from spoco_lite.selection import GaussianKernel, draw_anchors, draw_object_pixels, soft_masks
from spoco_lite.sums.regions import lift, lifted_distances


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------- kernel and soft masks


@pytest.mark.parametrize(
    ("threshold", "distance", "value"),
    [(0.5, 0.25, 0.841), (0.5, 0.5, 0.5), (0.5, 1.0, 0.0625), (0.5, 2.0, 1.53e-5)]
    + [(0.9, 0.25, 0.974), (0.9, 0.5, 0.9), (0.9, 1.0, 0.656), (0.9, 2.0, 0.185), (0.9, 4.0, 0.0012)],
)
def test_kernel_values(threshold, distance, value):
    kernel = GaussianKernel(delta_var=0.5, threshold=threshold)
    assert kernel(torch.tensor(distance**2)).item() == pytest.approx(value, rel=0.02)


@given(delta_var=st.floats(0.1, 3), threshold=st.floats(0.05, 0.95))
def test_kernel_is_one_at_the_anchor_and_the_threshold_at_delta_var(delta_var, threshold):
    squared = torch.tensor([0.0, delta_var**2, 4 * delta_var**2, 1e6], dtype=torch.float64)
    values = GaussianKernel(delta_var, threshold)(squared)
    assert values[0] == 1
    assert values[1].item() == pytest.approx(threshold)
    assert values[2].item() == pytest.approx(max(threshold**4, math.exp(-30)))
    assert 0 < values[3] < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [({"delta_var": 0}, "delta_var"), ({"delta_var": float("nan")}, "delta_var")]
    + [({"threshold": t}, f"threshold: found {t}") for t in (0, 1, -0.5, 1.5)],
)
def test_kernel_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        GaussianKernel(**options)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([(1, 1), (2, 5), (2, 2, 3)]),
    n=st.integers(0, 2),
    k=st.integers(0, 3),
    e=st.integers(1, 4),
    threshold=st.sampled_from([0.5, 0.9]),
)
def test_soft_masks_twin(size, n, k, e, threshold):
    embeddings, anchors = randn(n, e, *size, dtype=torch.float64), randn(n, k, e, seed=1, dtype=torch.float64)
    masks = soft_masks(embeddings, anchors, GaussianKernel(0.7, threshold))
    expected = naive.soft_masks(embeddings, anchors, delta_var=0.7, threshold=threshold)
    torch.testing.assert_close(masks, expected, rtol=1e-9, atol=1e-12)


def test_soft_masks_pass_gradients_to_embeddings_and_anchors():
    embeddings, anchors = randn(1, 2, 2, 3, dtype=torch.float64), randn(1, 2, 2, seed=1, dtype=torch.float64)
    inputs = embeddings.requires_grad_(), anchors.requires_grad_()
    assert torch.autograd.gradcheck(lambda e, a: soft_masks(e, a, GaussianKernel(1.0, 0.5)), inputs)


def test_far_from_the_origin_distances_keep_their_digits():
    embeddings = randn(1, 16, 400)
    shifted = (embeddings + 300).double()
    anchors = shifted[:, :, :5].mT
    exact = torch.cdist(anchors, shifted.mT, compute_mode="donot_use_mm_for_euclid_dist").square()
    ours = lifted_distances(anchors.float(), *lift(shifted.float()))
    torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("embeddings", "anchors"),
    [((1, 2, 3, 3), (1, 2, 3)), ((1, 2, 3, 3), (2, 2, 2)), ((1, 2, 3, 3), (1, 2)), ((1, 2), (1, 1, 2))],
)
def test_soft_masks_refuse(embeddings, anchors):
    with pytest.raises(ValueError, match="soft_masks"):
        soft_masks(torch.zeros(embeddings), torch.zeros(anchors), GaussianKernel())


# ---------------------------------------------------------------------- anchors


@pytest.mark.parametrize("scale", [0.05, 0.3, 3.0])
@pytest.mark.parametrize("size", [(16, 20), (5, 6, 8)], ids=["2D", "3D"])
def test_anchors_are_unlabelled_and_apart_in_both_embeddings(size, scale):
    emb_f, emb_g = scale * randn(4, 3, *size), scale * randn(4, 3, *size, seed=1)
    labels = torch.randint(-1, 3, (4, *size), generator=seeded())
    pixels, valid = draw_anchors(emb_f, emb_g, labels, delta_var=0.5, max_anchors=12, generator=seeded(2))
    assert pixels.shape == valid.shape == (4, 12)
    assert valid[:, 0].all()  # there are unlabelled pixels, so there is an anchor
    for n in range(4):
        chosen = pixels[n][valid[n]]
        assert (labels[n].flatten()[chosen] == -1).all()
        assert len(chosen.unique()) == len(chosen)
        for emb in (emb_f, emb_g):
            points = emb[n].flatten(1)[:, chosen].T.double()
            assert (torch.pdist(points) >= 0.5 - 1e-5).all()


def test_valid_anchors_come_first():
    embeddings = 0.2 * randn(8, 2, 10, 10)
    _, valid = draw_anchors(embeddings, embeddings, torch.full((8, 10, 10), -1), generator=seeded())
    assert (valid.long().diff(dim=1) <= 0).all()
    assert not valid.all()


def test_one_anchor_for_each_group_of_equal_embeddings():
    groups = torch.arange(64).reshape(1, 8, 8) % 6
    embeddings = torch.nn.functional.one_hot(groups, 6).movedim(3, 1).float()
    pixels, valid = draw_anchors(embeddings, embeddings, torch.full((1, 8, 8), -1), generator=seeded())
    assert sorted(groups.flatten()[pixels[valid]].tolist()) == list(range(6))


def test_the_same_seed_draws_the_same_anchors():
    embeddings, labels = randn(2, 4, 16, 16), torch.full((2, 16, 16), -1)
    first, again, other = (draw_anchors(embeddings, embeddings, labels, generator=seeded(s))[0] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_unlabelled_pixel_is_as_likely_to_be_the_first_anchor():
    n = 4000
    labels = torch.tensor([[[-1, 0, -1, -1, 2, -1, 1, -1]]]).expand(n, 1, 8)
    embeddings = torch.zeros(n, 1, 1, 8)
    pixels, _ = draw_anchors(embeddings, embeddings, labels, max_anchors=1, generator=seeded())
    counts = torch.bincount(pixels[:, 0], minlength=8).tolist()
    expected = [n / 5, 0, n / 5, n / 5, 0, n / 5, 0, n / 5]
    assert counts == pytest.approx(expected, abs=5 * math.sqrt(n * 0.2 * 0.8))  # five standard deviations


def test_a_later_anchor_is_drawn_from_the_rest_uniformly():
    """Groups of 1, 2 and 5 pixels: after one of the 5, the next is the single pixel in a third of the cases."""
    n = 4000
    groups = torch.tensor([0, 1, 1, 2, 2, 2, 2, 2])
    embeddings = (10.0 * groups).expand(n, 1, 1, 8).contiguous()
    pixels, _ = draw_anchors(embeddings, embeddings, torch.full((n, 1, 8), -1), max_anchors=2, generator=seeded())
    first, second = groups[pixels].T
    share = (second[first == 2] == 0).float().mean().item()
    assert share == pytest.approx(1 / 3, abs=5 * math.sqrt(2 / 9 / (n * 5 / 8)))


def test_an_image_without_unlabelled_pixels_has_no_anchor():
    embeddings, labels = randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)
    labels[1, 2, 3] = -1
    pixels, valid = draw_anchors(embeddings, embeddings, labels, max_anchors=5, generator=seeded())
    assert valid.tolist() == [[False] * 5, [True] + [False] * 4]
    assert pixels[1, 0] == 11
    assert ((pixels >= 0) & (pixels < 16)).all()  # fit to index with, although they do not count


def test_anchors_of_an_empty_batch():
    pixels, valid = draw_anchors(torch.zeros(0, 2, 4, 4), torch.zeros(0, 2, 4, 4), torch.zeros(0, 4, 4).long())
    assert pixels.shape == valid.shape == (0, 20)


def two_groups(share):
    """Embeddings of a row of 1,000 unlabelled pixels, a share of them in one group, the others in another."""
    embeddings = torch.zeros(1, 2, 1, 1000)
    embeddings[..., round(1000 * share) :] = 9.0
    return embeddings


@pytest.mark.parametrize(("coverage", "found"), [(0.5, {1}), (0.95, {1, 2}), (1.0, {2})])
def test_drawing_stops_when_enough_is_covered(coverage, found):
    """One anchor of the group of 93% covers more than half, and less than 95%; chance decides which comes first."""
    embeddings, labels = two_groups(0.93), torch.full((1, 1, 1000), -1)
    counts = []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        pixels, valid = draw_anchors(embeddings, embeddings, labels, coverage=coverage, generator=generator)
        if pixels[0, 0] < 930:
            counts.append(int(valid.sum()))
    assert len(counts) >= 15
    assert set(counts) == found


def test_coverage_is_a_share_of_the_unlabelled_region_not_of_the_image():
    """The public code stops at 5% of the image: a small unlabelled region would never get an anchor."""
    labels = torch.ones(1, 1, 1000, dtype=torch.long)
    labels[..., -20:] = -1
    _, valid = draw_anchors(two_groups(0.99), two_groups(0.99), labels, coverage=1.0)
    assert valid.sum() == 2


def test_object_pixels_are_drawn_from_their_region_uniformly():
    slots = torch.tensor([[2, 0, 1, 1, -1, 2, 2, 2]], dtype=torch.int32).repeat(4000, 1)
    sizes = torch.tensor([[1.0, 2.0, 4.0, 1.0]]).repeat(4000, 1)  # region 3 has no pixel
    pixels = draw_object_pixels(slots, sizes, generator=torch.Generator().manual_seed(0))
    for region, places in enumerate([[1], [2, 3], [0, 5, 6, 7]]):
        counts = torch.bincount(pixels[:, region], minlength=8)
        assert counts.nonzero()[:, 0].tolist() == places
        expected = 4000 / len(places)
        assert counts[places].float().sub(expected).abs().max() < 5 * expected**0.5
    assert ((pixels >= 0) & (pixels < 8)).all()


@pytest.mark.parametrize(("device", "dtype"), [("mps", torch.float32), ("cpu", torch.float64)])
def test_apple_gpus_which_have_no_float64_are_asked_for_none(monkeypatch, device, dtype):
    asked = {}
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: asked.update(options))
    selection._uniform((2, 3), torch.device(device), None)
    assert asked["dtype"] == dtype
