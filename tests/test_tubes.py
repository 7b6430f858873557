"""Drawn mitochondria: what their stacks must be."""

import numpy as np
import pytest
import tifffile
from skimage.measure import label

from spoco_lite import data
from spoco_lite.data.sets.tubes import VOXEL_SIZE, make_tubes, write


@pytest.fixture(scope="module")
def stack():
    return make_tubes(0)


def test_a_seed_is_a_stack(stack):
    again, other = make_tubes(0), make_tubes(1)
    assert np.array_equal(stack.image, again.image) and np.array_equal(stack.labels, again.labels)
    assert not np.array_equal(stack.labels, other.labels)


def test_image_and_labels(stack):
    grey = stack.image * 255
    assert stack.image.shape == (1, *stack.labels.shape) and stack.image.dtype == np.float32
    assert np.allclose(grey, np.rint(grey), atol=1e-4) and 0 <= grey.min() and grey.max() <= 255
    sizes = np.bincount(stack.labels.ravel())
    assert len(sizes) > 10 and sizes[1:].min() >= 60
    for k in range(1, len(sizes)):
        assert label(stack.labels == k, connectivity=1).max() == 1


def test_tubes_are_as_thick_across_the_slices_as_in_the_plane(stack):
    """The longest way straight through an object, along each axis, is the same in micrometres, about."""
    longest = []
    for axis, step in enumerate(VOXEL_SIZE):
        lines = np.moveaxis(stack.labels, axis, -1).reshape(-1, stack.labels.shape[axis])
        runs = [
            len(part) for line in lines[::7] for part in np.split(line, np.flatnonzero(np.diff(line)) + 1) if part[0]
        ]
        longest.append(np.median(runs) * step)
    assert max(longest) < 1.6 * min(longest), longest


def test_some_tubes_branch_and_some_touch(stack):
    in_pieces = [
        max(label(one == k, connectivity=1).max() for one in stack.labels) > 1 for k in range(1, stack.labels.max() + 1)
    ]
    assert sum(in_pieces) > 2
    assert label(stack.labels > 0, connectivity=1).max() < stack.labels.max()


def test_less_stain_is_less_contrast():
    strong, weak = make_tubes(2), make_tubes(2, stain=0.5)
    assert np.array_equal(strong.labels, weak.labels)
    contrast = [s.image[0][s.labels == 0].mean() - s.image[0][s.labels > 0].mean() for s in (strong, weak)]
    assert contrast[0] > 1.5 * contrast[1] > 0


def test_the_folder_holds_each_slice_once(tmp_path, stack):
    write(tmp_path, trained=16)
    parts = [data.load("folder", split, path=tmp_path, background=0)[0] for split in ("train", "test")]
    assert np.array_equal(np.concatenate([p.labels for p in parts]), stack.labels)
    assert np.allclose(np.concatenate([p.image for p in parts], axis=1), stack.image, atol=1e-6)
    assert tifffile.imread(next(tmp_path.glob("test/images/*"))).dtype == np.uint8
