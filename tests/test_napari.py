"""What napari gets from here. It need not be installed: a stand-in for it notes what it is given."""

import sys
import types

import numpy as np
import pytest
import tifffile
from PIL import Image

from spoco_lite import data
from spoco_lite.__main__ import main
from spoco_lite.commands.show import layers_of
from spoco_lite.data.sample import Sample
from spoco_lite.prediction.decoders import decode, decoder_of
from spoco_lite.prediction.napari import segment
from spoco_lite.results.runs import load_model, load_run, prediction_size


@pytest.fixture
def leaf():
    return data.load("rosettes", "val")[0]


def test_an_array_of_a_viewer_is_segmented_as_the_command_does(leaf):
    """Of 8 bits, with colours last."""
    pixels = np.uint8(np.rint(255 * np.moveaxis(leaf.image, 0, -1)))
    config = load_run("cvppp-10")["config"]
    sample = Sample(np.float32(np.moveaxis(pixels, -1, 0)) / 255, leaf.labels, "")
    options = {"size": prediction_size(config), "masked": False}
    expected = decode(load_model("cvppp-10"), sample, decoder_of(config, masked=False), **options)
    found = segment(pixels, "cvppp-10")
    assert np.array_equal(found, expected) and found.max() > 1 and found.dtype.kind == "i"


def test_an_image_that_does_not_fit_is_refused(leaf):
    with pytest.raises(ValueError, match="image: has 1 channel, the run needs 3; write its grey three times"):
        segment(leaf.image[0], "cvppp-10")
    with pytest.raises(ValueError, match="found no run.json in ''"):
        segment(leaf.image)


@pytest.fixture
def folder(tmp_path):
    """A volume with its pixel size, a colour image, one of two channels, and their label maps."""
    grey = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    about = {"unit": "um", "spacing": 2.0, "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "volume.tif", grey, imagej=True, resolution=(4, 2), metadata=about)
    np.save(tmp_path / "volume.npy", grey % 3)
    Image.fromarray(np.zeros((4, 5, 4), np.uint8)).save(tmp_path / "colours.png")
    np.save(tmp_path / "two.npy", np.zeros((2, 4, 5)))
    Image.fromarray(np.eye(4, 5, dtype=np.uint8)).save(tmp_path / "labels.png")
    return tmp_path


def test_layers_have_the_numbers_and_the_pixel_size(folder):
    layers = layers_of(folder / "volume.tif", folder / "volume.npy")
    assert layers["image"]["scale"] == layers["labels"]["scale"] == (2.0, 0.5, 0.25)
    assert layers["image"]["data"].shape == layers["labels"]["data"].shape == (3, 4, 5)
    colours = layers_of(folder / "colours.png", folder / "labels.png")["image"]
    assert colours["rgb"] and colours["data"].shape == (4, 5, 3) and "scale" not in colours
    assert layers_of(folder / "two.npy", folder / "labels.png")["image"]["channel_axis"] == 0
    np.save(folder / "other.npy", np.eye(9))
    with pytest.raises(ValueError, match=r"other\.npy: found shape \(9, 9\), that of .*labels\.png is \(4, 5\)"):
        layers_of(folder / "other.npy", folder / "labels.png")


def test_show_opens_both_with_the_function_as_a_form(folder, monkeypatch):
    done = []

    class Viewer:
        def __init__(self, title):
            self.window = types.SimpleNamespace(add_function_widget=lambda f, name: done.append(f))

        def add_image(self, data, **options):
            done.append(data.shape)

        def add_labels(self, data, **options):
            done.append(data.max())

    stand_in = types.SimpleNamespace(Viewer=Viewer, run=lambda: done.append("shown"))
    monkeypatch.setitem(sys.modules, "napari", stand_in)
    assert main(["show", str(folder / "volume.tif"), str(folder / "volume.npy")]) == 0
    assert done == [(3, 4, 5), 2, segment, "shown"]


def test_without_napari_show_says_how_to_get_it(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "napari", None)
    assert main(["show", str(folder / "colours.png"), str(folder / "labels.png")]) == 1
    assert 'pip install "napari[all]"' in capsys.readouterr().err
