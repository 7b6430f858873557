"""`predict` into a folder that holds something: what is right is kept, the rest made anew, nothing is lost."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_predict_command import make_run, predict

from spoco_lite.commands import predict as predict_command
from spoco_lite.data.label_files import made_from
from spoco_lite.data.writing import alone

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A run that takes volumes in tiles."""
    root = tmp_path_factory.mktemp("volumes")
    return make_run(root / "run", size=(16, 16, 16), crop=True, in_channels=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("pictures") / "run", size=32)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "ab":
        picture(folder / f"{name}.png")
    return folder


def picture(path):
    """Dark on the left and bright on the right, and never the same."""
    noise = RNG.integers(0, 9, (40, 30, 3), dtype=np.uint8)
    noise[:, 15:] += 200
    Image.fromarray(noise).save(path)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_image_that_changed_is_segmented_again(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(run, images, out) == 0
    before = files(out)
    assert predict(run, images, out) == 0 and files(out) == before
    assert "2 of 2 label maps were there already" in capsys.readouterr().out
    picture(images / "a.png")
    assert predict(run, images, out) == 0
    assert "1 of 2 label maps were there already" in capsys.readouterr().out
    after = files(out)
    assert {name for name in after if after[name] != before[name]} == {"a.tif", "a.jpg"}
    assert predict(run, images, tmp_path / "fresh") == 0 and files(tmp_path / "fresh") == after


def test_a_mask_that_changed_and_another_key(run, images, tmp_path, capsys):
    masks, out = tmp_path / "masks", tmp_path / "out"
    masks.mkdir()
    for name in "ab":
        np.save(masks / f"{name}.npy", np.ones((40, 30), bool))
    assert predict(run, images, out, "--mask", masks) == 0
    half = np.ones((40, 30), bool)
    half[:20] = False
    np.save(masks / "b.npy", half)
    assert predict(run, images, out, "--mask", masks) == 0
    assert "1 of 2 label maps were there already" in capsys.readouterr().out
    assert not tifffile.imread(out / "b.tif")[:20].any()
    assert predict(run, images, out, "--mask", masks, "--key", "raw") == 1
    assert "holds labels of another key" in capsys.readouterr().err


@pytest.mark.parametrize("mask", ["int8", "int32", "uint8", "bool", "float32"])
def test_a_mask_is_where_it_is_not_0(run, images, tmp_path, mask):
    """255 as int8 is -1."""
    wanted = np.zeros((40, 30), np.uint8)
    wanted[10:, 5:] = 255
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks" / "a.npy", wanted.astype(mask))
    assert predict(run, images / "a.png", tmp_path / "out", "--mask", tmp_path / "masks") == 0
    found = tifffile.imread(tmp_path / "out" / "a.tif")
    assert found.any() and not found[wanted == 0].any()


def test_masks_of_tiles_as_well(volumes, tmp_path):
    np.save(tmp_path / "v.npy", RNG.integers(0, 4000, (20, 24, 20)).astype(np.uint16))
    (tmp_path / "masks").mkdir()
    found = []
    for dtype in ("int8", "uint8"):
        np.save(tmp_path / "masks" / "v.npy", np.full((20, 24, 20), 255, np.uint8).astype(dtype))
        out = tmp_path / dtype
        assert predict(volumes, tmp_path / "v.npy", out, "--mask", tmp_path / "masks", "--tile", 16) == 0
        found.append(tifffile.imread(out / "v.tif"))
    assert found[0].any() and np.array_equal(*found)


@pytest.mark.parametrize("damage", ["empty", "half", "no tiff"])
def test_a_damaged_label_map_beside_its_picture_is_made_again(run, images, tmp_path, damage):
    out = tmp_path / "out"
    assert predict(run, images, out) == 0
    before = files(out)
    content = {"empty": b"", "half": before["a.tif"][:-20], "no tiff": b"not a TIFF at all"}[damage]
    (out / "a.tif").write_bytes(content)
    assert predict(run, images, out) == 0 and files(out) == before


def test_a_truncated_volume_is_not_whole(volumes, tmp_path):
    np.save(tmp_path / "v.npy", RNG.integers(0, 4000, (20, 24, 20)).astype(np.uint16))
    assert predict(volumes, tmp_path / "v.npy", tmp_path / "out", "--tile", 16) == 0
    whole = (tmp_path / "out" / "v.tif").read_bytes()
    assert made_from(tmp_path / "out" / "v.tif")
    for keep in (0.3, 0.7, 0.99):
        (tmp_path / "out" / "v.tif").write_bytes(whole[: int(keep * len(whole))])
        assert made_from(tmp_path / "out" / "v.tif") is None


def test_a_label_map_that_was_corrected_by_hand_is_not_replaced(run, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(run, images, out) == 0
    labels = tifffile.imread(out / "a.tif")
    tifffile.imwrite(out / "a.tif", labels + 1)
    mine = (out / "a.tif").read_bytes()
    picture(images / "a.png")
    assert predict(run, images, out) == 1
    said = capsys.readouterr()
    assert "a.tif: not written by this command, or changed since; move it away" in said.err
    assert (out / "a.tif").read_bytes() == mine and "1 of 2 images are done" in said.out


@pytest.mark.parametrize("name", ["a.jpg", "scores.csv"])
def test_a_picture_or_a_table_of_others_is_not_replaced(run, images, tmp_path, capsys, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    assert predict(run, images, out, *(["--labels", images] if name == "scores.csv" else [])) == 1
    assert f"{name}: not written by this command" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_no_file_does_not_keep_the_others(run, images, tmp_path, capsys):
    """A pipe would be waited for, a link to itself be looked up, for ever."""
    os.mkfifo(images / "pipe.png")
    (images / "circle.png").symlink_to("circle.png")
    (images / "nowhere.png").symlink_to("gone.png")
    assert predict(run, images, tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "2 of 5 images are done" in said.out and "pipe.png: a pipe" in said.err
    assert all(f"{name}.png: no such file" in said.err or f"{name}.png'" in said.err for name in ("circle", "nowhere"))
    (tmp_path / "masks").mkdir()
    os.mkfifo(tmp_path / "masks" / "a.png")
    assert predict(run, images / "a.png", tmp_path / "masked", "--mask", tmp_path / "masks") == 1
    assert "a.png: a pipe" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["picture", "table"])
def test_what_is_written_is_whole_or_not_there(run, images, tmp_path, monkeypatch, where):
    out, extra = tmp_path / "out", []
    if where == "table":
        (tmp_path / "labels").mkdir()
        for name in "ab":
            tifffile.imwrite(tmp_path / "labels" / f"{name}.tif", np.ones((40, 30), np.uint8))
        extra = ["--labels", tmp_path / "labels"]
    replace = os.replace

    def killed(source, target):
        if str(target).endswith({"picture": ".jpg", "table": ".csv"}[where]):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        assert predict(run, images, out, *extra) == 130
    assert not (out / "a.jpg").exists() or where == "table"
    assert not (out / "scores.csv").exists()
    assert predict(run, images, out, *extra) == 0 and Image.open(out / "a.jpg").size[0] > 100


def test_a_name_with_dollar_signs_gets_its_picture(run, tmp_path):
    picture(tmp_path / "a$b$_.png")
    assert predict(run, tmp_path / "a$b$_.png", tmp_path / "out") == 0
    assert (tmp_path / "out" / "a$b$_.jpg").is_file()


@pytest.mark.parametrize(
    "error", [MemoryError("9 GB"), RuntimeError("of the device"), TypeError("odd"), OSError(28, "x")]
)
def test_whatever_happens_to_one_image_the_others_are_done(run, images, tmp_path, monkeypatch, capsys, error):
    segment = predict_command.segment_image

    def spoiled(pair, image, **options):
        if not calls:
            calls.append(1)
            raise error
        return segment(pair, image, **options)

    calls = []
    monkeypatch.setattr(predict_command, "segment_image", spoiled)
    assert predict(run, images, tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "1 of 2 images are done" in said.out and f"{images / 'a.png'}: " in said.err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["b.tif"]


# ---------------------------------------------------------------------- a full disk, and two at a time

LIMITED = """
import resource, signal, sys
from spoco_lite.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(["predict", *sys.argv[2:], "--device", "cpu"]))
"""


@pytest.mark.parametrize("limit", [3_000, 60_000])
def test_a_disk_that_is_full_is_an_error_and_not_the_end_of_the_process(volumes, tmp_path, limit):
    """Files that may not grow stand for the disk: the one limit stops a tile, the other the labels or the label map."""
    np.save(tmp_path / "v.npy", RNG.integers(0, 4000, (40, 48, 40)).astype(np.uint16))
    words = [volumes, tmp_path / "v.npy", tmp_path / "out", "--tile", "32"]
    done = subprocess.run([sys.executable, "-c", LIMITED, str(limit), *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1, done
    assert f"error: {tmp_path / 'v.npy'}: " in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "v.tif").exists()
    assert predict(*words) == 0 and (tmp_path / "out" / "v.tif").is_file()


def test_an_image_that_another_process_works_at_comes_last(run, images, tmp_path, monkeypatch):
    order, out = [], tmp_path / "out"
    out.mkdir()
    draw = predict_command._draw
    held = alone(out / ".a.lock")
    held.__enter__()

    def noted(image, target, *rest):
        order.append(target.stem)
        if target.stem == "b":
            held.__exit__(None, None, None)  # the other process has finished a
        draw(image, target, *rest)

    monkeypatch.setattr(predict_command, "_draw", noted)
    assert predict(run, images, out) == 0 and order == ["b", "a"]


def test_two_at_a_time_both_finish(run, volumes, images, tmp_path):
    np.save(tmp_path / "v.npy", RNG.integers(0, 4000, (24, 28, 24)).astype(np.uint16))
    for network, source, extra in ((run, images, []), (volumes, tmp_path / "v.npy", ["--tile", "16"])):
        out = tmp_path / f"out-{source.stem}"
        command = [sys.executable, "-m", "spoco_lite", "predict", network, source, out, "--device", "cpu", *extra]
        both = [
            subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        assert predict(network, source, tmp_path / f"alone-{source.stem}", *extra) == 0
        assert files(out) == files(tmp_path / f"alone-{source.stem}")
        assert not [name for name in files(out) if name.startswith(".") or name.endswith(".tmp")]
