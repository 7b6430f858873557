"""Two views: one geometry for images and labels, two photometries, and no label that was not there."""

import itertools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from spoco_lite import augment
from spoco_lite.augment import colour, draw_windows, look_through, microscopy, standardize, two_views

PLANE, VOLUME = (60, 60), (20, 40, 40)


def blobs(n=3, channels=3, shape=PLANE):
    """Smooth label blobs -1..4 and images that encode them: each label has a grey level of its own."""
    noise = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)).numpy()
    smooth = torch.from_numpy(ndimage.gaussian_filter(noise, (0, *(5,) * len(shape)), mode="nearest"))
    low, high = (smooth.flatten(1).aminmax(dim=1)[k].view(-1, *(1,) * len(shape)) for k in (0, 1))
    labels = ((smooth - low) / (high - low) * 5.999).long() - 1
    return ((labels + 2) / 8.0)[:, None].repeat_interleave(channels, 1), labels


def coordinates(n, shape):
    """Each channel holds the place of a pixel's centre along one axis: (n, D, *S)."""
    places = torch.meshgrid(*(torch.arange(length) + 0.5 for length in shape), indexing="ij")
    return torch.stack(places)[None].repeat(n, *(1,) * (len(shape) + 1))


# ---------------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    ("channels", "shape", "size"), [(1, PLANE, (48, 48)), (3, PLANE, (48, 48)), (1, VOLUME, (16, 32, 32))]
)
@pytest.mark.parametrize("seed", range(4))
def test_labels_and_both_views_are_aligned(channels, shape, size, seed):
    """In a view, every pixel that lies off the outlines has the grey level of its label."""
    images, labels = blobs(channels=channels, shape=shape)
    view_f, view_g, cropped = two_views(images, labels, size=size, seed=seed)
    for view in (view_f, view_g):
        for picture, y in zip(view.mean(1), cropped):
            low, high = (f(y.numpy(), 9) for f in (ndimage.minimum_filter, ndimage.maximum_filter))
            inner = torch.from_numpy(low == high)  # blur reaches so far
            for axis in range(inner.ndim):  # what lies outside the view is seen by the blur alone
                inner.movedim(axis, 0)[[0, 1, 2, 3, -4, -3, -2, -1]] = False
            levels = [level for k in y.unique() if len(level := picture[inner & (y == k)])]
            assert levels
            assert all(level.max() - level.min() < 0.05 for level in levels)
            means = [level.mean() for level in levels]
            assert means == sorted(means)


@pytest.mark.parametrize(
    ("shape", "symmetry"),
    [((60, 50), "plane"), ((60, 50), "upright"), ((20, 40, 44), "plane"), ((20, 40, 44), "volume")],
)
def test_image_and_labels_show_the_same_place_and_none_outside(shape, symmetry):
    """Images and labels that hold their coordinates differ by half a pixel at most, and not on average."""
    size = (16,) * len(shape) if symmetry == "volume" else tuple(length * 4 // 5 for length in shape)
    places = coordinates(64, shape)
    torch.manual_seed(0)
    windows = draw_windows(64, shape, size, symmetry=symmetry)
    for axis in range(len(shape)):
        labels = places[:, axis].long()
        views, seen = look_through(places, labels, windows, size)
        difference = views[:, axis] - (seen + 0.5)
        assert difference.abs().max() <= 0.5 + 1e-3
        assert difference.mean().abs() < 0.05  # over all windows; in one, all pixels may be off alike
    # Without clamping at the border: the windows themselves stay inside.
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * len(shape))
    reached = torch.einsum("nij,kj->nki", windows[..., :-1], corners) + windows[..., -1][:, None]
    assert reached.abs().max() <= 1 + 1e-5
    assert reached.abs().flatten(1).amax(1).min() > 0.3


def test_the_window_is_the_naive_one():
    """By slicing: without rotation and stretch, an image of the view's own size is mirrored and turned."""
    torch.manual_seed(0)
    images, labels = torch.rand(8, 2, 24, 24), torch.randint(-1, 9, (8, 24, 24))
    windows = draw_windows(8, (24, 24), (24, 24), scale=(1.0, 1.0))
    windows = windows.round()  # stretch makes one axis shorter than 24: bring it back to the image's own
    windows[..., -1] = 0
    assert (windows[..., :2].abs().sum(1) == 1).all()
    views, seen = look_through(images, labels, windows, (24, 24))
    for image, label, view, cropped in zip(images, labels, views, seen):
        ways = [(image.rot90(k, (1, 2)), label.rot90(k)) for k in range(4)]
        ways += [(x.flip(2), y.flip(1)) for x, y in ways]
        same = [torch.equal(y, cropped) and torch.allclose(x, view, atol=1e-5) for x, y in ways]
        assert sum(same) == 1


@pytest.mark.parametrize(
    ("symmetry", "shape", "expected"),
    [("plane", (2, 2), 8), ("upright", (2, 2), 2), ("plane", (2, 2, 2), 16), ("volume", (2, 2, 2), 48)],
)
def test_all_symmetries_occur_and_no_other(symmetry, shape, expected):
    """Corners with a label each tell the symmetries of the square and of the cube apart."""
    labels = torch.arange(2 ** len(shape)).view(1, *shape)
    for axis in range(1, len(shape) + 1):
        labels = labels.repeat_interleave(10, axis)
    labels = labels.repeat(500, *(1,) * len(shape))
    cropped = two_views(labels[:, None] / 8.0, labels, size=16, seed=0, symmetry=symmetry, scale=(1.2, 1.25))[2]
    for axis in range(1, len(shape) + 1):
        cropped = cropped.index_select(axis, torch.tensor([1, 14]))
    assert len(cropped.flatten(1).unique(dim=0)) == expected


def test_thick_slices_are_never_mixed_with_the_plane():
    """A view's slice shows one depth of the image, whatever happens in the plane; proportions are kept."""
    places = coordinates(32, (24, 64, 64))
    torch.manual_seed(0)
    windows = draw_windows(32, (24, 64, 64), (16, 48, 48))
    views, _ = look_through(places, places[:, 0].long(), windows, (16, 48, 48))
    depth = views[:, 0].flatten(2)
    assert (depth.amax(2) - depth.amin(2)).max() < 1e-3
    assert (views[:, 1:, 0] - views[:, 1:, -1]).abs().max() < 1e-3
    pixels = torch.linalg.det(windows[:, :2, :2]).abs().sqrt() * 64 / 48
    slices = windows[:, 2, 2].abs() * 24 / 16
    assert (slices / pixels - 1).abs().max() < 0.13
    assert slices.min() >= 0.8 - 1e-5 and slices.max() <= 1.25 + 1e-5 and slices.std() > 0.1


# ---------------------------------------------------------------------- labels


@pytest.mark.parametrize("shape", [(50, 50), (12, 50, 50)])
@pytest.mark.parametrize("seed", range(3))
def test_no_label_is_invented(shape, seed):
    """Also where float32 has no room for them: beyond 2**24 neighbours would become one."""
    values = torch.tensor([-1, 0, 7, 2**24 + 1, 2**53 + 1])
    labels = values[torch.randint(0, 5, (2, *shape), generator=torch.Generator().manual_seed(seed))]
    _, _, cropped = two_views(torch.rand(2, 1, *shape), labels, size=(8, 40, 40)[-len(shape) :], seed=seed)
    assert cropped.dtype == torch.int64
    assert set(cropped.unique().tolist()) == set(values.tolist())


@pytest.mark.parametrize("label", [-1, 0, 5])
def test_a_uniform_label_map_stays_uniform(label):
    """Nothing is padded: neither with 0, which would mean background, nor with -1."""
    for seed in range(8):
        cropped = two_views(torch.rand(2, 3, 40, 40), torch.full((2, 40, 40), label), size=48, seed=seed)[2]
        assert (cropped == label).all()


# ---------------------------------------------------------------------- randomness and photometry

BY_SEED = """
import hashlib, torch
from spoco_lite.augment import two_views
images, labels = torch.linspace(0, 1, 2 * 12 * 24 * 24).view(2, 1, 12, 24, 24), torch.arange(2 * 12 * 24 * 24)
views = two_views(images, labels.view(2, 12, 24, 24), size=(10, 20, 20), seed=3, photometry="microscopy")
result = hashlib.sha256(b"".join(v.numpy().tobytes() for v in views)).hexdigest()
"""


def test_another_process_gives_the_same_views():
    here: dict = {}
    exec(BY_SEED, here)
    command = [sys.executable, "-c", f"import torch; torch.manual_seed(9)\n{BY_SEED}\nprint(result)"]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == here["result"]


@pytest.mark.parametrize("photometry", ["colour", "microscopy"])
@pytest.mark.parametrize(("shape", "size"), [(PLANE, 48), (VOLUME, (16, 32, 32))])
def test_everything_follows_from_the_seed_and_nothing_else_changes(photometry, shape, size):
    images, labels = blobs(shape=shape)
    before = images.clone(), labels.clone()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = two_views(images, labels, size=size, seed=3, photometry=photometry)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    again, other = (two_views(images, labels, size=size, seed=s, photometry=photometry) for s in (3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not any(torch.equal(a, b) for a, b in zip(first, other))
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])


@pytest.mark.parametrize("photometry", ["colour", "microscopy"])
@pytest.mark.parametrize(("channels", "shape"), [(1, (40, 40)), (3, (40, 40)), (1, (3, 40, 40)), (2, (6, 40, 40))])
def test_views_differ_and_are_standardised(channels, shape, photometry):
    images = torch.rand(8, channels, *shape, generator=torch.Generator().manual_seed(0))
    size = (*shape[:-2], 32, 32)
    labels = torch.zeros(8, *shape, dtype=torch.long)
    view_f, view_g, _ = two_views(images, labels, size=size, seed=0, photometry=photometry)
    different = [not torch.allclose(f, g) for f, g in zip(view_f, view_g)]
    assert sum(different) >= 6  # each of two photometries may leave an image as it is
    for view in (view_f, view_g):
        axes = tuple(range(2, view.ndim))
        assert view.shape == (8, channels, *size) and view.dtype == torch.float32
        torch.testing.assert_close(view.mean(axes), torch.zeros(8, channels), atol=1e-4, rtol=0)
        torch.testing.assert_close(view.std(axes, correction=0), torch.ones(8, channels), atol=1e-3, rtol=0)


@pytest.mark.parametrize("change", [colour, microscopy])
@pytest.mark.parametrize("shape", [(16, 16), (5, 16, 16)])
def test_photometry_keeps_the_range_and_changes_a_volume_as_one(change, shape):
    torch.manual_seed(0)
    images = torch.linspace(0, 1, 64).view(64, 1, *(1,) * len(shape)).repeat(1, 1, *shape)
    changed = change(images)
    assert changed.shape == images.shape and changed.isfinite().all()
    assert changed.min() >= 0 and changed.max() <= 1
    means = changed.flatten(1).mean(1)
    assert (means - images.flatten(1).mean(1)).abs().max() > 0.1
    assert torch.corrcoef(torch.stack([means, images.flatten(1).mean(1)]))[0, 1] > 0.7
    if change is microscopy:  # every second image gets counted photons, every second one read-out noise
        assert 0.5 < (changed.flatten(1).std(1) > 1e-3).float().mean() < 0.95
    else:
        assert changed.flatten(1).std(1).max() < 1e-5


@pytest.mark.parametrize("size", [(5, 6), (3, 5, 6)], ids=["2D", "3D"])
def test_standardize_works_per_image_and_channel(size):
    images = 3 + 2 * torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    images[1, 2] = 0.5  # constant
    result = standardize(images)
    for x, y in zip(images.flatten(0, 1), result.flatten(0, 1)):
        expected = (x - x.mean()) / x.std(correction=0) if x.std() else torch.zeros(size)
        torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "view"), [((40, 24), (20, 16)), ((6, 8, 12), (4, 8, 6)), ((8, 6), (9, 9))], ids=str)
def test_as_windows_of_an_image_are_standardised(size, view):
    """Half a window apart, each by its variance. An image no larger than a view is one window."""
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) ** 3
    starts = [range(0, s - k + 1, k // 2) if s > k else [0] for s, k in zip(size, view)]
    result = standardize(images, list(view))
    for x, y in zip(images.flatten(0, 1), result.flatten(0, 1)):
        windows = [x[tuple(slice(a, a + k) for a, k in zip(start, view))] for start in itertools.product(*starts)]
        weights = [w.var(correction=0) for w in windows]
        mean = sum(w.mean() * k for w, k in zip(windows, weights)) / sum(weights)
        deviation = sum(w.std(correction=0) * k for w, k in zip(windows, weights)) / sum(weights)
        torch.testing.assert_close(y, (x - mean) / deviation, atol=1e-4, rtol=1e-4)


def test_more_background_around_it_leaves_what_a_network_sees_as_it_was():
    """Of an image that is mostly empty: by its own mean and deviation the same cell would be three times as bright."""
    cell = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    image = F.pad(cell, (128, 128, 128, 128))
    places = (..., slice(128, 160), slice(128, 160))
    by_window, by_itself = standardize(image, [32, 32])[places], standardize(image)[places]
    assert 0.7 < by_window.std() / standardize(cell).std() < 1.3
    assert by_itself.std() > 2 * standardize(cell).std()


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_constant_image_is_zero_by_its_windows_too(value):
    assert standardize(torch.full((1, 2, 50, 70), value), [16, 16]).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("images", "labels"),
    [((2, 3, 8, 8), (2, 8, 9)), ((2, 3, 8, 8), (8, 8)), ((3, 8, 8), (8, 8)), ((1, 1, 4, 8, 8), (1, 8, 8))],
)
def test_wrong_shapes(images, labels):
    with pytest.raises(ValueError, match="two_views: expected"):
        two_views(torch.zeros(images), torch.zeros(labels).long(), size=8, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (9, 20, 20)}, r"image of \(7, 30, 30\) is smaller than .* 0.8 times .* \(9, 20, 20\)"),
        ({"size": 0}, "images have 3 axes"),
        ({"size": 7, "scale": (1.2, 0.8)}, "scale: found"),
        ({"size": 7, "symmetry": "cube"}, "symmetry: found 'cube'; known are plane, volume, upright"),
        ({"size": 7, "photometry": "color"}, "photometry: found 'color'; known are colour, microscopy"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        two_views(torch.zeros(1, 1, 7, 30, 30), torch.zeros(1, 7, 30, 30).long(), seed=0, **options)


def test_with_several_tries_a_view_shows_an_annotated_object_if_one_of_them_does():
    """One small object in a large image: about one window in ten shows it."""
    labels = torch.full((16, 64, 64), -1)
    labels[:, 20:24, 20:24] = 1
    labels[8:] = -1  # half of the images have none at all
    images = torch.rand(16, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    shown = {}
    for tries in (1, 64):
        _, _, seen = augment.two_views(images, labels, size=16, seed=0, photometry="microscopy", tries=tries)
        shown[tries] = (seen[:8] > 0).flatten(1).any(1).sum().item()
        assert (seen[8:] == -1).all()
    assert shown[1] <= 4 and shown[64] == 8


def test_the_first_try_that_shows_an_object_is_taken():
    labels = torch.full((2, 8, 8), -1)
    labels[0, :4], labels[1, 4:] = 1, 1
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    upper, lower = identity.clone(), identity.clone()
    upper[1], lower[1] = torch.tensor([0, 0.25, -0.75]), torch.tensor([0, 0.25, 0.75])  # two rows at the top, or below
    windows = torch.stack([torch.stack([lower, lower]), torch.stack([upper, upper]), torch.stack([identity, identity])])
    chosen = augment.showing_objects(labels, windows, (2, 8))
    torch.testing.assert_close(chosen, torch.stack([upper, lower]))
