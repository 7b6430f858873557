"""Splits, and the loader of the real leaves on small files in the owner's layout."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spoco_lite import data
from spoco_lite.data import paths, resize, splits
from spoco_lite.data.sets import cvppp, rosettes
from spoco_lite.data.splits import split_names

# ---------------------------------------------------------------------- names and splits


def test_no_image_is_in_two_splits():
    for names_of in (rosettes.SPLITS, {s: split_names("cvppp", s) for s in data.SPLITS}):
        names = [name for split in names_of.values() for name in split]
        assert len(names) == len(set(names)) > 0
        assert set(names_of) == set(data.SPLITS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cvpp", "train"), "data set: found 'cvpp'; known are .*cvppp, .*rosettes"),
        (("rosettes", "training"), "split: found 'training'; give one of train, val, test"),
        (("rosettes", "train", 0), "size: found 0"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    name, split, *size = arguments
    with pytest.raises(ValueError, match=message):
        data.load(name, split, **({"size": size[0]} if size else {}))


def test_split_files_are_those_of_the_release():
    folder = paths.shipped() / "splits" / "cvppp"
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {f"{split}.txt" for split in data.SPLITS}
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected


def test_a_changed_split_file_is_detected(tmp_path, monkeypatch):
    shipped = paths.shipped() / "splits" / "cvppp"
    folder = tmp_path / "splits" / "cvppp"
    folder.mkdir(parents=True)
    for file in shipped.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(splits, "shipped", lambda: tmp_path)
    train, test = split_names("cvppp", "train"), split_names("cvppp", "test")
    (folder / "train.txt").write_text("\n".join([*train, test[0]]) + "\n")
    with pytest.raises(ValueError, match=r"train\.txt: not the split file"):
        split_names("cvppp", "train")


# ---------------------------------------------------------------------- CVPPP, on files made here

SHAPE = (53, 50)


def write_plant(folder, name="plant002", seed=0):
    """Three files as the challenge gives them: RGBA image, palette label map, one-bit foreground."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rgba = rng.integers(0, 256, (*SHAPE, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:20, 5:20], labels[30:40, 10:45], labels[10:20, 30:40] = 1, 2, 11
    Image.fromarray(rgba).save(folder / f"{name}_rgb.png")
    palette = Image.fromarray(labels, "P")
    palette.putpalette(rng.permutation(768).astype(np.uint8).tobytes())  # colours that are not the leaf numbers
    palette.save(folder / f"{name}_label.png")
    Image.fromarray(labels > 0).save(folder / f"{name}_fg.png")
    return rgba, labels


@pytest.fixture
def plants(tmp_path, monkeypatch):
    """The folder of a tiny CVPPP of two plants in one split, and nothing anywhere else."""
    folder = tmp_path / "data" / "cvppp" / "training" / "A1"
    for seed, name in enumerate(("plant002", "plant005")):
        write_plant(folder, name, seed)
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(cvppp, "split_names", lambda dataset, split: ["plant002", "plant005"])
    monkeypatch.setattr(paths, "shipped", lambda: tmp_path / "nothing")
    monkeypatch.setattr(paths.pooch, "os_cache", lambda name: tmp_path / "nothing")
    return folder


def test_plants_are_read(plants):
    rgba, labels = write_plant(plants)
    samples = data.load("cvppp", "train")
    assert [s.name for s in samples] == ["plant002", "plant005"]
    s = samples[0]
    assert s.image.dtype == np.float32 and s.labels.dtype == np.int64 and s.foreground.dtype == bool
    assert np.array_equal(np.round(s.image * 255).astype(np.uint8), rgba[..., :3].transpose(2, 0, 1))
    assert np.array_equal(s.labels, labels)  # leaf numbers, not colours
    assert np.array_equal(s.foreground, labels > 0)


@pytest.mark.parametrize("size", [16, 64])
def test_resizing_keeps_leaves_and_mask_together(plants, size):
    (s, _), dense = data.load("cvppp", "train", size=size), cvppp.read_plant(plants, "plant002")
    assert s.image.shape == (3, size, size) and s.labels.shape == s.foreground.shape == (size, size)
    assert 0 <= s.image.min() and s.image.max() <= 1
    assert set(np.unique(s.labels)) == {0, 1, 2, 11}
    assert np.array_equal(s.foreground, s.labels > 0)
    for leaf in (1, 2, 11):
        share = (dense.labels == leaf).mean()
        assert (s.labels == leaf).mean() == pytest.approx(share, abs=0.03)


def test_resized_image_and_labels_stay_aligned(plants):
    """The picture of a leaf is brought to the same place as its label."""
    dense = cvppp.read_plant(plants, "plant002")
    drawn = dense._replace(image=np.repeat((dense.labels == 2)[None], 3, 0).astype(np.float32))
    for size in (31, 64, 97):
        s = resize(drawn, size)
        rows, columns = np.nonzero(s.labels == 2)
        weight = s.image[0] / s.image[0].sum()
        centre = (weight.sum(1) * np.arange(size)).sum(), (weight.sum(0) * np.arange(size)).sum()
        assert centre == pytest.approx((rows.mean(), columns.mean()), abs=0.5)


@pytest.mark.parametrize("size", [(8, 12, 10), (5, 30, 7), (16, 24, 40), (0.5, 0.5, 0.5), (1.0, 0.4, 2.0)])
def test_resized_volumes_stay_aligned_and_by_whole_factors_keep_their_mean(size):
    labels = np.zeros((8, 24, 20), np.int64)
    labels[2:6, 8:20, 4:12] = 1
    s = resize(data.Sample((labels[None] > 0).astype(np.float32), labels, "block"), size)
    shape = size if isinstance(size[0], int) else tuple(round(n * z) for n, z in zip(labels.shape, size))
    assert s.image.shape[1:] == s.labels.shape == shape
    if all(old % new == 0 or new % old == 0 for old, new in zip(labels.shape, shape)):  # else blocks overlap
        assert s.image.mean() == pytest.approx((labels > 0).mean(), rel=1e-5)
    for axis, n in enumerate(shape):
        others = tuple({0, 1, 2} - {axis})
        of_image, of_labels = (m.sum(others) / m.sum() @ (np.arange(n) + 0.5) / n for m in (s.image[0], s.labels))
        assert of_image == pytest.approx(of_labels, abs=0.5 / n)


def test_a_finer_pattern_than_the_new_voxels_becomes_grey():
    """Not every fourth voxel, which would be one stripe or the other."""
    image = np.zeros((1, 4, 32, 32), np.float32)
    image[..., ::2] = 1
    small = resize(data.Sample(image, np.zeros(image.shape[1:], np.int64), "stripes"), (1.0, 0.25, 0.25))
    assert small.image.shape == (1, 4, 8, 8) and np.allclose(small.image, 0.5)


def test_a_share_for_each_axis_is_asked_for():
    with pytest.raises(ValueError, match="rosette000: size: found .* the image has 2 axes"):
        data.load("rosettes", "train", size=(1.0, 0.5, 0.5))[0]


def test_without_the_data_the_user_is_told_what_to_do(plants, monkeypatch, tmp_path):
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="no folder 'cvppp'") as error:
        list(data.load("cvppp", "train"))
    for part in (str(tmp_path / "elsewhere" / "cvppp"), "plant-phenotyping.org", "SPOCO_DATA"):
        assert part in str(error.value)


@pytest.mark.parametrize("kind", ["rgb", "label", "fg"])
def test_missing_file(plants, kind):
    (plants / f"plant005_{kind}.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"plant005_{kind}\.png: missing"):
        list(data.load("cvppp", "train"))


def test_missing_folder_of_images(plants):
    for file in plants.iterdir():
        file.unlink()
    plants.rmdir()
    with pytest.raises(FileNotFoundError, match=r"A1/plant002_rgb\.png: missing"):
        list(data.load("cvppp", "train"))


@pytest.mark.parametrize("kind", ["rgb", "label", "fg"])
@pytest.mark.parametrize("keep", [0, 4, 12, 20, 40, 0.5, 0.7])
def test_truncated_file(plants, kind, keep):
    path = plants / f"plant005_{kind}.png"
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=rf"plant005_{kind}\.png: not a readable PNG"):
        list(data.load("cvppp", "train"))


def test_not_an_image(plants):
    (plants / "plant005_rgb.png").write_text("<html>Please log in</html>")
    with pytest.raises(ValueError, match=r"plant005_rgb\.png: not a readable PNG"):
        list(data.load("cvppp", "train"))


@pytest.mark.parametrize("kind", ["label", "fg"])
def test_sizes_that_differ(plants, kind):
    path = plants / f"plant005_{kind}.png"
    Image.open(path).crop((0, 0, 40, 53)).save(path)
    with pytest.raises(ValueError, match=rf"plant005_{kind}\.png: size \(53, 40\) differs .*\(53, 50\)"):
        list(data.load("cvppp", "train"))


def test_label_map_with_colours_instead_of_numbers(plants):
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(plants / "plant005_label.png")
    with pytest.raises(ValueError, match=r"plant005_label\.png: expected one number per pixel"):
        list(data.load("cvppp", "train"))


def test_no_leaf(plants):
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(plants / "plant005_label.png")
    with pytest.raises(ValueError, match=r"plant005_label\.png: no leaf"):
        list(data.load("cvppp", "train"))


# ---------------------------------------------------------------------- CVPPP, the real files


@pytest.fixture(scope="module")
def real():
    root = Path(os.environ.get("SPOCO_DATA", "nowhere")) / "cvppp"
    if not root.is_dir():
        pytest.skip("the real leaves are not here (SPOCO_DATA)")
    return root


def test_real_splits_are_those_that_came_with_the_files(real):
    given_splits = real / "split.json"
    if not given_splits.is_file():
        pytest.skip("no split.json beside the files")
    splits = json.loads(given_splits.read_text())
    for split in ("train", "val"):
        assert split_names("cvppp", split) == splits[split]


def test_real_files_of_the_training_and_validation_split_are_there(real):
    folder = real / "training" / "A1"
    for split, count in (("train", 88), ("val", 20)):
        names = split_names("cvppp", split)
        assert len(names) == count
        assert all((folder / f"{n}_{kind}.png").is_file() for n in names for kind in ("rgb", "label", "fg"))


def test_a_real_plant(real):
    name = split_names("cvppp", "val")[0]
    s = cvppp.read_plant(real / "training" / "A1", name)
    assert s.image.shape == (3, 530, 500)
    leaves = np.unique(s.labels)
    assert leaves.tolist() == list(range(len(leaves))) and 11 <= leaves[-1] <= 20
    assert np.array_equal(s.foreground, s.labels > 0)
