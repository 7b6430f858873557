"""Scoring a volume."""

import numpy as np
from bench_loss import seconds

from spoco_lite.metrics import evaluate


def metrics() -> list[dict]:
    """`evaluate` on 100^3 voxels with 200 objects in blocks, the prediction shifted by two voxels."""
    truth = np.random.default_rng(0).permutation(1000).reshape(10, 10, 10)
    truth = np.where(truth < 200, truth + 1, 0).repeat(10, 0).repeat(10, 1).repeat(10, 2)
    prediction = np.roll(truth, 2, axis=0)
    return [
        {
            "what": "evaluate, 100^3 voxels, 200 objects",
            "seconds": seconds(lambda: evaluate(truth, prediction)),
        }
    ]
