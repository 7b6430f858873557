"""The synthetic plants: the same from the same seed, honest labels, and no easier than they should be."""

import numpy as np
import pytest
from scipy import ndimage

from spoco_lite.data import load
from spoco_lite.data.files import read_array
from spoco_lite.data.sets import rosettes
from spoco_lite.data.sets.rosettes import SPLITS, make_rosette, read

SEEDS = range(0, 60, 3)


@pytest.fixture(scope="module")
def plants():
    return [make_rosette(seed) for seed in SEEDS]


def test_a_seed_gives_one_plant():
    first, again = make_rosette(5, size=96), make_rosette(5, size=96)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.name == again.name == "rosette005"


def test_the_global_random_state_plays_no_part():
    np.random.seed(0)  # noqa: NPY002
    first = make_rosette(5, size=64).image
    state = np.random.get_state()[2]  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(first, make_rosette(5, size=64).image)
    assert np.random.get_state()[2] == state  # noqa: NPY002


def test_seeds_differ(plants):
    pictures = {plant.image.tobytes() for plant in plants}
    masks = {plant.labels.tobytes() for plant in plants}
    assert len(pictures) == len(masks) == len(plants)


def test_types_and_ranges(plants):
    for plant in plants:
        assert plant.image.shape == (3, 128, 128) and plant.image.dtype == np.float32
        assert plant.labels.shape == (128, 128) and plant.labels.dtype == np.int64
        assert plant.image.min() >= 0 and plant.image.max() <= 1 and np.isfinite(plant.image).all()
        assert 0.15 < plant.image.mean() < 0.6


def test_label_convention(plants):
    for plant in plants:
        ids = np.unique(plant.labels)
        assert ids.tolist() == list(range(len(ids)))  # 0 is there, ids have no gap, nothing is unlabelled
        assert 8 <= ids[-1] <= 16
        assert np.array_equal(plant.foreground, plant.labels > 0) and plant.foreground.dtype == bool


@pytest.mark.parametrize("size", [48, 128, 200])
def test_every_visible_leaf_is_one_piece_of_some_pixels(size):
    for seed in range(8):
        labels = make_rosette(seed, size=size).labels
        for leaf in range(1, labels.max() + 1):
            _, pieces = ndimage.label(labels == leaf)  # 4-connected
            assert pieces == 1, f"seed {seed}, leaf {leaf}: {pieces} pieces"
            assert (labels == leaf).sum() >= max(8, size**2 / 1400)


def test_leaves_touch(plants):
    """Instances are the task: the plant is one piece, so connected components cannot tell leaves apart."""
    assert all(ndimage.label(plant.foreground)[1] == 1 for plant in plants)


def test_a_plant_does_not_depend_on_the_size():
    for seed in range(6):
        small, large = make_rosette(seed, size=128), make_rosette(seed, size=256)
        assert small.labels.max() == large.labels.max()
        # One of the four large pixels that make up a small one: at borders they differ.
        agree = (small.labels == large.labels[1::2, 1::2])[small.foreground].mean()
        assert agree > 0.85
        halved = large.image.reshape(3, 128, 2, 128, 2).mean((2, 4))
        assert np.abs(small.image - halved).mean() < 0.03
        other = make_rosette(seed + 100, size=128)
        assert np.abs(other.image - halved).mean() > 0.06  # what the bound means: another plant is far off


def test_leaves_are_green(plants):
    """A picture, not only a mask: leaves are greener than the ground."""
    for plant in plants:
        green = plant.image[1] - plant.image[[0, 2]].mean(0)
        assert green[plant.foreground].mean() > green[~plant.foreground].mean() + 0.15


def test_the_moss_is_green_too(plants):
    """Even the threshold that suits a plant best takes moss for leaf, in some pictures badly."""
    best = [max(_dice(mask, plant.foreground) for mask in _green_masks(plant)) for plant in plants]
    assert np.mean(best) < 0.95 and min(best) < 0.85


def test_thresholding_green_does_not_separate_the_leaves(plants):
    """Components above the best threshold of all: a symmetric best Dice that leaves much to learn."""
    scores = [
        [_symmetric_best_dice(plant.labels, _components(mask)) for mask in _green_masks(plant)] for plant in plants
    ]
    assert np.mean(scores, axis=0).max() < 0.55


def test_splits():
    assert {split: len(seeds) for split, seeds in SPLITS.items()} == {"train": 40, "val": 12, "test": 12}
    assert len(set().union(*SPLITS.values())) == 64  # no seed in two splits
    samples = [sample for split in SPLITS for sample in read(split)]
    assert {sample.name for sample in samples} == {f"rosette{seed:03d}" for seed in range(64)}
    assert len({sample.image.tobytes() for sample in samples}) == 64


@pytest.mark.parametrize(("split", "place"), [("train", 0), ("train", 39), ("val", 3), ("test", 11)])
def test_what_ships_is_what_the_script_makes(split, place):
    shipped, made = read(split)[place], make_rosette(SPLITS[split][place], size=160)
    assert shipped.name == made.name
    assert np.array_equal(shipped.labels, made.labels) and shipped.labels.dtype == np.int64
    assert np.array_equal(shipped.foreground, made.foreground)
    assert shipped.image.shape == made.image.shape and shipped.image.dtype == np.float32
    assert np.abs(shipped.image - made.image).max() <= 1.01 / 255


def test_write(tmp_path, monkeypatch):
    monkeypatch.setattr(rosettes, "SPLITS", {"train": range(2), "val": range(2, 3)})
    rosettes.write(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")) == [
        f"{kind}/rosette00{seed}.png" for kind in ("images", "labels") for seed in range(3)
    ]
    assert np.array_equal(read_array(tmp_path / "labels" / "rosette002.png"), make_rosette(2, size=160).labels)


@pytest.mark.parametrize("seed", [-1, 1.0, "3", None])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match=r"seed must be an integer >= 0, got"):
        make_rosette(seed)


@pytest.mark.parametrize("size", [0, 31, 128.0, (128, 128)])
def test_bad_size(size):
    with pytest.raises(ValueError, match=r"size must be an integer >= 32, got"):
        make_rosette(0, size=size)


def test_bad_split():
    with pytest.raises(ValueError, match="split: found 'training'; give one of train, val, test"):
        load("rosettes", "training")


def _green_masks(plant):
    red, green, blue = plant.image
    return [2 * green - red - blue > threshold for threshold in np.linspace(0.05, 0.7, 14)]


def _components(mask):
    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())
    labels[areas[labels] < 12] = 0  # specks of moss are nobody's leaves
    return labels


def _dice(a, b):
    return 2 * (a & b).sum() / max(1, a.sum() + b.sum())


def _best_dice(labels, others):
    ids, other_ids = np.unique(labels[labels > 0]), np.unique(others[others > 0])
    if len(ids) == 0:
        return 0.0
    return np.mean([max((_dice(labels == i, others == j) for j in other_ids), default=0.0) for i in ids])


def _symmetric_best_dice(truth, prediction):
    return min(_best_dice(truth, prediction), _best_dice(prediction, truth))
