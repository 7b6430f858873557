"""The sparse path, measured: ten objects labelled in each of eight drawn images, against no training at all.

``python book/bench/dish.py [STEPS ...]`` trains the recipe that ``data check`` proposes, with three seeds, each on
images of its own, and scores eight others that nobody tuned on. It leaves ``data/own_images/dish.jsonl``.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from peers import decode_threshold
from rows import SEEDS

from spoco_lite import data
from spoco_lite.data.paths import shipped
from spoco_lite.data.sets import dish
from spoco_lite.data.survey import survey
from spoco_lite.data.writing import whole
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.decoders import decode, decoder_of
from spoco_lite.results.runs import load_model, prediction_size, provenance
from spoco_lite.training.advice import propose
from spoco_lite.training.loop import train

STEPS = 300, 1000
LEDGER = shipped() / "own_images" / "dish.jsonl"


def entry(seed: int, steps: int | None, folder: Path) -> dict:
    """Scores of one training, or of none: means over the test images."""
    dish.write(folder / "cells", seed=seed)
    config = propose(survey(folder / "cells"))
    test = list(data.load("folder", "test", **config.data_options))
    start = time.process_time()
    if steps:
        config = replace(config, steps=steps, seed=seed, validate_every=steps)
        train(config, folder / "run", progress=False)
        pair, plain = load_model(folder / "run"), config.plain()
        decoder, size = decoder_of(plain, masked=False), prediction_size(plain)
    minutes = (time.process_time() - start) / 60
    scores = []
    for sample in test:
        if steps:
            found = decode(pair, sample, decoder, size=size, masked=False)
        else:
            found = decode_threshold(sample.image, kind="bright", distance=5)
        scores.append(evaluate(sample.labels, found))
    means = {k: round(float(np.mean([getattr(s, k) for s in scores])), 4) for k in ("symmetric_best_dice", "ap50")}
    about = {name: provenance()[name] for name in ("device", "commit")}
    return {"seed": seed, "steps": steps or 0, "cpu_minutes": round(minutes, 2)} | means | about


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in LEDGER.read_text().splitlines()] if LEDGER.is_file() else []
    for steps in (None, *(map(int, sys.argv[1:]) if sys.argv[1:] else STEPS)):
        for seed in SEEDS:
            if not any((row["seed"], row["steps"]) == (seed, steps or 0) for row in rows):
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(entry(seed, steps, Path(folder)))
                print(rows[-1], flush=True)
                with whole(LEDGER) as temporary:
                    temporary.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
