"""The loader of Cityscapes, on small files in the owner's layout, and on the real ones where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spoco_lite.data import paths
from spoco_lite.data.sets import cityscapes

SHAPE = (16, 32)
# What lies in the columns of each drawn frame, and what it becomes for all things and for cars.
COLUMNS = [
    (0, -1, -1),  # unlabelled by the owner
    (1, -1, -1),  # the own car
    (5, -1, -1),  # dynamic: a pram, an animal
    (7, 0, 0),  # road
    (9, -1, -1),  # parking
    (11, 0, 0),  # building
    (18, -1, -1),  # a group of poles
    (23, 0, 0),  # sky
    (24, -1, 0),  # a group of persons
    (24000, 24000, 0),  # the first person
    (25001, 25001, 0),
    (26, -1, -1),  # a group of cars
    (26000, 26000, 26000),
    (26019, 26019, 26019),
    (27000, 27000, 0),
    (28000, 28000, 0),
    (29000, -1, -1),  # a caravan
    (30, -1, -1),  # a group of trailers
    (31000, 31000, 0),
    (32000, 32000, 0),
    (33, -1, 0),  # a group of bicycles
    (33002, 33002, 0),
]
IDS, THINGS, CARS = (np.resize(column, SHAPE) for column in zip(*COLUMNS))


def write_frame(root, split, name, *, ids=IDS, suffix=".png", seed=0):
    city = name.split("_")[0]
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit{suffix}"
    labels = root / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png"
    rgb = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    for path, array in ((image, rgb), (labels, ids.astype(np.uint16))):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return image, labels, rgb


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A tiny Cityscapes: three frames of two cities to train, one to validate."""
    root = tmp_path / "data" / "cityscapes"
    for name in ("ulm_000001_000019", "aachen_000003_000019", "aachen_000000_000019"):
        write_frame(root, "train", name)
    write_frame(root, "val", "lindau_000001_000019", suffix=".jpg")
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(paths, "shipped", lambda: tmp_path / "nothing")
    monkeypatch.setattr(paths.pooch, "os_cache", lambda name: tmp_path / "nothing")
    return root


def test_frames_are_listed_in_order(root):
    expected = ["aachen_000000_000019", "aachen_000003_000019", "ulm_000001_000019"]
    assert cityscapes.read("train").names == expected
    assert [s.name for s in cityscapes.read("val")] == ["lindau_000001_000019"]


@pytest.mark.parametrize(("classes", "expected"), [("things", THINGS), ("car", CARS)])
def test_labels_by_the_convention(root, classes, expected):
    sample = cityscapes.read("train", classes=classes)[0]
    assert sample.labels.dtype == np.int64
    assert np.array_equal(sample.labels, expected)


@pytest.mark.parametrize("name", cityscapes.THINGS)
def test_one_class_is_that_class_alone(root, name):
    labels = cityscapes.read("train", classes=name)[0].labels
    assert set(np.unique(labels[labels > 0] // 1000)) == {cityscapes.THINGS[name]}
    assert np.array_equal(labels > 0, THINGS // 1000 == cityscapes.THINGS[name])


def test_image_is_the_file_in_its_own_size(root):
    *_, rgb = write_frame(root, "train", "ulm_000001_000019", seed=5)
    sample = cityscapes.read("train")[2]
    assert sample.image.dtype == np.float32 and sample.image.shape == (3, *SHAPE)
    assert np.array_equal(np.round(sample.image * 255), rgb.transpose(2, 0, 1))
    assert sample.foreground is None and sample.voxel_size is None


def test_a_frame_without_objects_stays(root):
    write_frame(root, "train", "ulm_000001_000019", ids=np.full(SHAPE, 7))
    sample = cityscapes.read("train")[2]
    assert sample.name == "ulm_000001_000019" and not sample.labels.any()


def test_frames_are_read_when_asked_for(root):
    image, *_ = write_frame(root, "train", "ulm_000001_000019")
    image.write_bytes(b"")
    samples = cityscapes.read("train")
    assert samples[0].labels.shape == SHAPE
    with pytest.raises(ValueError, match=r"ulm_000001_000019_leftImg8bit\.png: cannot be read"):
        samples[2]


@pytest.mark.parametrize(
    ("split", "classes", "message"),
    [
        ("test", "things", "split: found 'test'; .*labels of the test images are not public"),
        (
            "train",
            "traffic light",
            "classes: found 'traffic light'; give 'things' or one of person, rider, car",
        ),
    ],
)
def test_unknown_options_are_refused(root, split, classes, message):
    with pytest.raises(ValueError, match=message):
        cityscapes.read(split, classes=classes)


def test_without_the_data_the_user_is_told_what_to_do(root, monkeypatch, tmp_path):
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="no folder 'cityscapes'") as error:
        cityscapes.read("train")
    for part in (str(tmp_path / "elsewhere"), "cityscapes-dataset.com", "gtFine_trainvaltest", "SPOCO_DATA"):
        assert part in str(error.value)


@pytest.mark.parametrize(("which", "missing"), [(0, "_leftImg8bit.png"), (1, "_gtFine_instanceIds.png")])
def test_half_a_frame(root, which, missing):
    write_frame(root, "train", "ulm_000007_000019")[which].unlink()
    with pytest.raises(FileNotFoundError, match=f"ulm/ulm_000007_000019{missing}.*missing, as for 1 of 4 frames"):
        cityscapes.read("train")


def test_one_archive_only(root):
    (root / "gtFine").rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match="aachen_000000_000019_gtFine.*3 of 3 frames.*unpack both"):
        cityscapes.read("train")


def test_no_frame(root):
    for kind in ("leftImg8bit", "gtFine"):
        (root / kind / "val").rename(root / kind / "away")
    with pytest.raises(ValueError, match="leftImg8bit/val: no frame"):
        cityscapes.read("val")


def test_an_image_in_two_formats(root):
    write_frame(root, "train", "ulm_000001_000019", suffix=".jpg")
    with pytest.raises(ValueError, match=r"ulm_000001_000019_leftImg8bit\.jpg: the image is there twice"):
        cityscapes.read("train")


def test_sizes_that_differ(root):
    write_frame(root, "train", "ulm_000001_000019", ids=IDS[:, :20])
    with pytest.raises(ValueError, match=r"instanceIds\.png: size \(16, 20\) differs from .*\(16, 32\)"):
        cityscapes.read("train")[2]


@pytest.mark.parametrize("value", [34, 255, 999, 11000, 23999, 34000, 65535])
def test_a_value_that_no_instance_map_has(root, value):
    ids = IDS.copy()
    ids[3, 4] = value
    write_frame(root, "train", "ulm_000001_000019", ids=ids)
    with pytest.raises(ValueError, match=rf"instanceIds\.png: value {value} is neither"):
        cityscapes.read("train")[2]


def test_the_coloured_map_instead_of_numbers(root):
    _, labels, rgb = write_frame(root, "train", "ulm_000001_000019")
    Image.fromarray(rgb).save(labels)
    with pytest.raises(ValueError, match=r"found shape \(16, 32, 3\) .*instanceIds"):
        cityscapes.read("train")[2]


# ---------------------------------------------------------------------- the real files


@pytest.fixture(scope="module")
def real():
    root = Path(os.environ.get("SPOCO_DATA", "nowhere")) / "cityscapes"
    if not root.is_dir():
        pytest.skip("the real frames are not here (SPOCO_DATA)")
    return root


def test_real_cities_do_not_mix(real):
    names = [cityscapes.read(split).names for split in ("train", "val")]
    train, val = ({name.split("_")[0] for name in split} for split in names)
    assert train and val and not train & val


def test_real_labels_agree_with_the_map_of_classes(real):
    """The owner's second map gives each pixel its class, and does not tell groups from single objects."""
    names = cityscapes.read("val").names[::10]
    samples = cityscapes.read("val")
    for name in names:
        sample = samples.read(name)
        path = real / "gtFine" / "val" / name.split("_")[0] / f"{name}_gtFine_labelIds.png"
        if not path.is_file():
            pytest.skip("no *_gtFine_labelIds.png beside the instance maps")
        kind = np.asarray(Image.open(path))
        objects = sample.labels > 0
        assert objects.any() and sample.image.shape == (3, *kind.shape)
        assert np.array_equal(sample.labels[objects] // 1000, kind[objects])
        assert (sample.labels[np.isin(kind, cityscapes.IGNORED)] == -1).all()
        thing = np.isin(kind, list(cityscapes.THINGS.values()))
        assert np.array_equal(sample.labels == 0, ~thing & ~np.isin(kind, cityscapes.IGNORED))
