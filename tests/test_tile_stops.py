"""Tiles in any order, in threads and other processes; stops that lose nothing; settings that must not change."""

import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import tifffile
import torch
import zarr
from numpy.lib.format import open_memmap
from test_tiles import cut, ideal, same_partition

from spoco_lite.clustering import mean_shift
from spoco_lite.data.sets import rosettes
from spoco_lite.prediction.stream import LazyImage
from spoco_lite.results.runs import load_model


@pytest.fixture
def scene():
    labels = np.zeros((60, 70), np.int64)
    labels[5:40, 8:30], labels[5:25, 30:66], labels[45:58, 20:60] = 1, 2, 3
    return *ideal(labels), labels


def backwards(tile, numbers):
    return [tile(k) for k in reversed(list(numbers))]


def elsewhere(tile, numbers):
    """As in another process: the function travels as bytes."""
    return [pickle.loads(pickle.dumps(tile))(k) for k in numbers]


def dask_tasks(tile, numbers):
    dask = pytest.importorskip("dask")
    return dask.compute(*map(dask.delayed(tile), numbers), scheduler="threads")


@pytest.mark.parametrize("mapper", [backwards, elsewhere, dask_tasks, ThreadPoolExecutor(2).map])
def test_any_mapper_gives_the_same(scene, tmp_path, mapper):
    pair, image, labels = scene
    store = zarr.create_array(tmp_path / "image.zarr", data=np.rint(image * 255).astype(np.uint8), chunks=(1, 32, 32))
    lazy = LazyImage(tmp_path / "image.zarr", ndim=2)
    out = zarr.create_array(tmp_path / "out.zarr", shape=labels.shape, chunks=(32, 32), dtype="uint16")
    found = cut(pair, lazy, tile=25, overlap=8, mapper=mapper, out=out)
    assert found is out and store.shape == lazy.shape
    assert np.array_equal(found[:], cut(pair, lazy, tile=25, overlap=8)) and same_partition(found[:], labels)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", [0, 1, 5, "in a tile", "in the output"])
def test_a_stop_loses_nothing(scene, tmp_path, monkeypatch, moment):
    pair, image, labels = scene
    made = []

    def stopping(tile, numbers):
        for k in numbers:
            if len(made) == moment:
                raise Killed
            made.append(k)
            if moment == "in a tile" and k == 3:
                (tmp_path / f"{k:06}.77.tmp").write_bytes(b"half a tile")
                raise Killed
            tile(k)
            yield

    class Output(np.ndarray):
        def __setitem__(self, index, value):
            if moment == "in the output" and index[0].start > 0:
                raise Killed
            super().__setitem__(index, value)

    out = np.zeros(labels.shape, np.int32)
    options = {"tile": 25, "overlap": 8, "folder": tmp_path, "out": out}
    with pytest.raises(Killed):
        cut(pair, image, mapper=stopping, **options | {"out": out.view(Output)})
    ready = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(ready) == {0: 0, 1: 1, 5: 5, "in a tile": 3, "in the output": 9}[moment]
    assert np.array_equal(cut(pair, image, **options), cut(pair, image, tile=25, overlap=8))
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in ready.items())


KILLED = """
import os, signal, sys
import numpy as np
from numpy.lib.format import open_memmap
from spoco_lite.results.runs import load_model
from spoco_lite.prediction.stream import LazyImage
from spoco_lite.prediction.tiles import segment_tiles
class Output(np.ndarray):
    def __setitem__(self, index, value):
        super().__setitem__(index, value)
        if index[0].start > 0:
            os.kill(os.getpid(), signal.SIGKILL)
save, made = np.savez_compressed, []
def killed_in_a_tile(file, **arrays):
    save(file, **arrays)
    made.append(file)
    if len(made) == 3:
        file.truncate(file.tell() // 2)
        os.kill(os.getpid(), signal.SIGKILL)
np.savez_compressed = killed_in_a_tile
out = open_memmap("out.npy", mode="w+", dtype=np.uint16, shape=(110, 100)).view(Output)
segment_tiles(load_model("cvppp-10"), LazyImage("image.tif", ndim=2), tile=55, overlap=20, folder="tiles", out=out)
"""


def test_kill_9_in_a_tile_and_in_the_output(tmp_path):
    image = rosettes.read("val")[0].image[:, :110, :100]
    tifffile.imwrite(tmp_path / "image.tif", (image.transpose(1, 2, 0) * 255).astype(np.uint8))
    ready = []
    for _ in range(2):  # four tiles: the first call is killed in the third, the second in the output
        done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        ready.append(len(list((tmp_path / "tiles").glob("*.npz"))))
    assert ready == [2, 4]
    pair, lazy = load_model("cvppp-10"), LazyImage(tmp_path / "image.tif", ndim=2)
    out = open_memmap(tmp_path / "out.npy", mode="w+", dtype=np.uint16, shape=(110, 100))
    cut(pair, lazy, tile=55, overlap=20, folder=tmp_path / "tiles", out=out)
    assert np.array_equal(out, cut(pair, lazy, tile=55, overlap=20)) and out.max() > 1


def test_tiles_of_other_settings_are_refused(scene, tmp_path):
    pair, image, labels = scene
    same = {"tile": 25, "overlap": 8, "folder": tmp_path, "cluster": partial(mean_shift, radius=1.0)}
    cut(pair, image, **same)
    cut(pair, image, **same | {"cluster": partial(mean_shift, radius=1.0)})
    for other, named in (
        ({"tile": 30}, "tile"),
        ({"cluster": partial(mean_shift, radius=2.0)}, "decoder"),
        ({"foreground": labels > 0}, "foreground"),
    ):
        with pytest.raises(ValueError, match=f"holds tiles of another {named};"):
            cut(pair, image, **same | other)
    with pytest.raises(ValueError, match="another image;"):
        cut(pair, image * 0.5, **same)
    with torch.no_grad():
        pair.g.head.codes[5] += 1
    with pytest.raises(ValueError, match="another weights;"):
        cut(pair, image, **same)
