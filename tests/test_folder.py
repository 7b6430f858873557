"""Images of one's own: what can be read, and what cannot. Splits are tested in test_own_images.py."""

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from spoco_lite.data import folder

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
LABELS = np.zeros((20, 30), np.uint8)
LABELS[2:9, 3:12], LABELS[10:18, 15:28] = 3, 7
VOLUME, CELLS = (np.repeat(array[None], 5, 0) for array in (GREY, LABELS))


def write(path, array):
    """A file of the kind that its ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["volume"] = array
    elif path.suffix == ".zarr":
        zarr.save_array(str(path), array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


def write_pair(root, name, image=GREY, labels=LABELS, suffix=".png", label_suffix=".png"):
    write(root / "images" / f"{name}{suffix}", image)
    write(root / "labels" / f"{name}{label_suffix}", labels)


def one(root, **options):
    """The only image of the training split, in the layout with a folder for each split."""
    (sample,) = folder.read("train", path=root, **{"background": 0, **options})
    return sample


# ---------------------------------------------------------------------- what can be read


@pytest.mark.parametrize(
    ("suffix", "image", "labels"),
    [(".png", GREY, LABELS)]
    + [(suffix, *pair) for suffix in (".tif", ".h5", ".npy", ".zarr") for pair in ((GREY, LABELS), (VOLUME, CELLS))],
)
def test_kinds_of_files(tmp_path, suffix, image, labels):
    write_pair(tmp_path / "train", "cell.01", image, labels, suffix, suffix)
    sample = one(tmp_path)
    assert sample.name == "cell.01" and sample.foreground is None and sample.voxel_size is None
    assert sample.image.dtype == np.float32 and sample.labels.dtype == np.int64
    assert np.array_equal(np.round(sample.image * 255), image[None])
    assert np.array_equal(sample.labels, labels)


def test_one_file_for_image_and_labels(tmp_path):
    (tmp_path / "train" / "volumes").mkdir(parents=True)
    with h5py.File(tmp_path / "train" / "volumes" / "embryo.h5", "w") as file:
        file["raw"], file["label"], file["other"] = VOLUME, CELLS, CELLS * 2
    assert np.array_equal(one(tmp_path).labels, CELLS)
    assert np.array_equal(one(tmp_path, label_key="other").labels, CELLS * 2)
    with pytest.raises(ValueError, match=r"embryo\.h5: no data set 'nuclei'.*label, other, raw"):
        one(tmp_path, image_key="nuclei")


@pytest.mark.parametrize(
    ("array", "suffix", "channels"),
    [
        (RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8), ".png", 3),
        (RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8), ".jpg", 3),
        (RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8), ".png", 3),  # RGBA: without alpha
        (RNG.integers(0, 4000, (20, 30), dtype=np.uint16), ".png", 1),
        (RNG.normal(0, 9, (20, 30)).astype(np.float32), ".tif", 1),
        (RNG.integers(0, 4000, (3, 20, 30), dtype=np.uint16), ".npy", 3),  # the label map is 2D: channels
    ],
    ids=["rgb", "jpeg", "rgba", "16 bit", "float", "channels first"],
)
def test_kinds_of_images(tmp_path, array, suffix, channels):
    write_pair(tmp_path / "train", "a", array, suffix=suffix)
    image = one(tmp_path).image
    assert image.shape == (channels, 20, 30) and image.dtype == np.float32
    assert image.min() < 0.1 and 0.9 < image.max() <= 1


def test_three_slices_are_a_volume_if_the_label_map_is_one(tmp_path):
    write_pair(tmp_path / "train", "a", VOLUME[:3], CELLS[:3], ".npy", ".npy")
    assert one(tmp_path).image.shape == (1, 3, 20, 30)


def test_a_palette_is_colours_in_an_image_and_numbers_in_a_label_map(tmp_path):
    colours = RNG.permutation(768).astype(np.uint8)
    for kind in ("images", "labels"):
        palette = Image.fromarray(LABELS)
        palette.putpalette(colours.tobytes())
        (tmp_path / "train" / kind).mkdir(parents=True)
        palette.save(tmp_path / "train" / kind / "a.png")
    sample = one(tmp_path)
    assert np.array_equal(sample.labels, LABELS)
    expected = colours.reshape(256, 3)[LABELS].transpose(2, 0, 1)
    assert np.array_equal(np.round(sample.image * 255), expected)


@pytest.mark.parametrize("value", [70_000, 2**32 - 1])
def test_labels_beyond_16_bits(tmp_path, value):
    labels = np.where(LABELS == 7, np.uint32(value), LABELS)
    write_pair(tmp_path / "train", "a", labels=labels, label_suffix=".tif")
    assert set(np.unique(one(tmp_path).labels)) == {0, 3, value}


def test_one_object_may_fill_the_image(tmp_path):
    write_pair(tmp_path / "train", "a", labels=np.full_like(LABELS, 1))
    assert (one(tmp_path).labels == 1).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"background": 0}, {0: 0, 3: 3, 7: 7}),
        ({"background": None, "unlabeled": 0}, {0: -1, 3: 3, 7: 7}),
        ({"background": 7, "unlabeled": 0}, {0: -1, 3: 3, 7: 0}),
    ],
)
def test_the_user_says_what_a_value_means(tmp_path, options, expected):
    write_pair(tmp_path / "train", "a")
    labels = one(tmp_path, **options).labels
    assert {value: np.unique(labels[LABELS == value]).tolist() for value in (0, 3, 7)} == {
        value: [meaning] for value, meaning in expected.items()
    }


def test_what_0_means_must_be_said(tmp_path):
    write_pair(tmp_path / "train", "a")
    with pytest.raises(ValueError, match=r"a\.png: label values 0 are below 1.*say which"):
        one(tmp_path, background=None)


def test_voxel_size(tmp_path):
    write_pair(tmp_path / "train", "a", VOLUME, CELLS, ".tif", ".tif")
    assert one(tmp_path, voxel_size=[2, 0.5, 0.5]).voxel_size == (2.0, 0.5, 0.5)
    for wrong in ((0.5, 0.5), (1,), (0, 1, 1), (float("nan"), 1, 1)):
        with pytest.raises(ValueError, match="voxel_size: found"):
            one(tmp_path, voxel_size=wrong)


# ---------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("labels", "suffix", "message"),
    [
        (RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8), ".png", "so colours"),
        (LABELS, ".jpg", "JPEG changes values"),
        (LABELS.astype(np.int16) - 1, ".tif", "label values -1 are below 1"),
        (np.where(LABELS == 7, np.nan, LABELS), ".npy", "NaN"),
        (LABELS * np.float32(0.5), ".tif", "fractions"),
        (LABELS * 0, ".png", "no object is labelled"),
        (LABELS[:, :20], ".png", r"shape \(1, 20, 30\) does not fit \(20, 20\) of its label map"),
        (LABELS.T, ".png", r"shape \(1, 20, 30\) does not fit \(30, 20\) of its label map"),
        (CELLS, ".tif", r"a picture has 2 axes, expected 3; .* \(its label map, .*, has shape \(5, 20, 30\)\)"),
    ],
)
def test_label_maps_that_cannot_be_meant(tmp_path, labels, suffix, message):
    write_pair(tmp_path / "train", "a", labels=labels, label_suffix=suffix)
    with pytest.raises(ValueError, match=message) as error:
        one(tmp_path)
    assert str(tmp_path / "train" / "labels" / f"a{suffix}") in str(error.value)


def test_nan_in_an_image(tmp_path):
    write_pair(tmp_path / "train", "a", np.where(LABELS == 7, np.nan, 1.0), suffix=".npy")
    with pytest.raises(ValueError, match=r"images/a\.npy: 104 values are NaN"):
        one(tmp_path)


@pytest.mark.parametrize("kind", ["images", "labels"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".h5", ".npy"])
@pytest.mark.parametrize("share", [0, 0.2, 0.6])
def test_truncated_files(tmp_path, kind, suffix, share):
    write_pair(tmp_path / "train", "a", suffix=suffix, label_suffix=suffix)
    path = tmp_path / "train" / kind / f"a{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{kind}/a{suffix}: cannot be read"):
        one(tmp_path)


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_duplicate_names(tmp_path, kind):
    write_pair(tmp_path / "train", "a")
    write(tmp_path / "train" / kind / "a.tif", LABELS)
    with pytest.raises(ValueError, match=rf"{kind}/a\.tif: same name as .*{kind}/a\.png"):
        one(tmp_path)


@pytest.mark.parametrize(("kind", "other"), [("images", "labels"), ("labels", "images")])
def test_missing_partners_are_listed(tmp_path, kind, other):
    for name in "abc":
        write_pair(tmp_path / "train", name)
    for name in "bc":
        (tmp_path / "train" / kind / f"{name}.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"train/{kind}: no file for b, c \(2 of 3\)"):
        folder.read("train", path=tmp_path)
    (tmp_path / "train" / kind / "a.png").unlink()
    with pytest.raises(ValueError, match=rf"train/{kind}: no file that can be read"):
        folder.read("train", path=tmp_path)
    (tmp_path / "train" / kind).rmdir()
    with pytest.raises(FileNotFoundError, match=rf"train/{kind}: no such folder"):
        folder.read("train", path=tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        folder.read("train", path=tmp_path / "nowhere")


def test_other_files_are_passed_over(tmp_path):
    write_pair(tmp_path / "train", "a")
    for name in (".DS_Store", "._a.png", "notes.txt", "Thumbs.db"):
        (tmp_path / "train" / "images" / name).write_text("")
    assert folder.read("train", path=tmp_path).names == ["a"]
