"""Files that look like an image and are something else: read right, or refused with the file and what to do."""

import os
import time
import warnings

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from spoco_lite.data.files import as_image, as_labels, files_of, open_array, read_array
from spoco_lite.prediction.stream import LazyImage

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
STACK = RNG.integers(0, 256, (3, 20, 30), dtype=np.uint8)


def image_of(path, ndim=2):
    """By both ways, which must agree."""
    whole, lazy = as_image(read_array(path, ndim=ndim), path, ndim=ndim), LazyImage(path, ndim=ndim)[...]
    assert np.allclose(whole, lazy, atol=1e-6)
    return whole


# ---------------------------------------------------------------------- TIFF


def test_inverted_grey_is_turned_back(tmp_path):
    for name, array in (("8", GREY), ("16", GREY.astype(np.uint16)), ("s", GREY.astype(np.int16) - 9), ("1", GREY > 9)):
        tifffile.imwrite(tmp_path / "white.tif", array, photometric="miniswhite")
        tifffile.imwrite(tmp_path / "black.tif", ~array, photometric="minisblack")
        assert np.allclose(image_of(tmp_path / "white.tif"), image_of(tmp_path / "black.tif")), name
        assert np.array_equal(read_array(tmp_path / "white.tif"), array)  # label maps keep their numbers
    tifffile.imwrite(tmp_path / "white.tif", -GREY.astype(np.float32), photometric="miniswhite")
    assert np.allclose(image_of(tmp_path / "white.tif"), as_image(GREY.astype(np.float32), "", ndim=2))


def test_a_palette_gives_its_colours_and_of_labels_the_numbers(tmp_path):
    colours = RNG.integers(0, 256, (3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "p.tif", GREY, photometric="palette", colormap=colours * 257)
    assert np.allclose(image_of(tmp_path / "p.tif"), colours[:, GREY] / 255)
    assert np.array_equal(read_array(tmp_path / "p.tif"), GREY)


@pytest.mark.parametrize("kind", ["separated", "cielab"])
def test_other_colours_are_refused(tmp_path, kind):
    cmyk = RNG.integers(0, 256, (20, 30, 4 if kind == "separated" else 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", cmyk, photometric=kind)
    for read in (read_array, open_array):
        with pytest.raises(ValueError, match=f"a.tif: found colours of kind {kind.upper()}; convert the image to RGB"):
            read(tmp_path / "a.tif", ndim=2)


PAGES = {
    "three pages": ({"photometric": "minisblack"}, 2),
    "three pages of ImageJ": ({"imagej": True, "metadata": {"axes": "ZYX"}}, 2),
    "three frames": ({"imagej": True, "metadata": {"axes": "TYX"}}, 2),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_no_colours(tmp_path, name):
    options, ndim = PAGES[name]
    tifffile.imwrite(tmp_path / "a.tif", STACK, **options)
    for read in (read_array, open_array):
        with pytest.raises(ValueError, match="a.tif: found 3 axes besides colours .* expected 2.*'axes': 'CYX'"):
            read(tmp_path / "a.tif", ndim=ndim)
    assert image_of(tmp_path / "a.tif", ndim=3).shape == (1, 3, 20, 30)


@pytest.mark.parametrize("options", [{"metadata": {"axes": "CYX"}}, {"imagej": True, "metadata": {"axes": "CYX"}}])
def test_channels_that_are_named_are_channels(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", **options)
    assert image_of(tmp_path / "a.tif").shape == (3, 20, 30)


def test_images_of_several_shapes_in_one_file_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[:9])
    with pytest.raises(ValueError, match=r"a.tif: holds 2 images, of shapes \(20, 30\), \(9, 30\); save each"):
        read_array(tmp_path / "a.tif")


def test_a_picture_is_no_volume(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    with pytest.raises(ValueError, match="a.png: a picture has 2 axes, expected 3"):
        LazyImage(tmp_path / "a.png", ndim=3)
    with pytest.raises(ValueError, match="a.tif: found 2 axes besides colours .* expected 3"):
        LazyImage(tmp_path / "a.tif", ndim=3)


# ---------------------------------------------------------------------- PNG and JPEG


def test_a_photograph_is_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert np.array_equal(read_array(tmp_path / "a.png"), np.rot90(RGB, -1))
    assert read_array(tmp_path / "a.jpg").shape == (30, 20, 3)


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="a.png: holds 2 frames; save each"):
        read_array(tmp_path / "a.png")


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "float64"])
@pytest.mark.parametrize("offset", [0, 2**30, 2**52])
def test_contrast_is_kept_however_large_the_numbers_are(tmp_path, dtype, offset):
    if dtype == "int32" and offset > 2**31:
        pytest.skip("no such number")
    np.save(tmp_path / "a.npy", (GREY.astype(dtype) + np.array(offset, dtype)))
    assert np.allclose(image_of(tmp_path / "a.npy"), as_image(GREY.astype(np.float32), "", ndim=2), atol=1e-6)


def test_numbers_from_end_to_end(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[-(2**63), 0, 2**63 - 1]]))
    assert np.allclose(image_of(tmp_path / "a.npy"), [[[0, 0.5, 1]]], atol=2e-3)
    np.save(tmp_path / "a.npy", np.array([[0.0, np.nan, 1.0]]))
    with pytest.raises(ValueError, match="a.npy: 1 values are NaN or infinite"):
        as_image(np.load(tmp_path / "a.npy"), tmp_path / "a.npy", ndim=2)
    with pytest.raises(ValueError, match=r"a.npy: holds NaN or infinity, the first at \(y, x\) = \(0, 1\)"):
        LazyImage(tmp_path / "a.npy", ndim=2)


def test_labels_beyond_63_bits_are_refused():
    with pytest.raises(ValueError, match="the largest that fits"):
        as_labels(np.array([[2**63 + 5]], np.uint64), "a.tif")


# ---------------------------------------------------------------------- what is not there


@pytest.mark.parametrize("chunks", [None, (100, 100, 100)])
def test_an_array_that_was_declared_and_never_written(tmp_path, chunks):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (10_000,) * 3, np.uint8, chunks=chunks)
    start = time.perf_counter()
    for read in (read_array, open_array):
        with pytest.raises(ValueError, match=r"a.h5: .*raw declares \(10000, 10000, 10000\), and 0 of"):
            read(tmp_path / "a.h5")
    assert time.perf_counter() - start < 10


def test_chunks_that_are_missing_are_said(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (8, 8), np.uint8, chunks=(4, 4))[:4] = 1
    array = zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), chunks=(4, 4), dtype="uint8")
    array[:4] = 1
    for name in ("a.h5", "a.zarr"):
        with pytest.warns(UserWarning, match=f"{name}: 2 of 4 chunks are not stored and read as 0"):
            read_array(tmp_path / name)
    array[...] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_array(tmp_path / "a.zarr")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy", "a.h5"])
def test_a_pipe_or_a_folder_is_no_file(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / f"folder.{name}").mkdir()
    for path in (tmp_path / name, tmp_path / f"folder.{name}"):
        with pytest.raises(ValueError, match=f"{name}: not a file"):
            read_array(path)
    assert set(files_of(tmp_path)) == {"a", "folder.a"}
