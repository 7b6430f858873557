"""The SPOCO loss: the six terms of :mod:`spoco_lite.losses`, weighted and added up."""

import math
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

from .losses import (
    consistency_loss,
    foreground_loss,
    instance_term,
    pull_term,
    push_loss,
    regularizer_loss,
    unlabeled_push_term,
)
from .selection import GaussianKernel
from .sums.regions import annotated_regions
from .sums.terms import check_choices, exact, run_terms


class LossTerms(NamedTuple):
    """What :class:`SpocoLoss` returns: the weighted sum to minimise, each term before its weight (0-dim tensors)."""

    total: Tensor
    pull: Tensor
    push: Tensor
    regularizer: Tensor
    instance: Tensor
    unlabeled_push: Tensor
    consistency: Tensor
    foreground: Tensor


class SpocoLoss:
    """The whole loss: a weighted sum of the six terms, for dense and for sparse annotation alike.

    Which terms act follows from the labels: without unlabelled pixels there is no unlabelled push and no consistency.
    A term of weight 0 is not computed, and reported as 0. Weights and constants default to the public code's.

    Parameters
    ----------
    delta_var, delta_dist, kernel_threshold, reduction, anchor, max_anchors, coverage
        as in the terms.
    pull, push, regularizer, instance, unlabeled_push, consistency, foreground
        weights. With a ``foreground`` (not in the paper, so 0 by default) annotated background is no region of its own,
        pulled together and pushed away as one more object: the foreground's channel knows it, and the objects keep away
        from it as from unlabelled pixels.
    max_objects
        upper bound of the labels, for training without waiting for the device
        (:func:`spoco_lite.sums.regions.annotated_regions`).

    Example
    -------
    >>> embeddings = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> labels = torch.full((2, 8, 8), -1); labels[:, :4] = 1; labels[:, :2] = 2
    >>> terms = SpocoLoss()(embeddings, embeddings, labels)
    >>> terms._fields
    ('total', 'pull', 'push', 'regularizer', 'instance', 'unlabeled_push', 'consistency', 'foreground')
    >>> torch.allclose(terms.total, terms.pull + terms.push + .001 * terms.regularizer + terms.instance
    ...                + terms.unlabeled_push + terms.consistency)
    True
    """

    def __init__(
        self,
        *,
        delta_var: float = 0.5,
        delta_dist: float = 2.0,
        kernel_threshold: float = 0.5,
        reduction: str = "object",
        anchor: str = "mean",
        max_anchors: int = 20,
        coverage: float = 0.95,
        pull: float = 1.0,
        push: float = 1.0,
        regularizer: float = 0.001,
        instance: float = 1.0,
        unlabeled_push: float = 1.0,
        consistency: float = 1.0,
        foreground: float = 0.0,
        max_objects: int | None = None,
    ):
        check_choices(reduction=reduction, anchor=anchor)
        lengths = {"delta_var": delta_var, "delta_dist": delta_dist, "coverage": coverage, "max_anchors": max_anchors}
        if max_objects is not None:
            lengths["max_objects"] = max_objects
        for name, value in lengths.items():
            if not (isinstance(value, Real) and 0 < value < math.inf):
                raise ValueError(f"{name}: found {value!r}; give a finite number above 0")
        self.max_objects = max_objects
        self.weights = {
            "pull": pull,
            "push": push,
            "regularizer": regularizer,
            "instance": instance,
            "unlabeled_push": unlabeled_push,
            "consistency": consistency,
            "foreground": foreground,
        }
        for name, weight in self.weights.items():
            if not (isinstance(weight, Real) and 0 <= weight < math.inf):
                raise ValueError(f"{name}: found {weight!r}; a weight is finite, and 0 or more")
        GaussianKernel(delta_var, kernel_threshold)  # complains of a threshold that makes no kernel
        masks = {"delta_var": delta_var, "kernel_threshold": kernel_threshold}
        self.options: dict[str, dict] = {
            "pull": {"delta_var": delta_var},
            "push": {"delta_dist": delta_dist},
            "regularizer": {},
            "instance": {**masks, "reduction": reduction, "anchor": anchor},
            "unlabeled_push": {"delta_dist": delta_dist},
            "consistency": {**masks, "max_anchors": max_anchors, "coverage": coverage},
            "foreground": {"max_objects": max_objects},
        }

    @exact
    def __call__(
        self,
        emb_f: Tensor,
        emb_g: Tensor,
        labels: Tensor,
        *,
        logits: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> LossTerms:
        """Embeddings (N, E, *S) of two aligned views under f and g, labels (N, *S) -> the terms.

        ``logits`` (N, *S), of f, belong to the foreground; ValueError if it has a weight and they are missing.
        """
        given = labels
        if self.weights["foreground"]:
            if logits is None:
                raise ValueError("logits: found None; a foreground of weight > 0 needs those of the network")
            labels = labels.where(labels > 0, -1)
        regions = annotated_regions(emb_f, labels, self.max_objects)
        zero = regions.lifted.new_zeros(())
        values = dict.fromkeys(self.weights, zero)
        on = {name: self.options[name] for name, weight in self.weights.items() if weight}
        terms = {}  # those that look at every pixel
        if "pull" in on:
            terms["pull"] = pull_term(regions, **on["pull"])
        if "instance" in on:
            terms["instance"] = instance_term(regions, **on["instance"], generator=generator)
        if "unlabeled_push" in on:
            terms["unlabeled_push"] = unlabeled_push_term(regions, **on["unlabeled_push"])
        if terms:
            values |= zip(terms, run_terms(regions, *terms.values()))
        if "push" in on:
            values["push"] = push_loss(emb_f, labels, regions=regions, **on["push"])
        if "regularizer" in on:
            values["regularizer"] = regularizer_loss(emb_f, labels, regions=regions)
        if "consistency" in on:
            values["consistency"] = consistency_loss(
                emb_f, emb_g, given, regions=regions, generator=generator, **on["consistency"]
            )
        if "foreground" in on:
            values["foreground"] = foreground_loss(logits, given, **on["foreground"])
        return LossTerms(sum((self.weights[name] * value for name, value in values.items()), zero), **values)
