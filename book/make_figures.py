"""Train what the figure *Click a leaf* shows, and write it to data/figures: python book/make_figures.py [plant|nuclei]

Two short trainings on the CPU, with the book's own recipe: leaves of drawn plants, and nuclei (needs BBBC038). Of one
image that no training saw, each file keeps the embeddings by f and by g at some moments, and where they come from.
"""

import json
import sys
import tempfile

import numpy as np

from spoco_lite import Config, data
from spoco_lite.data.paths import shipped
from spoco_lite.data.sets.rosettes import SPLITS, make_rosette
from spoco_lite.prediction.image import embed
from spoco_lite.results.runs import provenance
from spoco_lite.training.loop import Training

SHOWN = 64  # pixels, height and width of what the figure shows
COMMON = dict(fraction=0.2, foreground=1.0, widths=(16, 32, 64), batch=2, learning_rate=4e-3, held_out=0)
CONFIGS = {
    "plant": (Config(dataset="rosettes", size=80, unit=(3.125, 3.125), steps=2000, **COMMON), (0, 50, 200, 700)),
    "nuclei": (
        Config(dataset="bbbc038", size=64, crop=True, photometry="microscopy", unit=(4.0, 4.0), steps=600, **COMMON),
        (0,),
    ),
}
UNSEEN = 0  # number of the image in the validation split


def unseen_image(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Of an image that no training saw: what the network gets, the objects, what the reader gets to see, and where."""
    if name == "plant":
        size = CONFIGS[name][0].size
        sample = data.load("rosettes", "val", size=size)[UNSEEN]
        rim = (size - SHOWN) // 2  # pot and table
        fine = make_rosette(SPLITS["val"][UNSEEN], size=4 * size).image
        window = np.s_[rim : rim + SHOWN, rim : rim + SHOWN]
        return sample.image, sample.labels, fine[:, 4 * rim : 4 * (rim + SHOWN), 4 * rim : 4 * (rim + SHOWN)], window
    sample = data.load("bbbc038", "val")[UNSEEN]
    corners = [(y, x) for y in range(0, 193, 16) for x in range(0, 193, 16)]
    windows = [np.s_[y : y + SHOWN, x : x + SHOWN] for y, x in corners]
    window = max(windows, key=lambda w: len(np.unique(sample.labels[w])))
    return sample.image, sample.labels, sample.image[(slice(None), *window)], window


def write(name: str) -> None:
    """Train, and keep what the figure shows of it."""
    config, moments = CONFIGS[name]
    training = Training(config, tempfile.mkdtemp())
    image, labels, shown, window = unseen_image(name)
    kept = {}
    for step in range(config.steps + 1):
        if step in moments or step == config.steps:
            for net in "fg":
                embedding = embed(getattr(training.pair, net), image)[(slice(None), *window)]
                kept[f"{net}{step}"] = embedding.numpy().astype(np.float16)
            print(f"{name}: step {step}", flush=True)
        if step < config.steps:
            training.train_step(training.draw(step))
    ids, truth = np.unique(labels[window], return_inverse=True)  # 0, the background, is the first of them
    about = {"config": config.plain(), "unseen": UNSEEN, **provenance(training.device)}
    folder = shipped() / "figures"
    folder.mkdir(exist_ok=True)
    np.savez_compressed(
        folder / f"{name}.npz",
        image=np.rint(255 * shown).astype(np.uint8),
        truth=truth.reshape(SHOWN, SHOWN).astype(np.uint8),
        about=json.dumps(about),
        **kept,
    )


if __name__ == "__main__":
    for chosen in sys.argv[1:] or CONFIGS:
        write(chosen)
