"""Bad commands, a row for each, as in test_bad_inputs.py."""

from types import SimpleNamespace

import pytest
import test_bad_files
import torch
from PIL import Image
from test_bad_files import FILES, RECORDS, half, picture, text, tiff
from test_bad_inputs import CALLS, FIELDS, GREY

from spoco_lite.__main__ import main

run = test_bad_files.run

TINY = "--size 32 --widths 4 8 --batch 2 --steps 1 --device cpu"
COMMANDS = [
    ("", "required: command"),
    ("teach", "invalid choice: 'teach'"),
    ("data", "required: verb"),
    ("data fetch leaves", "leaves"),
    ("data check leaves", "leaves"),
    ("data check leaves --minutes many", "invalid float value"),
    ("data check leaves --data-option unlabeled", "give KEY=VALUE"),
    ("data check IMAGES --data-option size=3", "found size"),
    ("data check IMAGES", "images belong in images/"),
    ("data import IMAGES", "required: FOLDER"),
    ("data import FILE nowhere", "nowhere/images: no such file or folder"),
    ("data import FILE FOLDER", "ending '.txt' is not known"),
    ("data import nowhere.tif FOLDER", "nowhere.tif"),
    ("data import GREY FOLDER", "belongs to image grey"),
    ("data import BROKEN FOLDER", "broken.png: cannot be read"),
    ("data export nowhere OUT", "nowhere: no such file or folder"),
    ("data export FILE OUT", "no file that can be read"),
    ("data export BROKEN OUT", "broken.png: cannot be read"),
    ("data export IMAGES FILE", "notes.txt"),
    ("export RUN GREY", "required: FILE.zip"),
    ("export nowhere GREY OUT.zip", "no run.json in 'nowhere'"),
    ("export RUN nowhere.png OUT.zip", "nowhere.png"),
    ("export RUN BROKEN OUT.zip", "broken.png: cannot be read"),
    ("export RUN GREY OUT.zip", "has 1 channel, the run needs 3"),
    ("export RUN IMAGES/a.png OUT", "ends with .zip"),
    ("train", "required: folder"),
    (f"train OUT {TINY} --steps many", "--steps", "invalid int value: 'many'"),
    (f"train OUT {TINY} --steps 1.5", "--steps", "invalid int value: '1.5'"),
    (f"train OUT {TINY} --steps 0", "steps: found 0"),
    (f"train OUT {TINY} --batch -1", "batch: found -1"),
    (f"train OUT {TINY} --clip-norm -1", "clip_norm: found -1"),
    (f"train OUT {TINY} --clip-norm nan", "clip_norm: found nan"),
    (f"train OUT {TINY} --learning-rate inf", "learning_rate: found inf"),
    (f"train OUT {TINY} --consistency -1", "consistency: found -1"),
    (f"train OUT {TINY} --delta-dist -1", "delta_dist: found -1"),
    (f"train OUT {TINY} --background most", "--background", "invalid choice"),
    (f"train OUT {TINY} --symmetry none", "--symmetry", "invalid choice"),
    (f"train OUT {TINY} --fraction 0", "fraction: found 0"),
    (f"train OUT {TINY} --number 0", "number: found 0"),
    (f"train OUT {TINY} --held-out 999", "held_out: 999 of"),
    (f"train OUT {TINY} --dataset leafs", "data set: found 'leafs'"),
    (f"train OUT {TINY} --dataset folder", "needs option 'path'"),
    (f"train OUT {TINY} --dataset folder --data-option path=nowhere", "no folder nowhere"),
    (f"train OUT {TINY} --dataset folder --data-option pth=x", "'pth'", "path"),
    (f"train OUT {TINY} --dataset cells3d", "volumes need a size of three numbers"),
    (f"train OUT {TINY} --data-option target=cells", "'target'"),
    (f"train OUT {TINY} --data-option target", "give KEY=VALUE"),
    (f"train OUT {TINY} --loss-option anchors=pixel", "loss_options: found anchors"),
    (f"train OUT {TINY} --loss-option anchor=corner", "anchor: found 'corner'"),
    (f"train OUT {TINY} --loss-option pull=-1", "pull: found -1"),
    (f"train OUT {TINY} --loss-option pull=strong", "pull: found 'strong'"),
    (f"train OUT {TINY} --data-option size=64", "data_options: found 'size'"),
    (f"train OUT {TINY} --size 10000000", "out of memory", "smaller batch, size or tile"),
    (f"train OUT {TINY} --decoder min_sise=20", "'min_sise'"),
    (f"train OUT {TINY} --decoder consistent=maybe", "consistent='maybe'"),
    (f"train OUT {TINY} --decoder iou_threshold=NaN", "iou_threshold=nan"),
    (f"train OUT {TINY} --in-channels 1", "has 3 channels"),
    (f"train OUT {TINY} --start nowhere", "no run.json in 'nowhere'"),
    (f"train OUT {TINY} --start cvppp-10 --size 16 16 16 --crop --dataset cells3d --in-channels 1", "start: no layer"),
    (f"train OUT {TINY} --device foo", "device: found 'foo'", "cpu, cuda"),
    (f"train OUT {TINY} --device meta", "device: found 'meta'", "cpu, cuda"),
    (f"train OUT {TINY} --seed 9223372036854775808", "seed: found 9223372036854775808"),
    (f"train OUT {TINY} --dataset folder --data-option path=. --data-option voxel_size=x", "voxel_size: found 'x'"),
    (f"train OUT {TINY} --size 32 32 32", "crop"),
    (f"train OUT {TINY} --size 32 32", "without crop"),
    (f"train FILE {TINY}", "notes.txt: a file"),
    (f"train FILE/run {TINY}", "notes.txt"),
    (f"train RUN {TINY}", "without its checkpoint"),
    (f"sweep OUT {TINY.replace('--device cpu', '')} --devices foo", "device: found 'foo'"),
    (f"sweep OUT {TINY.replace('--device cpu', '')} --devices cpu --at-once 0", "at_once: found 0"),
    ("evaluate", "required: folder"),
    ("evaluate nowhere", "no run.json in 'nowhere'"),
    ("evaluate cvppp-10", "a recorded run"),
    ("evaluate RUN --split train", "'train'"),
    ("evaluate RUN --split all", "invalid choice: 'all'"),
    ("evaluate RUN --tuning-images 0", "tuning_images: found 0"),
    ("evaluate RUN --tuning-images -3", "tuning_images: found -3"),
    ("predict RUN IMAGES", "required: OUTPUT"),
    ("predict nowhere IMAGES OUT", "no run.json in 'nowhere'"),
    ("predict RUN nowhere OUT", "nowhere: no such file or folder"),
    ("predict RUN FILE OUT", "no file that can be read"),
    ("predict RUN IMAGES IMAGES", "another folder for the output"),
    ("predict RUN IMAGES FILE", "notes.txt"),
    ("predict RUN IMAGES OUT --decoder best", "invalid choice: 'best'"),
    ("predict RUN IMAGES OUT --tile 32", "only runs with crop"),
    ("predict RUN IMAGES OUT --tile much", "invalid int value"),
    ("predict RUN IMAGES OUT --labels nowhere", "nowhere: no such file or folder"),
    ("predict RUN IMAGES OUT --mask IMAGES", "a.png: found shape (20, 30, 3), expected (20, 30)"),
    ("predict RUN IMAGES OUT --device foo", "device: found 'foo'"),
    ("predict RUN GREY OUT", "grey.png", "1 channel", "needs 3"),
    ("predict RUN BROKEN OUT", "broken.png: cannot be read"),
    ("predict RUN PAGES OUT", "pages.tif: found 3 axes besides colours"),
]
WITHOUT_GPU = [
    (f"train OUT {TINY.replace('cpu', 'cuda')}", "PyTorch sees 0 of these"),
    ("predict RUN IMAGES OUT --device cuda", "PyTorch sees 0 of these"),
    ("predict RUN IMAGES OUT --device cuda:7", "'cuda:7'"),
]
if not torch.cuda.is_available():
    COMMANDS += WITHOUT_GPU


@pytest.fixture(scope="module")
def places(run, tmp_path_factory):
    root = tmp_path_factory.mktemp("places")
    (root / "images").mkdir()
    picture(root / "images" / "a.png")
    Image.fromarray(GREY).save(root / "grey.png")
    half(picture)(root / "broken.png")
    tiff(photometric="minisblack")(root / "pages.tif")
    text(root / "notes.txt")
    return SimpleNamespace(
        RUN=run, IMAGES=root / "images", FILE=root / "notes.txt", GREY=root / "grey.png", BROKEN=root / "broken.png",
        PAGES=root / "pages.tif", FOLDER=root,
    )  # fmt: skip


@pytest.mark.parametrize(("command", "words"), [(c, w) for c, *w in COMMANDS], ids=[c for c, *_ in COMMANDS])
def test_a_command(command, words, places, tmp_path, capsys):
    known = vars(places) | {"OUT": tmp_path / "out"}
    given = []
    for word in command.split():
        first, slash, rest = word.partition("/")
        given.append(f"{known[first]}{slash}{rest}" if first in known else word)
    try:
        code = main(given)
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert code == 1 and said
    except SystemExit as end:  # argparse's own answers
        said = [capsys.readouterr().err]
        assert end.code == 2
    for word in words:
        assert word in "\n".join(said)
    assert not (tmp_path / "out" / "run.json").exists()


def test_there_are_many_rows():
    assert len(FIELDS) + len(CALLS) + len(FILES) + len(RECORDS) + len(COMMANDS) >= 200
