"""The synthetic nuclei: the same from the same seed, honest labels, light as in a microscope, a hard task."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from spoco_lite.data.files import read_array
from spoco_lite.data.sets import cells3d
from spoco_lite.data.sets.cells3d import SPLITS, make_cells, read
from spoco_lite.metrics import evaluate


@pytest.fixture(scope="module")
def volumes():
    return [sample for split in SPLITS for sample in read(split)]


def test_a_seed_gives_one_volume_whatever_the_global_state():
    np.random.seed(0)  # noqa: NPY002
    first = make_cells(30)
    np.random.seed(1)  # noqa: NPY002
    again, other = make_cells(30), make_cells(31)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.labels, again.labels)
    assert first.name == again.name == "cells3d030"
    assert not np.array_equal(first.image, other.image) and not np.array_equal(first.labels, other.labels)


def test_splits(volumes):
    assert {split: len(seeds) for split, seeds in SPLITS.items()} == {"train": 12, "val": 4, "test": 4}
    assert [sample.name for sample in volumes] == [f"cells3d{seed:03d}" for seed in range(20)]
    assert len({sample.image.tobytes() for sample in volumes}) == 20


@pytest.mark.parametrize(("split", "place"), [("train", 0), ("val", 3), ("test", 1)])
def test_what_ships_is_what_the_script_makes(split, place):
    shipped, made = read(split)[place], make_cells(SPLITS[split][place])
    assert shipped.name == made.name and shipped.voxel_size == made.voxel_size == (1.75, 0.8, 0.8)
    assert np.array_equal(shipped.labels, made.labels)
    assert np.array_equal(shipped.foreground, made.foreground)
    assert np.abs(shipped.image - made.image).max() <= 1.01 / 255


def test_write(tmp_path, monkeypatch):
    monkeypatch.setattr(cells3d, "SPLITS", {"train": range(1), "val": range(2, 3)})
    cells3d.write(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.tif")) == [
        f"{kind}/cells3d00{seed}.tif" for kind in ("images", "labels") for seed in (0, 2)
    ]
    image = read_array(tmp_path / "images" / "cells3d002.tif")
    assert image.dtype == np.uint8 and np.array_equal(image, np.rint(make_cells(2).image[0] * 255))


def test_types_ranges_and_label_convention(volumes):
    for sample in volumes:
        assert sample.image.shape == (1, 24, 64, 64) and sample.image.dtype == np.float32
        assert sample.image.min() >= 0 and sample.image.max() == 1
        assert sample.labels.shape == (24, 64, 64) and sample.labels.dtype == np.int64
        ids = np.unique(sample.labels)
        assert ids.tolist() == list(range(len(ids)))  # 0 is there, ids have no gap, nothing is unlabelled
        assert 15 <= ids[-1] <= 40
        assert np.array_equal(sample.foreground, sample.labels > 0)


def test_every_nucleus_is_one_piece_of_some_voxels(volumes):
    for sample in volumes:
        for nucleus in range(1, sample.labels.max() + 1):
            mask = sample.labels == nucleus
            assert ndimage.label(mask)[1] == 1 and mask.sum() >= 60


def test_nuclei_touch(volumes):
    """Connected components of the true foreground find less than half of them."""
    pieces = [ndimage.label(sample.foreground)[1] / sample.labels.max() for sample in volumes]
    assert max(pieces) < 0.5


def test_nuclei_differ_in_size_and_in_brightness(volumes):
    for sample in volumes:
        ids = np.arange(1, sample.labels.max() + 1)
        sizes = np.bincount(sample.labels.ravel())[1:]
        light = ndimage.mean(sample.image[0], sample.labels, ids)
        assert sizes.std() / sizes.mean() > 0.25
        assert light.std() / light.mean() > 0.15


def test_nuclei_are_brighter_than_the_background(volumes):
    for sample in volumes:
        assert sample.image[0][sample.foreground].mean() > 1.5 * sample.image[0][~sample.foreground].mean()


def test_light_is_lost_with_depth(volumes):
    """Nuclei in the first and in the last third of the slices, over all volumes."""
    light = [[s.image[0, z][s.foreground[z]].mean() for z in (slice(0, 8), slice(16, 24))] for s in volumes]
    first, last = np.mean(light, axis=0)
    assert last < 0.8 * first


@pytest.mark.parametrize(("axis", "expected"), [(0, 2.0), (1, 0.6), (2, 0.6)])
def test_blur_is_stronger_along_z_than_in_the_plane(axis, expected):
    """The slope of a bright half space is as wide as the blur, in micrometres."""
    middle, reach = cells3d.SHAPE[axis] // 2, round(4 * expected / cells3d.VOXEL_SIZE[axis])
    light = np.full(cells3d.SHAPE, 1e4)
    light.swapaxes(0, axis)[:middle] = 0
    image = cells3d._microscope(np.random.default_rng(0), light)
    profile = image.mean(tuple({0, 1, 2} - {axis}))[middle - reach : middle + reach]
    slope = np.clip(np.diff(profile), 0, None)
    places = np.arange(2 * reach - 1) * cells3d.VOXEL_SIZE[axis]
    mean = np.average(places, weights=slope)
    assert np.average((places - mean) ** 2, weights=slope) ** 0.5 == pytest.approx(expected, rel=0.15)


def test_thresholding_does_not_separate_the_nuclei(volumes):
    """Otsu's threshold, then components or a watershed of the distance: scores that leave much to learn."""
    scores = [_untrained(sample) for sample in volumes if int(sample.name[-3:]) >= 12]
    components, split = np.mean(scores, axis=0)
    assert components < 0.15 and split < 0.3


def _untrained(sample):
    """AP at IoU 0.5 of both."""
    smooth = ndimage.gaussian_filter(sample.image[0], (0.6, 1.2, 1.2))
    mask = smooth > threshold_otsu(smooth)
    pieces, _ = ndimage.label(mask)
    distance = ndimage.distance_transform_edt(mask, sampling=sample.voxel_size)
    distance = ndimage.gaussian_filter(distance, np.divide(0.8, sample.voxel_size))
    seeds = np.zeros(mask.shape, int)
    peaks = peak_local_max(distance, min_distance=4, labels=mask.astype(int))
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = [pieces, watershed(-distance, seeds, mask=mask)]
    return [evaluate(sample.labels, np.where(np.bincount(f.ravel())[f] < 60, 0, f)).ap50 for f in found]


@pytest.mark.parametrize("seed", [-1, 1.0, "3", None])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got"):
        make_cells(seed)
