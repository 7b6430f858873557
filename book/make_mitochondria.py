"""What chapter 8 shows and does not make itself: python book/make_mitochondria.py network | growth | pictures RUNS

``network`` trains on the first slices of a drawn stack and leaves ``data/tubes``: the record and the weights, which the
chapter uses live. ``growth`` measures that network on larger and larger stacks, in tiles and in one piece, each in a
process of its own, and leaves ``data/tubes/growth.json``. ``pictures`` draws slices of ``vnc`` that no training saw,
with what the trainings of ``book/bench/slices.py`` left in the folder RUNS, to ``data/figures/mitochondria.jpg``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from skimage.segmentation import relabel_sequential

from spoco_lite import data
from spoco_lite.data.paths import shipped
from spoco_lite.data.sets import tubes
from spoco_lite.data.writing import write_json
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.decoders import arguments
from spoco_lite.prediction.evaluate import evaluate_run, tuned_decoder
from spoco_lite.prediction.image import segment_image
from spoco_lite.prediction.stream import LazyImage
from spoco_lite.prediction.tiles import segment_tiles
from spoco_lite.results.runs import WEIGHTS, load_model, peak_memory_mb, provenance
from spoco_lite.show.plot import match_colours, panels
from spoco_lite.training.loop import Config, train

SHOWN = 144  # pixels of a side of what the pictures show
TILE, SIDES = 48, (48, 96, 192, 288)  # pixels

CONFIG = Config(
    dataset="folder",
    data_options={"path": "tubes", "background": 0},
    held_out=0,
    background="all",
    consistency=0.0,
    unlabeled_push=0.0,
    foreground=10.0,
    size=(8, 48, 48),
    crop=True,
    photometry="microscopy",
    in_channels=1,
    embedding_dim=8,
    widths=(8, 16, 32),
    unit=(1.25, 5.0, 5.0),
    batch=2,
    steps=1350,
    learning_rate=4e-3,
    log_every=100,
    decoder={"cluster": "mean_shift", "bandwidth": 1.25, "merge": 1.25, "min_size": 40},
)


def network() -> None:
    """Train, choose the decoder on the training slices, score the test slices; keep the record and the weights."""
    target = shipped() / "tubes"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the record names the data without the place where they lay
        tubes.write("tubes")
        train(CONFIG, "tubes-run")
        evaluate_run("tubes-run")
        target.mkdir(exist_ok=True)
        for name in ("run.json", WEIGHTS):
            shutil.copy(Path(folder) / "tubes-run" / name, target / name)


def growth() -> None:
    """Seconds of one thread and peak memory for stacks of growing sides."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            stack = tubes.make_tubes(0, shape=(tubes.SHAPE[0], side, side))
            np.save(Path(folder) / "image.npy", np.rint(stack.image[0] * 255).astype(np.uint8))
            for way in ("tiles", "one piece"):
                command = [sys.executable, __file__, "measure", way, folder]
                row = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
                found = np.load(Path(folder) / "found.npy")
                row |= {"ap50": round(evaluate(stack.labels, found).ap50, 3), "objects": int(stack.labels.max())}
                rows.append({"way": way, "voxels": list(stack.labels.shape), **row})
                print(rows[-1], flush=True)
    about = {"tile": TILE, "sides": SIDES, **provenance(), "rows": rows}
    write_json(shipped() / "tubes" / "growth.json", about)


def measure(way: str, folder: Path) -> dict:
    """One stack, one way, in a fresh process."""
    torch.set_num_threads(1)
    pair = load_model(shipped() / "tubes")
    options = arguments(tuned_decoder(shipped() / "tubes", masked=False))
    image = LazyImage(folder / "image.npy", ndim=3)
    found = np.lib.format.open_memmap(folder / "found.npy", "w+", np.uint32, image.shape[1:])
    before, start = peak_memory_mb(), time.process_time()
    if way == "tiles":
        segment_tiles(pair, image, out=found, tile=TILE, progress=False, **options)
    else:
        found[...] = segment_image(pair, image[...], **options).numpy()
    found.flush()
    return {"seconds": round(time.process_time() - start, 1), "mib": peak_memory_mb() - before}


def pictures(runs: Path) -> None:
    """Two test slices of ``vnc``, where most mitochondria are, and what the first seed of both trainings found."""
    test = data.load("vnc", "test", size=(1.0, 0.25, 0.25))[0]
    corners = [(y, x) for y in range(0, 256 - SHOWN + 1, 16) for x in range(0, 256 - SHOWN + 1, 16)]
    windows = [np.s_[:, y : y + SHOWN, x : x + SHOWN] for y, x in corners]
    window = max(windows, key=lambda w: len(np.unique(test.labels[w])))
    labels = relabel_sequential(test.labels[window])[0]
    shown = [test.image[0][window], labels]
    for row in ("mitochondria-volumes", "mitochondria-slices"):
        if not (runs / f"{row}-0" / "found.npz").is_file():
            continue
        with np.load(runs / f"{row}-0" / "found.npz") as found:
            shown.append(match_colours(labels, found["whole image"].astype(np.int64)[window]))
    titles = ["{}", "marked", "found in volumes", "found in slices, linked"]
    rows = [(one[z], title.format(f"slice {16 + z}")) for z in (1, 2) for one, title in zip(shown, titles)]
    axes = panels(*zip(*rows), columns=len(shown), width=2.4)
    figure = axes[0].figure
    figure.savefig(shipped() / "figures" / "mitochondria.jpg", dpi=80, bbox_inches="tight", pil_kwargs={"quality": 80})


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["network"]:
            network()
        case ["growth"]:
            growth()
        case ["pictures", folder]:
            pictures(Path(folder))
        case ["measure", way, folder]:
            print(json.dumps(measure(way, Path(folder))))
        case _:
            sys.exit(__doc__)
