"""Reading files of the kinds that people have, and of the kinds that go wrong."""

import sys

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from spoco_lite.data.files import as_image, as_labels, open_array, read_array

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
DEEP = RNG.integers(0, 4000, (20, 30), dtype=np.uint16)
RGBA = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
VOLUME = RNG.integers(0, 4000, (7, 20, 30), dtype=np.uint16)
WAYS = [read_array, open_array]


def write(path, array, **options):
    """A file of the kind that its ending names."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("inside/raw", data=array, **options)
    elif path.suffix == ".zarr":
        zarr.open_group(str(path), mode="w").create_group("inside").create_array("raw", data=array)
    elif path.suffix in (".tif", ".TIFF"):
        tifffile.imwrite(path, array, **options)
    else:
        Image.fromarray(array).save(path, **options)
    return path


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize(
    ("name", "array", "options"),
    [
        ("grey.png", GREY, {}),
        ("rgba.png", RGBA, {}),
        ("rgb.PNG", RGBA[..., :3], {}),
        ("deep.png", DEEP, {}),
        ("one.png", GREY > 99, {}),
        ("pages.tif", VOLUME, {}),
        ("tiles.TIFF", VOLUME, {"tile": (16, 16)}),
        ("packed.tif", VOLUME, {"compression": "zlib"}),
        ("float.tif", VOLUME.astype(np.float32), {"metadata": None}),
        ("volume.npy", VOLUME, {}),
        ("volume.h5", VOLUME, {}),
        ("volume.zarr", VOLUME, {}),
    ],
)
def test_what_is_written_is_read(tmp_path, read, name, array, options):
    found = read(write(tmp_path / name, array, **options))
    assert found.dtype == array.dtype and np.array_equal(found[...], array)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.npy", "memmap"), ("a.tif", "memmap"), ("a.h5", "Dataset"), ("a.zarr", "Array")]
)
def test_large_files_are_opened_without_reading(tmp_path, name, kind):
    assert type(open_array(write(tmp_path / name, VOLUME))).__name__ == kind


def test_a_palette_gives_indices_or_colours(tmp_path):
    indices = RNG.integers(0, 5, (20, 30), dtype=np.uint8)
    colours = RNG.permutation(256).astype(np.uint8).repeat(3)
    image = Image.fromarray(indices, "P")
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "p.png")
    assert np.array_equal(read_array(tmp_path / "p.png"), indices)
    assert np.array_equal(read_array(tmp_path / "p.png", ndim=2)[..., 0], colours[::3][indices])


def test_cmyk_jpeg_gives_rgb(tmp_path):
    Image.new("CMYK", (30, 20), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    found = read_array(tmp_path / "red.jpg")
    assert found.shape == (20, 30, 3) and found[..., 0].min() > 200 > 50 > found[..., 1:].max()


@pytest.mark.parametrize("read", WAYS)
def test_channels_of_imagej_come_first(tmp_path, read):
    zcyx = RNG.integers(0, 99, (7, 2, 20, 30), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "two.tif", zcyx, imagej=True, metadata={"axes": "ZCYX"})
    found = read(tmp_path / "two.tif")
    assert np.array_equal(found, zcyx.transpose(1, 0, 2, 3))
    assert as_image(found, "two.tif", ndim=3).shape == (2, 7, 20, 30)


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize("keep", [0, 4, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", "a.png a.jpg a.tif pages.tif imagej.tif packed.tif a.npy a.h5".split())
def test_truncated_files_are_named(tmp_path, read, name, keep):
    options = {"pages": {"metadata": None}, "imagej": {"imagej": True}, "packed": {"compression": "zlib"}}
    array = GREY if name in ("a.png", "a.jpg") else VOLUME
    path = write(tmp_path / name, array, **options.get(name.split(".")[0], {}))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=rf"{name}: cannot be read \(.*Copy or unpack it again"):
        read(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.h5"])
def test_web_pages_saved_as_images_are_named(tmp_path, name):
    (tmp_path / name).write_text("<html>Please log in to download this file</html>")
    with pytest.raises(ValueError, match=rf"{name}: cannot be read"):
        read_array(tmp_path / name)


@pytest.mark.parametrize("read", WAYS)
def test_missing_files_and_unknown_endings(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"a\.png: no such file"):
        read(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.czi: ending '\.czi' is not known; convert to one of \.png, "):
        read(tmp_path / "a.czi")


@pytest.mark.parametrize("name", ["a.h5", "a.zarr"])
def test_keys(tmp_path, name):
    path = write(tmp_path / name, VOLUME)
    assert read_array(path, key="inside/raw").shape == VOLUME.shape
    with pytest.raises(ValueError, match="no data set 'label'; give as key one of .*: inside/raw$"):
        read_array(path, key="label")
    other = h5py.File(path, "a") if name == "a.h5" else zarr.open_group(str(path))
    other["label"] = VOLUME
    assert np.array_equal(read_array(path, key="/label"), VOLUME)
    with pytest.raises(ValueError, match="no key was given; .*: (inside/raw, label|label, inside/raw)$"):
        read_array(path)


def test_zarr_is_optional(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zarr", VOLUME)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ValueError, match=r"a\.zarr: .*pip install 'zarr>=3'"):
        read_array(path)


# ---------------------------------------------------------------------- images


@pytest.mark.parametrize("ndim", [2, 3])
def test_eight_bits_keep_their_scale(ndim):
    grey = GREY if ndim == 2 else np.stack([GREY, GREY])
    rgba = np.stack([grey, 255 - grey, grey // 2, grey], -1)
    assert np.array_equal(as_image(grey, "a", ndim=ndim), grey[None] / np.float32(255))
    image = as_image(rgba, "a", ndim=ndim)
    assert np.array_equal(image, np.moveaxis(rgba[..., :3], -1, 0) / np.float32(255))
    assert image.flags.c_contiguous and image.dtype == np.float32
    assert np.array_equal(as_image(rgba[..., 2:], "a", ndim=ndim), image[2:])  # grey and alpha
    assert np.array_equal(as_image(grey > 99, "a", ndim=ndim), (grey > 99)[None])
    assert np.array_equal(as_image(np.moveaxis(rgba, -1, 0), "a", ndim=ndim)[:3], image)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_other_types_are_scaled_by_their_percentiles(dtype):
    ramp = np.arange(100, 3100).reshape(50, 60).astype(dtype)
    before = ramp.copy()
    image = as_image(ramp, "a", ndim=2)
    low, high = 100 + 0.001 * 2999, 100 + 0.999 * 2999
    assert image[0] == pytest.approx(np.clip((before - low) / (high - low), 0, 1), abs=1e-5)
    assert np.array_equal(ramp, before)
    both = as_image(np.stack([ramp, ramp * 7 + 5]), "a", ndim=2)  # channels of other ranges
    assert both[1] == pytest.approx(image[0], abs=1e-5)


def test_flat_and_almost_flat_images():
    flat = np.full((50, 60), 700, np.uint16)
    assert not as_image(flat, "a", ndim=2).any()
    flat[3, 4] = 900
    assert as_image(flat, "a", ndim=2).sum() == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, np.nan], [np.inf, 0]]), "2 values are NaN or infinite"),
        (np.zeros((5, 9, 8, 7)), r"found shape \(5, 9, 8, 7\); an image of 2 axes"),
        (np.zeros((0, 9)), r"found shape \(0, 9\); the image is empty"),
        (np.array([["a"]]), "found values of type <U1"),
    ],
)
def test_images_that_are_none(array, message):
    with pytest.raises(ValueError, match=rf"cells\.tif: {message}"):
        as_image(array, "cells.tif", ndim=2)


# ---------------------------------------------------------------------- label maps


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 9, 100]),
        ({"background": None, "unlabeled": 0}, [-1, 1, 9, 100]),
        ({"background": 1, "unlabeled": 0}, [-1, 0, 9, 100]),
        ({"background": 0, "unlabeled": 100}, [0, 1, 9, -1]),
    ],
)
def test_the_user_says_what_values_mean(dtype, options, expected):
    labels = as_labels(np.array([[0, 1, 9, 100]] * 2, dtype), "a", **options)
    assert labels.dtype == np.int64 and labels.tolist() == [expected] * 2


def test_minus_one_bools_and_large_numbers():
    assert as_labels(np.array([[-1, 0, 3]]), "a", unlabeled=-1).tolist() == [[-1, 0, 3]]
    assert as_labels(np.array([[False, True]]), "a").tolist() == [[0, 1]]
    sparse = np.array([[0, 70_000, 2**40, 2**63 - 1]], np.uint64)
    assert as_labels(sparse, "a").tolist() == sparse.tolist()


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.array([[0, -1, -7]]), {}, r"label values -7, -1 are below 1, and neither background \(0\) nor"),
        (np.array([[0, 1]]), {"background": None}, r"label values 0 are below 1"),
        (np.array([[0, 1]]), {"background": 255}, r"label values 0 are below 1, .* background \(255\)"),
        (np.array([[0, 1.5]]), {}, "label values are fractions, NaN or infinite"),
        (np.array([[0, np.nan]]), {}, "label values are fractions, NaN or infinite"),
        (np.array([[0, 2**63]], np.uint64), {}, "label values up to 9223372036854775808"),
        (np.array([[0, 1e30]]), {}, "label values up to 1000000000000000019884624838656"),
        (RGBA, {}, r"found shape \(20, 30, 4\), so colours; a label map needs one number per pixel"),
        (np.array([["a", "b"]]), {}, r"found shape \(1, 2\) of type <U1"),
    ],
)
def test_label_maps_that_are_none(array, options, message):
    with pytest.raises(ValueError, match=rf"cells\.tif: {message}"):
        as_labels(array, "cells.tif", **options)


def test_jpeg_labels_and_double_meaning_are_refused():
    with pytest.raises(ValueError, match=r"cells\.jpg: JPEG changes values"):
        as_labels(GREY, "cells.jpg")
    with pytest.raises(ValueError, match="background and unlabeled: both are 0"):
        as_labels(GREY, "cells.png", unlabeled=0)


def test_the_advice_for_colour_coded_labels_works():
    colours = np.array([[[0, 0, 0], [255, 0, 0]], [[0, 0, 255], [255, 0, 0]]], np.uint8)
    with pytest.raises(ValueError) as error:
        as_labels(colours, "cells.png")
    advice = str(error.value).split("object, ")[1].split(" numbers them")[0]
    assert eval(advice, {"np": np, "a": colours}).tolist() == [[0, 2], [1, 2]]
