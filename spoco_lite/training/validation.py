"""Validation by what counts: the score after decoding, of g and of f, on images held out of training."""

import copy

import numpy as np
import torch

from ..data import Sample, Size
from ..prediction.decoders import DEFAULTS, Decoding, way_of, with_own
from ..sums.overlaps import overlaps
from ..unet import MomentumPair

# How well f and g must agree on an object: what fits changes as a network learns, and from data set to data set.
THRESHOLDS = 0.3, 0.4, 0.5, 0.6, 0.7


@torch.no_grad()
def validate(
    pair: MomentumPair, samples: list[Sample], *, size: Size | None, decoder: dict | None = None
) -> dict[str, float]:
    """Mean :func:`score_of` of whole images, segmented by g (``score_g``) and by f (``score_f``).

    ``size`` as in :func:`spoco_lite.prediction.image.embed`; ``decoder`` changes options of the default one for
    whole images. Unless it has an ``iou_threshold``, several thresholds are tried, and the best score counts: else
    weights would be kept because they suit one threshold. The networks stay as they are.

    >>> from spoco_lite import data
    >>> from spoco_lite.unet import EmbeddingUNet
    >>> pair = MomentumPair(EmbeddingUNet(3, 4, widths=(4, 8)))
    >>> sorted(validate(pair, data.load("rosettes", "train", size=32)[:1], size=32))
    ['score_f', 'score_g']
    """
    given, decoder = decoder or {}, with_own(DEFAULTS[way_of(pair, masked=False)], decoder)
    decoders = [decoder]
    if decoder["consistent"] and "iou_threshold" not in given:
        decoders = [decoder | {"iou_threshold": threshold} for threshold in THRESHOLDS]
    scores = {}
    for name, networks in (("score_g", pair), ("score_f", exchanged(pair))):
        scored = []
        for sample in samples:
            decoding = Decoding(networks, sample, size=size)
            scored.append([score_of(sample, decoding.labels(d, masked=False)) for d in decoders])
        scores[name] = round(float(np.mean(scored, axis=0).max()), 4)
    return scores


def exchanged(pair: MomentumPair) -> MomentumPair:
    """The same two networks, each in the other's place; nothing is copied.

    >>> from spoco_lite.unet import EmbeddingUNet
    >>> pair = MomentumPair(EmbeddingUNet(3, 4, widths=(4, 8)))
    >>> exchanged(pair).f is pair.g, exchanged(pair).g is pair.f
    (True, True)
    """
    other = copy.copy(pair)
    other._modules = {"f": pair.g, "g": pair.f}
    return other


def score_of(sample: Sample, labels: np.ndarray) -> float:
    """How well labels ``(*S)`` match a sample: symmetric best Dice if it is annotated densely.

    Where pixels are unlabelled, nobody knows which predicted objects are wrong: then it is the mean best Dice of the
    annotated objects, which invented objects do not lower.

    >>> sample = Sample(np.zeros((1, 1, 4), np.float32), np.array([[1, 1, -1, -1]]), "a")
    >>> score_of(sample, np.array([[1, 1, 1, 2]]))
    0.8
    """
    table = overlaps(np.maximum(sample.labels, 0), labels)
    if not len(table.shared):
        return 0.0
    true, found = (best.mean() for best in table.best_dice)
    return float(true if (sample.labels < 0).any() else min(true, found))
