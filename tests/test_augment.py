"""Two views: one geometry for images and labels, two photometries, and no label that was not there."""

import pytest
import torch
from scipy import ndimage

from spoco_lite import augment
from spoco_lite.augment import standardize, two_views


def blobs(n=3, channels=3, size=60):
    """Smooth label blobs -1..4 and images that encode them: each label has a grey level of its own."""
    noise = torch.rand(n, size, size, generator=torch.Generator().manual_seed(0)).numpy()
    smooth = torch.from_numpy(ndimage.gaussian_filter(noise, (0, 5, 5), mode="nearest"))
    low, high = smooth.amin((1, 2), keepdim=True), smooth.amax((1, 2), keepdim=True)
    labels = ((smooth - low) / (high - low) * 5.999).long() - 1
    images = ((labels + 2) / 8.0)[:, None].expand(-1, channels, -1, -1).contiguous()
    return images, labels


# ---------------------------------------------------------------------- geometry


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_labels_and_both_views_are_aligned(channels, seed):
    """In a view, every pixel that lies off the outlines has the grey level of its label."""
    images, labels = blobs(channels=channels)
    view_f, view_g, cropped = two_views(images, labels, size=48, seed=seed)
    for view in (view_f, view_g):
        for picture, y in zip(view.mean(1), cropped):
            inner = ndimage.minimum_filter(y.numpy(), 9) == ndimage.maximum_filter(
                y.numpy(), 9
            )  # blur reaches so far
            levels = [picture[torch.from_numpy(inner) & (y == k)] for k in y.unique()]
            levels = [level for level in levels if len(level)]
            assert len(levels) > 1
            assert all(level.max() - level.min() < 0.05 for level in levels)
            means = [level.mean() for level in levels]
            assert means == sorted(means)


def test_there_is_no_shift_between_image_and_labels():
    """Images and labels that hold their own coordinates: after cropping and flipping these differ by rounding only."""
    row, column = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    for coordinate in (row, column):
        images = coordinate.float().expand(8, 1, 60, 60)
        torch.manual_seed(0)
        crops, labels = augment._geometry(48)(images, images)
        difference = (crops - labels).flatten(1)
        assert difference.abs().max() < 0.8
        assert difference.mean(1).abs().max() < 0.1


def test_all_symmetries_of_the_square_occur():
    """Four quarters with four labels tell the eight symmetries apart."""
    labels = torch.zeros(1, 40, 40, dtype=torch.long)
    labels[:, :20, :20], labels[:, :20, 20:], labels[:, 20:, :20] = 1, 2, 3
    images = torch.zeros(1, 1, 40, 40)
    seen = set()
    for seed in range(60):
        crop = two_views(images, labels, size=32, seed=seed)[2][0]
        seen.add(tuple(crop[[2, 2, -3, -3], [2, -3, 2, -3]].tolist()))
    assert len(seen) == 8


# ---------------------------------------------------------------------- labels


@pytest.mark.parametrize("seed", range(5))
def test_no_label_is_invented(seed):
    labels = torch.randint(0, 4, (2, 50, 50), generator=torch.Generator().manual_seed(seed))
    labels = torch.tensor([-1, 0, 7, 100_003])[labels]
    _, _, cropped = two_views(torch.rand(2, 3, 50, 50), labels, size=40, seed=seed)
    assert cropped.dtype == torch.int64
    assert set(cropped.unique().tolist()) == {-1, 0, 7, 100_003}


@pytest.mark.parametrize("label", [-1, 0, 5])
def test_a_uniform_label_map_stays_uniform(label):
    """Nothing is padded with 0, which would mean background."""
    for seed in range(8):
        cropped = two_views(torch.rand(2, 3, 40, 40), torch.full((2, 40, 40), label), size=48, seed=seed)[2]
        assert (cropped == label).all()


# ---------------------------------------------------------------------- randomness and photometry


def test_everything_follows_from_the_seed_and_the_global_state_is_left_alone():
    images, labels = blobs()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = two_views(images, labels, size=48, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    again, other = two_views(images, labels, size=48, seed=3), two_views(images, labels, size=48, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not any(torch.equal(a, b) for a, b in zip(first, other))


def test_inputs_are_not_changed():
    images, labels = blobs()
    before = images.clone(), labels.clone()
    two_views(images, labels, size=48, seed=0)
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_views_differ_and_are_standardised(channels):
    generator = torch.Generator().manual_seed(0)
    images, labels = (
        torch.rand(8, channels, 40, 40, generator=generator),
        torch.zeros(8, 40, 40, dtype=torch.long),
    )
    view_f, view_g, _ = two_views(images, labels, size=32, seed=0)
    different = [not torch.allclose(f, g) for f, g in zip(view_f, view_g)]
    assert sum(different) >= 6  # each of two photometries may leave an image as it is
    for view in (view_f, view_g):
        assert view.shape == (8, channels, 32, 32) and view.dtype == torch.float32
        torch.testing.assert_close(view.mean((2, 3)), torch.zeros(8, channels), atol=1e-4, rtol=0)
        torch.testing.assert_close(view.std((2, 3), correction=0), torch.ones(8, channels), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(5, 6), (3, 5, 6)], ids=["2D", "3D"])
def test_standardize_works_per_image_and_channel(size):
    images = 3 + 2 * torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    images[1, 2] = 0.5  # constant
    result = standardize(images)
    for n in range(2):
        for c in range(3):
            x = images[n, c]
            expected = (x - x.mean()) / x.std(correction=0) if x.std() else torch.zeros(size)
            torch.testing.assert_close(result[n, c], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("images", "labels"),
    [((2, 3, 8, 8), (2, 8, 9)), ((2, 3, 8, 8), (8, 8)), ((3, 8, 8), (8, 8)), ((1, 1, 4, 8, 8), (1, 4, 8, 8))],
)
def test_wrong_shapes(images, labels):
    with pytest.raises(ValueError, match="two_views: expected"):
        two_views(torch.zeros(images), torch.zeros(labels).long(), size=8, seed=0)
