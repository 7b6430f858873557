"""Bad files and damaged runs, a row for each, as in test_bad_inputs.py."""

import importlib.util
import json
import math
import os
import shutil
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from test_bad_inputs import GREY, PLAN, RGB

from spoco_lite.data import Plan
from spoco_lite.data.files import files_of, open_array, read_array
from spoco_lite.data.writing import write_json
from spoco_lite.prediction.stream import LazyImage
from spoco_lite.results.runs import build_pair, load_model, save_weights
from spoco_lite.training.checkpoint import read_checkpoint
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training

# ---------------------------------------------------------------------- files


def text(path):
    path.write_text("no image")


def tiff(**options):
    return lambda path: tifffile.imwrite(path, RGB.transpose(2, 0, 1), **options)


def half(write):
    def halved(path):
        write(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return halved


def picture(path):
    Image.fromarray(RGB).save(path)


def array(path):
    np.save(path, GREY)


def objects(path):
    np.save(path, np.array([{"masks": GREY}], dtype=object), allow_pickle=True)


def hdf5(**arrays):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, one in arrays.items():
                file[name] = one

    return write


def never_written(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", (10**4,) * 3, np.uint8)


FILES = [
    ("a.png", lambda path: None, "no such file"),
    ("a.bmp", text, "ending '.bmp' is not known"),
    ("a", text, "ending '' is not known"),
    *((f"a.{kind}", text, "cannot be read") for kind in ("png", "jpg", "tif", "npy", "h5")),
    *((f"a.{kind}", Path.touch, "cannot be read") for kind in ("png", "jpg", "tif", "npy", "h5")),
    *((f"a.{kind}", Path.mkdir, "not a file") for kind in ("png", "jpg", "tif", "npy", "h5")),
    *((f"a.{kind}", half(picture), "cannot be read") for kind in ("png", "jpg", "tif")),
    *((f"a.{kind}", os.mkfifo, "not a file") for kind in ("png", "tif")),
    ("a.npy", half(array), "cannot be read"),
    ("a.npy", objects, "holds Python objects", "Cellpose", "['masks']"),
    ("a.h5", half(hdf5(raw=GREY)), "cannot be read"),
    ("a.h5", hdf5(), "inside: none"),
    ("a.h5", hdf5(raw=GREY, label=GREY), "give as key one of those inside: label, raw"),
    ("a.h5", never_written, "declares (10000, 10000, 10000)"),
    ("a.tif", tiff(photometric="minisblack"), "3 axes besides colours", "'axes': 'CYX'"),
    ("a.tif", lambda path: tifffile.imwrite(path, RGB, photometric="cielab"), "CIELAB", "RGB or grey"),
    ("a.zarr", Path.mkdir, "cannot be read"),
]
if importlib.util.find_spec("imagecodecs") is None:
    for kind in ("tiff_lzw", "jpeg"):
        FILES.append(("a.tif", partial(Image.fromarray(RGB).save, compression=kind), "pip install imagecodecs"))


@pytest.mark.parametrize(("name", "write", "words"), [(n, w, words) for n, w, *words in FILES])
@pytest.mark.parametrize("read", [read_array, open_array, LazyImage])
def test_a_file(tmp_path, name, write, words, read):
    path = tmp_path / name
    write(path)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read(path, ndim=2)
    assert str(path) in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["nowhere", "empty", "other"])
def test_a_folder_of_nothing(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    text(tmp_path / "other" / "notes.txt")
    with pytest.raises((ValueError, FileNotFoundError), match=f"{name}: no "):
        files_of(tmp_path / name)


# ---------------------------------------------------------------------- runs that are damaged

RECORDS = [
    ("run.json", b"", "not a readable record"),
    ("run.json", b"{", "not a readable record"),
    ("run.json", b"\xff\xfe", "not a readable record"),
    ("run.json", b"[]", "no config"),
    ("run.json", b"{}", "no config"),
    ("run.json", b'{"config": 5}', "no config"),
    ("run.json", b'{"config": {}}', "makes no network"),
    ("run.json", b'{"config": {"in_channels": "three"}}', "makes no network"),
    ("weights.safetensors", None, "missing"),
    ("weights.safetensors", b"", "not a readable file of weights"),
    ("weights.safetensors", b"half", "not a readable file of weights"),
    ("weights.safetensors", "another network", "not the weights of this record"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with networks as they are before training."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    config = Config(size=32, widths=(4, 8), embedding_dim=4).plain()
    write_json(folder / "run.json", {"config": config, "scores": {}})
    save_weights(build_pair(config), folder / "weights.safetensors")
    return folder


@pytest.mark.parametrize(("name", "content", "words"), RECORDS, ids=lambda value: str(value)[:30])
def test_a_damaged_run(run, tmp_path, name, content, words):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / name).unlink()
    if content == "another network":
        save_weights(build_pair(Config(widths=(4, 8, 16)).plain()), folder / name)
    elif content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
        load_model(folder)
    assert str(folder / name) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"text", {}, {"config": 5}, [1], {"config": {"seed": 9}}])
def test_a_damaged_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match="not a readable checkpoint.*delete it|belongs to another conf") as error:
        read_checkpoint(tmp_path, Config().plain(), "cpu")
    assert str(path) in str(error.value)


def test_a_checkpoint_of_other_networks(tmp_path):
    config = Config(size=32, widths=(4, 8), batch=2)
    torch.save({"config": config.plain(), "pair": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="its checkpoint is not of these networks"):
        Training(config, tmp_path, device="cpu").run(progress=False)


def test_nan_is_no_change_of_the_configuration(tmp_path):
    config = Config(loss_options={"pull": 1}).plain() | {"loss_options": {"pull": math.nan}}
    torch.save({"config": config | {"seed": 1}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"another configuration \(seed was 1, is now 0\)"):
        read_checkpoint(tmp_path, config, "cpu")


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps(PLAN | {"objects": []}), json.dumps(PLAN | {"how": 5})])
def test_a_damaged_plan(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ValueError, match="plan.json: not an annotation plan"):
        Plan.read(tmp_path / "plan.json")
