"""What a run learns from: samples with the annotation that its plan leaves them, and images held out to validate on."""

import hashlib
from typing import NamedTuple

import numpy as np

from .. import data
from ..data import Plan, Sample
from .batches import check_sample
from .config import Config


class Material(NamedTuple):
    """``samples`` to train on, annotated by ``plan``; ``held_out``, in their own size; what the record says of them."""

    samples: list[Sample]
    held_out: list[Sample]
    plan: Plan
    description: dict


def gather(config: Config) -> Material:
    """Read the training split, hold out its last images, and annotate the others by a plan.

    Raises ValueError for samples that do not fit the configuration, and if none is left to train on.

    >>> material = gather(Config(size=32, held_out=2, fraction=0.5))
    >>> len(material.samples), len(material.held_out), material.description["annotated_objects"]
    (38, 2, 231)
    """
    # Images that are brought to a size keep some more, so that crops of 70% of the area keep their detail.
    size = config.zoom if config.crop else round(config.size * 1.25)
    split = list(data.load(config.dataset, "train", size=size, **config.data_options))
    for sample in split:
        check_sample(sample, config)
    dense = split[: len(split) - config.held_out]
    if not dense:
        raise ValueError(f"held_out: {config.held_out} of {len(split)} training images leave none to train on")
    held_out = list(data.load(config.dataset, "train", **config.data_options)[len(dense) :])
    plan = data.plan_annotation(
        dense,
        config.annotate,
        fraction=config.fraction if config.number is None else None,
        number=config.number,
        seed=config.seed,
        background=config.background,
    )
    samples = [plan.apply(s) for s in dense]
    if not config.consistency:  # the only term that learns from an image without any annotation
        samples = [s for s in samples if (s.labels >= 0).any()]
    return Material(samples, held_out, plan, _describe(config, plan, dense, split))


def _describe(config: Config, plan: Plan, dense: list[Sample], split: list[Sample]) -> dict:
    """What the run was trained on, and what it cost to annotate."""
    cost = plan.cost(dense)
    names = "\n".join(s.name for s in split) + "\n"
    return {
        "dataset": config.dataset,
        "split": "train",
        "images": cost.images,
        "annotated_images": cost.annotated_images,
        "objects": cost.objects,
        "annotated_objects": cost.annotated_objects,
        "annotated_pixels": round(cost.annotated_pixels / cost.pixels, 4),
        "held_out_objects": sum(len(np.unique(s.labels[s.labels > 0])) for s in split[len(dense) :]),
        "checksum": hashlib.sha256(names.encode()).hexdigest(),
        "labels": _digest(split),
    }


def _digest(samples: list[Sample]) -> str:
    """A number for all their labels, so that a change is noticed.

    >>> some = Sample(np.zeros((1, 1, 2), np.float32), np.array([[0, 1]]), "a")
    >>> _digest([some]) == _digest([some]), _digest([some]) == _digest([some._replace(labels=np.array([[0, 2]]))])
    (True, False)
    """
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(str(sample.labels.shape).encode())
        digest.update(np.ascontiguousarray(sample.labels, np.int32))
    return digest.hexdigest()
