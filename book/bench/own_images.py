"""The sparse path, measured: ten objects labelled in each of eight images, against no training at all.

``python book/bench/own_images.py cells|nuclei STEPS ...`` trains the recipe that ``data check`` proposes, with three
seeds, each on images of its own, and scores images that nobody tuned on: drawn cells, or real nuclei of the split
``test`` of BBBC038. ``--start RUN`` begins with the weights of a run. 0 steps are that run as it is, or, without one,
Otsu's threshold with a watershed. ``--patch`` trains otherwise than the module does (:mod:`patches`). In each of
``--rounds`` somebody looks at what is found in sixteen further images, mends the four worst of those in which any
object is drawn well, and trains as long again.
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
from spoco_lite.data.files import as_image
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
KEY = "images", "start", "patch", "rounds", "seed", "steps"
LABELLED, OBJECTS = 8, 10
LOOKED_AT, MENDED, GOOD = 16, 4, 0.7  # images of a round, and the IoU from which an object counts as well drawn
# On the cells of seeds 0 to 2 the recipe was diagnosed and compared, so they score no more.
SEEDS = {"cells": (3, 4, 5), "nuclei": (0, 1, 2)}


def write_nuclei(folder: Path, seed: int) -> None:
    """Real nuclei as a user has them: ten nuclei and some strokes in eight images of ``train``.

    All images of the split ``test``, with all nuclei, score. Images are grey, of 8 bits.
    """
    train, test = (data.load("bbbc038", split) for split in ("train", "test"))
    chosen = _chosen(len(train), seed)
    some = Samples([train.names[k] for k in sorted(chosen)], train.read)
    plan = plan_annotation(some, number=OBJECTS, seed=seed, background="strokes")
    for split, samples in (("train", [dish.painted(plan.apply(sample)) for sample in some]), ("test", list(test))):
        for sample in samples:
            _save(folder / "images" / f"{sample.name}.png", np.rint(sample.image.mean(0) * 255), np.uint8)
            _save(folder / "labels" / f"{sample.name}.png", sample.labels, np.uint16)
        (folder / f"{split}.txt").write_text("".join(f"{sample.name}\n" for sample in samples))


def _chosen(images: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(images, LABELLED, replace=False)


def other_nuclei(seed: int) -> list[Sample]:
    """Images of ``train`` that :func:`write_nuclei` left."""
    train = data.load("bbbc038", "train")
    rest = np.setdiff1d(np.arange(len(train)), _chosen(len(train), seed))
    return [train[int(k)] for k in np.random.default_rng(1000 + seed).choice(rest, LOOKED_AT, replace=False)]


def other_cells(seed: int) -> list[Sample]:
    return [dish.make_dish(1000 * seed + 900 + k) for k in range(LOOKED_AT)]


def _save(path: Path, values: np.ndarray, dtype: type) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(dtype)).save(path)


WRITERS = {"cells": lambda folder, seed: dish.write(folder, seed=seed), "nuclei": write_nuclei}
OTHERS = {"cells": other_cells, "nuclei": other_nuclei}


def mended(found: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, int]:
    """A map of found objects as somebody mends it who fills every wrong one with a click; and how many clicks.

    What is no object at all becomes background (255), what is badly drawn becomes unlabelled (0). What was missed stays
    unlabelled: nothing is drawn.

    >>> mended(np.array([[1, 1, 1, 2, 2, 3, 3, 0, 0]]), np.array([[5, 5, 5, 0, 0, 6, 6, 6, 6]]))
    (array([[  1,   1,   1, 255, 255,   0,   0,   0,   0]]), 2)
    """
    good = [match.prediction for match in evaluate(truth, found).matches if match.iou > GOOD]
    sizes = np.bincount(found.ravel())
    of_objects = np.bincount(found[truth > 0], minlength=len(sizes)) / np.maximum(sizes, 1)
    wrong = np.setdiff1d(np.unique(found), [0, *good])
    labels = np.where(np.isin(found, good), found, 0)
    labels[np.isin(found, wrong[of_objects[wrong] < 0.1])] = dish.STROKE
    return labels, len(wrong)


def mend(folder: Path, run: Path, others: list[Sample]) -> tuple[list[Sample], int]:
    """Look at what the run finds in ``others``, add the worst to the training images; the others, and the clicks."""
    pair, config = load_model(run), load_run(run)["config"]
    decoder, size = decoder_of(config, masked=False), prediction_size(config)
    looked = []
    for sample in others:
        raw = np.rint(sample.image.mean(0) * 255).astype(np.uint8)
        seen = sample._replace(
            image=as_image(raw, sample.name, ndim=2, stretch=bool(config["data_options"].get("stretch")))
        )
        found = decode(pair, seen, decoder, size=size, masked=False)
        looked.append((evaluate(sample.labels, found).ap50, raw, found, sample))
    looked.sort(key=lambda one: one[0])
    clicks, names = 0, []
    for _, raw, found, sample in looked:
        labels, wrong = mended(found, sample.labels)
        # A label map without any object is refused, as it is for a user, who takes the next image.
        if len(names) < MENDED and ((labels > 0) & (labels < dish.STROKE)).any():
            _save(folder / "images" / f"{sample.name}.png", raw, np.uint8)
            _save(folder / "labels" / f"{sample.name}.png", labels, np.uint16)
            clicks += wrong
            names.append(sample.name)
    with (folder / "train.txt").open("a") as file:
        file.writelines(f"{name}\n" for name in names)
    return [sample for *_, sample in looked if sample.name not in names], clicks


def entry(images: str, start: str | None, patch: str | None, rounds: int, seed: int, steps: int, folder: Path) -> dict:
    """Scores of one training, or of none: means over the test images. A patch stays for all that the process trains.

    ``covered`` is the share of the objects' pixels that lie in any object found, ``clicks`` what mending took.
    """
    WRITERS[images](folder / images, seed)
    config = propose(survey(folder / images))
    test: list[Sample] = list(data.load("folder", "test", **config.data_options))
    began, clicks, others = time.process_time(), 0, OTHERS[images](seed) if rounds else []
    for number in range(rounds + 1 if steps else 0):
        if number:
            others, wrong = mend(folder / images, folder / "run", others)
            clicks += wrong
        config = replace(config, steps=steps * (number + 1), seed=seed, validate_every=steps, start=start)
        training = Training(config, folder / "run")
        if patch:
            PATCHES[patch](training)
        training.run(progress=False)
    if steps:
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
    means |= {"covered": round(float(np.mean(covered)), 4), "clicks": clicks, "cpu_minutes": round(minutes, 2)}
    about = {name: provenance()[name] for name in ("device", "commit")}
    return dict(zip(KEY, (images, start, patch, rounds, seed, steps))) | means | about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", choices=WRITERS)
    parser.add_argument("steps", type=int, nargs="+")
    parser.add_argument("--start", metavar="RUN")
    parser.add_argument("--patch", choices=PATCHES)
    parser.add_argument("--rounds", type=int, default=0, help="of looking and mending")
    parsed = parser.parse_args()
    if parsed.rounds and parsed.patch:
        parser.error(
            "--rounds train several times in one process, and a patch would be put on a patch; give one of both"
        )
    rows = ledger.read(LEDGER)
    for steps in parsed.steps:
        for seed in SEEDS[parsed.images]:
            asked = parsed.images, parsed.start, parsed.patch, parsed.rounds, seed, steps
            if asked not in {tuple(row[name] for name in KEY) for row in rows}:
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(entry(*asked, Path(folder)))
                print(rows[-1], flush=True)
                ledger.write(rows, LEDGER)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
