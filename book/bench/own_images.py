"""The sparse path, measured: ten objects labelled in each of eight images, against no training at all.

``python book/bench/own_images.py cells|nuclei STEPS ...`` trains the recipe that ``data check`` proposes, with three
seeds, each on images of its own, and scores images that nobody tuned on: drawn cells, or real nuclei of the split
``test`` of BBBC038. ``--start RUN`` begins with the weights of a run. 0 steps are that run as it is, or, without one,
Otsu's threshold with a watershed. ``--patch`` trains otherwise than the module does (:mod:`patches`).
Each training is one line of ``data/own_images/trainings.jsonl``; those that are there are not made again.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ledger
import numpy as np
import torch
from patches import PATCHES
from peers import decode_threshold
from PIL import Image

from spoco_lite import data
from spoco_lite.data import Sample, Samples
from spoco_lite.data.annotation import plan_annotation
from spoco_lite.data.paths import shipped
from spoco_lite.data.sets import dish
from spoco_lite.data.survey import survey
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.decoders import decode, decoder_of
from spoco_lite.prediction.napari import segment
from spoco_lite.results.runs import load_model, load_run, prediction_size, provenance
from spoco_lite.training.advice import propose
from spoco_lite.training.loop import Training

LEDGER = shipped() / "own_images" / "trainings.jsonl"
KEY = "images", "start", "patch", "seed", "steps"
LABELLED, OBJECTS = 8, 10
# On the cells of seeds 0 to 2 the recipe was diagnosed and compared, so they score no more.
SEEDS = {"cells": (3, 4, 5), "nuclei": (0, 1, 2)}


def write_nuclei(folder: Path, seed: int) -> None:
    """Real nuclei as a user has them: ten nuclei and some strokes in eight images of ``train``.

    All images of the split ``test``, with all nuclei, score. Images are grey, of 8 bits.
    """
    train, test = (data.load("bbbc038", split) for split in ("train", "test"))
    chosen = np.random.default_rng(seed).choice(len(train), LABELLED, replace=False)
    some = Samples([train.names[k] for k in sorted(chosen)], train.read)
    plan = plan_annotation(some, number=OBJECTS, seed=seed, background="strokes")
    for split, samples in (("train", [dish.painted(plan.apply(sample)) for sample in some]), ("test", list(test))):
        for sample in samples:
            _save(folder / "images" / f"{sample.name}.png", np.rint(sample.image.mean(0) * 255), np.uint8)
            _save(folder / "labels" / f"{sample.name}.png", sample.labels, np.uint16)
        (folder / f"{split}.txt").write_text("".join(f"{sample.name}\n" for sample in samples))


def _save(path: Path, values: np.ndarray, dtype: type) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(dtype)).save(path)


WRITERS = {"cells": lambda folder, seed: dish.write(folder, seed=seed), "nuclei": write_nuclei}


def entry(images: str, start: str | None, patch: str | None, seed: int, steps: int, folder: Path) -> dict:
    """Scores of one training, or of none: means over the test images. A patch stays for all that the process trains.

    ``covered`` is the share of the objects' pixels that lie in any object found.
    """
    WRITERS[images](folder / images, seed)
    config = propose(survey(folder / images))
    test: list[Sample] = list(data.load("folder", "test", **config.data_options))
    began = time.process_time()
    if steps:
        config = replace(config, steps=steps, seed=seed, validate_every=steps, start=start)
        training = Training(config, folder / "run")
        if patch:
            PATCHES[patch](training)
        training.run(progress=False)
        pair, plain = load_model(folder / "run"), config.plain()
        decoder, size = decoder_of(plain, masked=False), prediction_size(plain)
    minutes = (time.process_time() - began) / 60
    scores, covered = [], []
    for sample in test:
        if steps:
            found = decode(pair, sample, decoder, size=size, masked=False)
        elif start:
            channels = load_run(start)["config"]["in_channels"]  # of grey images
            found = segment(np.stack([sample.image[0]] * channels, -1), start)
        else:
            found = decode_threshold(sample.image, kind="bright", distance=5)
        scores.append(evaluate(sample.labels, found))
        covered.append((found > 0)[sample.labels > 0].mean())
    means = {k: round(float(np.mean([getattr(s, k) for s in scores])), 4) for k in ("symmetric_best_dice", "ap50")}
    means |= {"covered": round(float(np.mean(covered)), 4), "cpu_minutes": round(minutes, 2)}
    about = {name: provenance()[name] for name in ("device", "commit")}
    return dict(zip(KEY, (images, start, patch, seed, steps))) | means | about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", choices=WRITERS)
    parser.add_argument("steps", type=int, nargs="+")
    parser.add_argument("--start", metavar="RUN")
    parser.add_argument("--patch", choices=PATCHES)
    parsed = parser.parse_args()
    rows = ledger.read(LEDGER)
    for steps in parsed.steps:
        for seed in SEEDS[parsed.images]:
            asked = parsed.images, parsed.start, parsed.patch, seed, steps
            if asked not in {tuple(row[name] for name in KEY) for row in rows}:
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(entry(*asked, Path(folder)))
                print(rows[-1], flush=True)
                ledger.write(rows, LEDGER)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
