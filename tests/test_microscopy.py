"""The microscopy sets: small files in their owners' layouts, the splits, and the real files where they are."""

import hashlib
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from spoco_lite.data import paths
from spoco_lite.data.files import read_array
from spoco_lite.data.sets import bbbc038, bbbc050, ovules, vnc
from spoco_lite.data.splits import split_names

RNG = np.random.default_rng(0)
SUMS = {  # of each set's SHA256SUMS, which holds those of its splits
    "bbbc038": "32396c8c869ee51b025119a6ebdb8b092d71b9b1caccd0f0209f4d592695311a",
    "bbbc050": "a7a5c38966b4c6cd535c67a5e407c0ab6d8201daba09d08f5a7c278b46a81bdd",
    "ovules": "be450a643b9fd1193c98cdc6c9a92594497e81e1d767d3869c213bad13c667de",
    "ovules-cells": "0bed903dafc43102d0aaf96de404afbc12201fffbf893ea5164a691817328f80",
    "vnc": "6ac6e214fd17a6308b0775a7728e58e7368721535b303f5fa80ab6bd536c0a3d",
}


def names_of(dataset):
    files = (paths.shipped() / "splits" / dataset).glob("*.txt")
    return {split: split_names(dataset, split) for split in sorted(file.stem for file in files)}


@pytest.mark.parametrize("dataset", SUMS)
def test_splits_stay_as_they_are_and_share_no_image(dataset):
    listed = (paths.shipped() / "splits" / dataset / "SHA256SUMS").read_bytes()
    assert hashlib.sha256(listed).hexdigest() == SUMS[dataset]
    assert {f"{split}.txt" for split in names_of(dataset)} == set(listed.decode().split()[1::2])
    names = [name for split in names_of(dataset).values() for name in split]
    assert len(names) == len(set(names)) > 0


def test_no_embryo_and_no_slice_is_in_two_splits():
    embryos = {k: {name.split("_")[0] for name in split} for k, split in names_of("bbbc050").items()}
    assert sum(map(len, embryos.values())) == len(set.union(*embryos.values())) == 13
    assert embryos["val"] == {"train/Emb05", "train/Emb07"} and embryos["test"] == {"test/Emb1", "test/Emb2"}
    assert names_of("vnc") == {"train": ["z00-15"], "test": ["z16-19"]}


# ---------------------------------------------------------------------- files made here


def write_nuclei(folder, name="a1", shape=(20, 30)):
    """One image of BBBC038: RGBA, and three masks, of which the second overlaps the first."""
    rgba = RNG.integers(0, 255, (*shape, 4), dtype=np.uint8)
    masks = np.zeros((3, *shape), np.uint8)
    masks[0, 2:9, 2:9] = masks[1, 8:14, 4:12] = masks[2, 15:, 20:] = 255
    for kind in ("images", "masks"):
        (folder / name / kind).mkdir(parents=True)
    Image.fromarray(rgba).save(folder / name / "images" / f"{name}.png")
    for letter, mask in zip("cab", masks[[2, 0, 1]]):
        Image.fromarray(mask).save(folder / name / "masks" / f"{letter}.png")
    return rgba, masks > 0


def write_embryo(folder, name="train/Emb01_t401", shape=(5, 9, 8), low=100):
    """One volume of BBBC050, 16 bits; two nuclei."""
    raw = low + RNG.integers(0, 500, shape).astype(np.uint16)
    labels = np.zeros(shape, np.uint8)
    labels[1:3, 2:5, 2:5], labels[3:, 5:, 5:] = 1, 2
    part, stem = name.split("/")
    for kind, array in (("images", raw), ("labels", labels)):
        (folder / part / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / part / kind / f"{stem}.tif", array)
    return raw, labels


def write_ovule(folder, name="1135_mini", shape=(4, 6, 7), size=(0.28, 0.13, 0.13)):
    raw, label = RNG.integers(0, 256, shape, dtype=np.uint8), RNG.integers(0, 400, shape, dtype=np.uint16)
    label[0] = 0
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / f"{name}.h5", "w") as file:
        for key, array in (("raw", raw), ("label", label)):
            file[key] = array
            if size:
                file[key].attrs["element_size_um"] = size
    return raw, label


def write_stack(folder, marked):
    """Slices of VNC with the given marks (Z, Y, X)."""
    raw = RNG.integers(0, 256, marked.shape, dtype=np.uint8)
    for kind, suffix, stack in (("raw", "tif", raw), ("mitochondria", "png", marked)):
        (folder / "stack1" / kind).mkdir(parents=True, exist_ok=True)
        for z, one in enumerate(stack):
            Image.fromarray(one).save(folder / "stack1" / kind / f"{z:02d}.{suffix}")
    return raw


@pytest.mark.parametrize("zipped", [False, True])
def test_one_file_per_nucleus_unpacked_or_in_the_archive(tmp_path, zipped):
    rgba, masks = write_nuclei(tmp_path / "unpacked")
    if zipped:
        shutil.make_archive(tmp_path / "stage1_train", "zip", tmp_path / "unpacked")
    s = bbbc038.read_nuclei(tmp_path if zipped else tmp_path / "unpacked", "a1")
    assert np.array_equal(np.round(s.image * 255), rgba[..., :3].transpose(2, 0, 1))
    expected = np.zeros((20, 30), int)
    for number, mask in (
        (2, masks[1]),
        (1, masks[0]),
        (3, masks[2]),
    ):  # the first file wins where two overlap
        expected[mask] = number
    assert np.array_equal(s.labels, expected) and s.labels.dtype == np.int64
    if zipped:
        with pytest.raises(FileNotFoundError, match=r"stage1_train\.zip/b2/images/b2\.png: no such file"):
            bbbc038.read_nuclei(tmp_path, "b2")


def test_damaged_nuclei_are_named(tmp_path):
    write_nuclei(tmp_path)
    Image.new("L", (30, 21)).save(tmp_path / "a1" / "masks" / "d.png")
    with pytest.raises(ValueError, match=r"d\.png: size \(21, 30\) differs from the image's \(20, 30\)"):
        bbbc038.read_nuclei(tmp_path, "a1")
    shutil.rmtree(tmp_path / "a1" / "masks")
    with pytest.raises(ValueError, match=r"a1\.png: no nucleus"):
        bbbc038.read_nuclei(tmp_path, "a1")
    (tmp_path / "stage1_train.zip").write_bytes(b"PK\3\4 cut")
    with pytest.raises(ValueError, match=r"stage1_train\.zip: not a readable zip file .* fetch bbbc038"):
        bbbc038.read_nuclei(tmp_path, "b2")


def test_each_embryo_is_scaled_by_itself(tmp_path):
    low, high = (write_embryo(tmp_path, name, low=low) for name, low in (("train/a", 90), ("test/a", 1700)))
    for name, (raw, labels) in (("train/a", low), ("test/a", high)):
        s = bbbc050.read_embryo(tmp_path, name)
        bounds = np.percentile(raw, (0.1, 99.9))
        assert s.image[0] == pytest.approx(np.clip((raw - bounds[0]) / np.ptp(bounds), 0, 1), abs=1e-5)
        assert np.array_equal(s.labels, labels) and s.voxel_size == (1.75, 0.8, 0.8) and s.name == name


def test_damaged_embryos_are_named(tmp_path):
    write_embryo(tmp_path)
    path = tmp_path / "train" / "labels" / "Emb01_t401.tif"
    for wrong, message in ((np.ones((6, 9, 8)), r"size \(6, 9, 8\)"), (np.zeros((5, 9, 8)), "no nucleus")):
        tifffile.imwrite(path, wrong)
        with pytest.raises(ValueError, match=rf"labels/Emb01_t401\.tif: {message}"):
            bbbc050.read_embryo(tmp_path, "train/Emb01_t401")


@pytest.mark.parametrize(("target", "zero"), [("nuclei", 0), ("cells", -1)])
def test_ovules_have_their_own_voxel_size(tmp_path, target, zero):
    raw, label = write_ovule(tmp_path)
    s = ovules.read_crop(tmp_path, "1135_mini", target=target)
    assert np.array_equal(np.round(s.image[0] * 255), raw) and s.voxel_size == (0.28, 0.13, 0.13)
    assert np.array_equal(s.labels, np.where(label == 0, zero, label.astype(int)))


def test_ovules_without_voxel_size_target_or_split(tmp_path, monkeypatch):
    write_ovule(tmp_path / "ovules", size=None)
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"1135_mini\.h5: raw has no attribute element_size_um"):
        ovules.read("train")[0]
    with pytest.raises(ValueError, match="target: found 'cell'; give one of nuclei, cells"):
        ovules.read("train", target="cell")
    with pytest.raises(ValueError, match="ovules has no split 'val'; it has: train, test"):
        ovules.read("val")


def test_mitochondria_are_components_of_voxels_that_share_a_face(tmp_path):
    marked = np.zeros((6, 12, 10), np.uint8)
    marked[0:4, 1:3, 1:3] = [[[255]], [[1]], [[255]], [[90]]]  # one object, marked in several grey levels
    marked[1:3, 3, 3] = marked[2:, 8:, 8:] = 255  # the first touches the object above by an edge only
    raw = write_stack(tmp_path, marked)
    whole, part = (vnc.read_slab(tmp_path, name) for name in ("z00-05", "z03-05"))
    assert [len(np.unique(s.labels)) - 1 for s in (whole, part)] == [3, 2]
    assert np.array_equal(whole.labels > 0, marked > 0) and np.array_equal(part.labels > 0, marked[3:] > 0)
    assert np.array_equal(np.round(part.image[0] * 255), raw[3:]) and part.voxel_size == (
        0.0475,
        0.0046,
        0.0046,
    )
    Image.new("L", (10, 11)).save(tmp_path / "stack1" / "mitochondria" / "04.png")
    with pytest.raises(ValueError, match=r"mitochondria/04\.png: size \(11, 10\), but the first .*\(12, 10\)"):
        vnc.read_slab(tmp_path, "z00-05")
    write_stack(tmp_path, marked * 0)
    with pytest.raises(ValueError, match="mitochondria: none in slices 0 to 5"):
        vnc.read_slab(tmp_path, "z00-05")


@pytest.mark.parametrize("module", [bbbc038, bbbc050, ovules, vnc])
def test_without_the_data_the_user_is_told_what_to_do(module, tmp_path, monkeypatch):
    monkeypatch.setenv("SPOCO_DATA", str(tmp_path))
    monkeypatch.setattr(paths, "shipped", lambda: tmp_path)
    monkeypatch.setattr(paths.pooch, "os_cache", lambda name: tmp_path)
    with pytest.raises(FileNotFoundError, match="python -m spoco_lite data fetch .* SPOCO_DATA"):
        module.read("train")


# ---------------------------------------------------------------------- the real files


def real(folder):
    if not (Path(os.environ.get("SPOCO_DATA", "nowhere")) / folder).is_dir():
        pytest.skip(f"the real {folder} is not here (SPOCO_DATA)")


def test_no_nucleus_on_a_seam_is_in_two_splits():
    real("bbbc038")
    named = [(split, name) for split, names in names_of("bbbc038").items() for name in names]
    files = [bbbc038._files(paths.find("bbbc038", how=""), name)[0] for _, name in named]
    images = [read_array(file)[..., 0].astype(float) for file in files]
    for size in (256, 360):
        splits = np.array([split for (split, _), image in zip(named, images) if len(image) == size])
        here = np.stack([image for image in images if len(image) == size])
        for one, other in ((here[:, :, -1], here[:, :, 0]), (here[:, -1], here[:, 0])):
            logs = [np.log(border + 2) - np.log(border + 2).mean(1, keepdims=True) for border in (one, other)]
            first, second = (log / np.linalg.norm(log, axis=1, keepdims=True) for log in logs)
            close = np.abs(one[:, None] - other[None]).mean(2) < 0.35 * one.std(1)[:, None]
            a, b = np.nonzero((first @ second.T > 0.85) & close & (one.std(1)[:, None] > 1) & (other.std(1) > 1))
            assert len(a) > 3 and (splits[a] == splits[b]).all()


@pytest.mark.parametrize(
    ("module", "options", "split", "count", "name", "shape", "objects"),
    [
        (bbbc038, {}, "train", 100, None, (3, 256, 256), None),
        (bbbc050, {}, "train", 18, "train/Emb01_t401", (1, 51, 124, 127), 25),
        (bbbc050, {}, "val", 4, "train/Emb05_t401", (1, 51, 133, 120), 23),
        (bbbc050, {}, "test", 6, "test/Emb1_t301", (1, 51, 114, 112), 8),
        (ovules, {}, "train", 1, "1135_mini", (1, 100, 100, 100), 54),
        (ovules, {}, "test", 1, "1136_mini", (1, 100, 100, 100), 32),
        (ovules, {"target": "cells"}, "test", 1, "sample_ovule", (1, 32, 128, 128), 50),
        (vnc, {}, "train", 1, "z00-15", (1, 16, 1024, 1024), 42),
        (vnc, {}, "test", 1, "z16-19", (1, 4, 1024, 1024), 24),
    ],
)
def test_real_files(module, options, split, count, name, shape, objects):
    real(module.__name__.split(".")[-1])
    samples = module.read(split, **options)
    assert len(samples) == count
    s = samples[0]
    assert s.name == (name or s.name) and s.image.shape == shape and s.labels.shape == shape[1:]
    assert s.image.dtype == np.float32 and 0 <= s.image.min() < s.image.max() <= 1
    found = np.unique(s.labels[s.labels > 0])
    assert len(found) == objects if objects else len(found) >= 8
    assert (s.voxel_size is None) == (module is bbbc038)
