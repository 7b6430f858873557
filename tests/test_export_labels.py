"""``data export``: measurements, pixel sizes and outlines on the image; outlines as files are in test_import."""

import csv

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from spoco_lite.__main__ import main
from spoco_lite.data.files import read_array
from spoco_lite.data.label_files import made_from, write_labels
from spoco_lite.data.voxels import voxel_size


def test_volumes_are_measured_and_have_no_outlines(tmp_path, capsys):
    labels = np.zeros((3, 4, 5), np.int64)
    labels[1:, 1:3, 1:4] = 7
    np.save(tmp_path / "a.npy", labels)
    assert main(["data", "export", str(tmp_path / "a.npy"), str(tmp_path / "out")]) == 0
    (row,) = csv.DictReader((tmp_path / "out" / "measurements.csv").open())
    assert (row["label"], float(row["area"]), float(row["centroid-0"]), row["unit"]) == ("7", 12.0, 1.5, "pixel")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["measurements.csv"]


# ---------------------------------------------------------------------- pixel sizes, and the outlines on the image


def fiji(path, values, *, voxel):
    """A file as Fiji saves it, ``voxel`` in nanometres."""
    about = {"unit": "nm", "axes": "ZYX"[-values.ndim :]} | ({"spacing": voxel[0]} if values.ndim == 3 else {})
    tifffile.imwrite(path, values, imagej=True, resolution=(1 / voxel[-1], 1 / voxel[-2]), metadata=about)


def ome(path, values, *, voxel):
    """An OME-TIFF, ``voxel`` in nanometres."""
    about = {"axes": "ZYX"[-values.ndim :]}
    for axis, size in zip("XYZ", voxel[::-1]):
        about |= {f"PhysicalSize{axis}": size / 1000} | {f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(path, values, ome=True, metadata=about)


@pytest.mark.parametrize("write", [fiji, ome])
@pytest.mark.parametrize(("shape", "voxel"), [((9, 8), (500, 250)), ((3, 9, 8), (2000, 500, 250))])
def test_label_maps_get_the_pixel_size_of_their_image(write, shape, voxel, tmp_path):
    """As Fiji would read it, and by tifffile alone: pixels for one unit, the distance of slices, the unit."""
    labels = np.zeros(shape, np.uint16)
    labels[..., 2:6, 2:4] = 3
    for folder in ("images", "found"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "images" / "a.tif", np.arange(labels.size, dtype=np.uint16).reshape(shape), voxel=voxel)
    np.save(tmp_path / "found" / "a.npy", labels)
    folders = [str(tmp_path / name) for name in ("found", "out")]
    assert main(["data", "export", *folders, "--images", str(tmp_path / "images")]) == 0
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as file:
        assert np.array_equal(file.asarray(), labels) and file.series[0].axes == "ZYX"[-labels.ndim :]
        x, y = (file.pages.first.tags[f"{axis}Resolution"].value for axis in "XY")
        assert (x[0] / x[1], y[0] / y[1]) == pytest.approx((4, 2))
        assert file.imagej_metadata["unit"] == "um" and file.imagej_metadata.get("spacing", 2.0) == 2.0
        assert ("spacing" in file.imagej_metadata) == (labels.ndim == 3)
    (row,) = csv.DictReader((tmp_path / "out" / "measurements.csv").open())
    assert row["unit"] == "um" and float(row["area"]) == pytest.approx(8 * 0.125 if len(shape) == 2 else 24 * 0.25)
    # Its picture, at rims in the colour of the object: the third.
    picture = np.array(Image.open(tmp_path / "out" / "a_outlines.jpg")).astype(int)
    assert picture.shape == (*shape[-2:], 3)
    teal = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 2] > picture[..., 0] + 60)
    assert teal[2:6, 2:4].mean() > 0.7 and teal[:, 6:].mean() < 0.1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),  # a printer's
        ({"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}, (1.0, 0.5)),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "pixel"}}, None),
        ({"imagej": True, "resolution": (2, 4), "metadata": {"unit": "\\u00B5m"}}, (0.25, 0.5)),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.5}}, None),  # half of it
        ({}, None),
    ],
)
def test_what_is_a_pixel_size(options, expected, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), **options)
    assert voxel_size(tmp_path / "a.tif", ndim=2) == (expected and pytest.approx(expected))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
def test_pixel_sizes_survive_in_label_maps_of_every_kind(dtype, shape, tmp_path):
    path, size = tmp_path / "a.tif", (2.0, 0.1625, 0.5)[-len(shape) :]
    write_labels(path, np.ones(shape, dtype), made_from="a, b", voxel_size=size)
    assert voxel_size(path, ndim=len(shape)) == pytest.approx(size) and made_from(path) == "a, b"
    assert read_array(path).shape == shape


def test_hdf5_with_the_size_of_its_elements(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.zeros((2, 3, 4))
        file["raw"].attrs["element_size_um"] = [1.0, 0.5, 0.25]
    assert voxel_size(tmp_path / "a.h5", ndim=3) == (1.0, 0.5, 0.25)


def test_the_export_does_not_write_over_what_it_reads(tmp_path, capsys):
    (tmp_path / "found").mkdir()
    tifffile.imwrite(tmp_path / "found" / "a.tif", np.eye(3, dtype=np.uint16))
    assert main(["data", "export", str(tmp_path / "found"), str(tmp_path / "found")]) == 1
    assert "give another folder for the output" in capsys.readouterr().err
