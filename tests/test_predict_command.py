"""A folder of images from the command line: what is written, what is kept, what is said when something is wrong."""

import argparse
import csv
import shutil

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image
from skimage.measure import label

from spoco_lite.commands import predict as predict_command
from spoco_lite.data.sets import rosettes
from spoco_lite.data.voxels import voxel_size
from spoco_lite.data.writing import write_json
from spoco_lite.metrics import evaluate
from spoco_lite.prediction import tiles
from spoco_lite.prediction.decoders import WHOLE_IMAGE, arguments
from spoco_lite.prediction.image import segment_image
from spoco_lite.results.runs import (
    build_pair,
    load_model,
    load_run,
    recorded_runs,
    run_folder,
    save_weights,
    with_weights,
)
from spoco_lite.training.config import Config


def predict(*arguments) -> int:
    parser = argparse.ArgumentParser()
    predict_command.add_arguments(parser.add_subparsers())
    return predict_command.run(parser.parse_args(["predict", *map(str, arguments), "--device", "cpu"]))


def make_run(folder, **config):
    """A run with networks as they are before training: enough to go from files to files."""
    config = vars(Config(widths=(4, 8), embedding_dim=4, **config))
    folder.mkdir()
    write_json(folder / "run.json", {"config": config})
    save_weights(build_pair(config), folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def plants(tmp_path_factory):
    """Three leaves as PNG with label maps and masks, and a run that sees them at 64 pixels."""
    root = tmp_path_factory.mktemp("plants")
    make_run(root / "run", size=64)
    for kind in ("images", "labels", "masks"):
        (root / kind).mkdir()
    for sample in [rosettes.read("val")[i] for i in range(3)]:
        picture = np.moveaxis(sample.image, 0, -1)[:100, :90]
        labels = sample.labels[:100, :90]
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(root / "images" / f"{sample.name}.png")
        tifffile.imwrite(root / "labels" / f"{sample.name}.tif", labels.astype(np.uint8))
        np.save(root / "masks" / f"{sample.name}.npy", labels > 0)
    return root


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_labels_pictures_and_scores(plants, tmp_path, capsys):
    out = tmp_path / "out"
    extra = "--labels", plants / "labels", "--mask", plants / "masks"
    assert predict(plants / "run", plants / "images", out, *extra) == 0
    stems = [path.stem for path in sorted((plants / "images").iterdir())]
    assert names(out) == sorted(
        [f"{s}.{kind}" for s in stems for kind in ("tif", "jpg")] + ["predict.json", "scores.csv"]
    )
    *scores, mean = rows(out / "scores.csv")
    assert [row["image"] for row in scores] == stems and mean["image"] == "mean"
    for row in scores:
        with tifffile.TiffFile(out / f"{row['image']}.tif") as file:
            assert file.pages.first.compression.name == "ADOBE_DEFLATE" and file.series[0].axes == "YX"
            labels = file.asarray()
        assert labels.dtype == np.uint16 and labels.shape == (100, 90)
        assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
        mask = np.load(plants / "masks" / f"{row['image']}.npy")
        assert not labels[~mask].any()
        result = evaluate(tifffile.imread(plants / "labels" / f"{row['image']}.tif"), labels)
        assert float(row["sbd"]) == pytest.approx(result.symmetric_best_dice, abs=1e-4)
        assert float(row["vi_split"]) == pytest.approx(result.vi_split, abs=1e-4)
        assert min(Image.open(out / f"{row['image']}.jpg").size) > 200
    assert float(mean["sbd"]) > 0  # so there are labels
    assert float(mean["are"]) == pytest.approx(np.mean([float(row["are"]) for row in scores]), abs=2e-4)
    assert f"sbd {float(mean['sbd']):.4f}" in capsys.readouterr().out


def test_labels_are_those_of_segment_image(plants, tmp_path):
    file = sorted((plants / "images").iterdir())[0]
    assert predict(plants / "run", file, tmp_path / "out") == 0
    image = np.moveaxis(np.asarray(Image.open(file)), -1, 0) / np.float32(255)
    options = {"consistent": True, "specks": 50, "iou_threshold": 0.6}
    expected = segment_image(load_model(plants / "run"), image, size=64, **options)
    assert np.array_equal(tifffile.imread(tmp_path / "out" / f"{file.stem}.tif"), expected)


def test_what_is_there_is_kept_and_the_rest_is_made(plants, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(plants / "run", plants / "images", out) == 0
    first, second, third = sorted(out.glob("*.tif"))
    before = {path: path.read_bytes() for path in (first, second, third)}
    second.unlink()
    third.with_suffix(".jpg").unlink()
    third.with_suffix(".tif.tmp").write_bytes(b"half a file")
    changed = first.stat().st_mtime_ns
    capsys.readouterr()
    assert predict(plants / "run", plants / "images", out) == 0
    assert "2 of 3 label maps were there already" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == changed and third.with_suffix(".jpg").is_file()
    assert {path: path.read_bytes() for path in before} == before


def test_an_unreadable_image_does_not_stop_the_others(plants, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    good = sorted((plants / "images").iterdir())[0]
    (images / "good.png").write_bytes(good.read_bytes())
    (images / "broken.png").write_bytes(good.read_bytes()[:500])
    np.save(images / "grey.npy", np.zeros((20, 20)))
    assert predict(plants / "run", images, tmp_path / "out") == 1
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert (
        len(errors) == 2
        and "broken.png" in errors[0]
        and "grey.npy" in errors[1]
        and "has 1 channel, the run needs 3" in errors[1]
    )
    assert (tmp_path / "out" / "good.tif").is_file() and "1 of 3 images are done" in said.out


def test_an_image_of_other_channels_does_not_stop_the_others_in_tiles(plants, tmp_path, capsys):
    run = make_run(tmp_path / "run", size=64, crop=True)
    images = tmp_path / "images"
    images.mkdir()
    good = sorted((plants / "images").iterdir())[0]
    (images / "good.png").write_bytes(good.read_bytes())
    np.save(images / "a-grey-one.npy", np.zeros((60, 60)))
    assert predict(run, images, tmp_path / "out", "--tile", 48) == 1
    said = capsys.readouterr()
    (error,) = (line for line in said.err.splitlines() if line.startswith("error:"))
    assert "a-grey-one.npy" in error and "has 1 channel, the run needs 3" in error
    assert (tmp_path / "out" / "good.tif").is_file() and "1 of 2 images are done" in said.out


def test_volumes_of_every_kind_through_tiles(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path / "run", size=(16, 16, 16), crop=True, in_channels=1)
    images = tmp_path / "images"
    images.mkdir()
    volume = np.random.default_rng(0).integers(0, 4000, (24, 40, 30)).astype(np.uint16)
    tifffile.imwrite(images / "a.tif", volume, metadata={"axes": "ZYX"})
    np.save(images / "b.npy", volume)
    with h5py.File(images / "c.h5", "w") as file:
        file["raw"], file["label"] = volume, np.zeros_like(volume)
    zarr.create_array(images / "d.zarr", data=volume, chunks=(8, 16, 16))
    called = []

    def spy(*arguments, **options):
        called.append(options["tile"])
        return tiles.segment_tiles(*arguments, progress=False, **options)

    monkeypatch.setattr(predict_command, "segment_tiles", spy)
    assert predict(run, images, tmp_path / "out", "--tile", 16, "--key", "raw") == 0, capsys.readouterr().err
    assert called == [16] * 4
    found = [tifffile.imread(tmp_path / "out" / f"{name}.tif") for name in "abcd"]
    assert found[0].shape == volume.shape and found[0].dtype == np.uint32
    assert all(np.array_equal(found[0], other) for other in found[1:])
    assert not list((tmp_path / "out").glob("*.tiles"))

    assert predict(run, images / "b.npy", tmp_path / "whole") == 0  # small, so in one piece
    assert len(called) == 4 and tifffile.imread(tmp_path / "whole" / "b.tif").dtype == np.uint16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "nowhere", "OUT"], ["nowhere", "no such file or folder"]),
        (["no-run", "IMAGES", "OUT"], ["no-run", "run.json"]),
        (["RUN", "IMAGES", "IMAGES"], ["another folder for the output"]),
        (["RUN", "IMAGES", "OUT", "--tile", "32"], ["--tile", "only runs with crop"]),
    ],
)
def test_wrong_input_is_answered_in_one_line(plants, tmp_path, capsys, arguments, words):
    known = {"RUN": plants / "run", "IMAGES": plants / "images", "OUT": tmp_path / "out"}
    assert predict(*(known.get(a, a) for a in arguments)) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    for word in words:
        assert word in message


def test_labels_of_another_run_are_not_mixed_in(plants, tmp_path, capsys):
    image = sorted((plants / "images").iterdir())[0]
    assert predict(plants / "run", image, tmp_path / "out") == 0
    other = make_run(tmp_path / "other", size=64, seed=1)
    assert not torch.equal(load_model(other).f.head.weight, load_model(plants / "run").f.head.weight)
    assert predict(other, image, tmp_path / "out") == 1
    assert "labels of another weights" in capsys.readouterr().err


def test_a_missing_label_map_is_said_and_the_image_segmented(plants, tmp_path, capsys):
    labels = tmp_path / "labels"
    labels.mkdir()
    files = sorted((plants / "labels").iterdir())
    (labels / files[0].name).write_bytes(files[0].read_bytes())
    assert predict(plants / "run", plants / "images", tmp_path / "out", "--labels", labels) == 1
    assert f"no label map named {files[1].stem}" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.tif"))) == 3
    assert len(rows(tmp_path / "out" / "scores.csv")) == 2  # one image, and the mean


OF_IMAGES = [name for name in with_weights() if np.size(load_run(name)["config"]["size"]) < 3]  # others are of volumes


@pytest.mark.parametrize("name", OF_IMAGES)
def test_the_tuned_decoder_of_a_recorded_run_can_be_used(name, plants, tmp_path):
    assert predict(name, plants / "images", tmp_path / "out", "--decoder", "tuned") == 0


@pytest.mark.parametrize("name", recorded_runs())
def test_the_tuned_decoder_of_every_recorded_run_can_be_read(name):
    for tuning in load_run(name)["tuning"].values():
        assert callable(arguments(tuning["tried"][0]["decoder"])["cluster"])


def test_a_decoder_that_makes_an_object_of_each_connected_piece(plants, tmp_path):
    decoder = {"cluster": "mean_shift", "consistent": False, "min_size": 1, "pieces": 9}
    shutil.copytree(run_folder("cvppp-100"), tmp_path / "run")
    record = load_run("cvppp-100") | {"tuning": {WHOLE_IMAGE: {"tried": [{"decoder": decoder}]}}}
    write_json(tmp_path / "run" / "run.json", record)
    assert predict(tmp_path / "run", plants / "images", tmp_path / "out", "--decoder", "tuned") == 0
    for path in (tmp_path / "out").glob("*.tif"):
        labels = tifffile.imread(path)
        assert label(labels, connectivity=1).max() == labels.max() > 0
        assert np.bincount(labels.ravel()).min() >= 9


def test_the_pixel_size_of_the_image_is_kept(tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (40, 50), np.uint8)
    about = {"unit": "micron", "axes": "YX"}
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, resolution=(4, 2), metadata=about)
    run = make_run(tmp_path / "run", size=32, in_channels=1)
    assert predict(run, tmp_path / "a.tif", tmp_path / "out") == 0
    assert voxel_size(tmp_path / "out" / "a.tif", ndim=2) == pytest.approx((0.5, 0.25))
    assert predict(run, tmp_path / "a.tif", tmp_path / "out") == 0  # it knows its own file
