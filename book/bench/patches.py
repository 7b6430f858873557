"""What a training of the bench can have otherwise: nobody should train so, and the module has no options for it.

Most are differences between the paper's equations and the public code, each as a change of a training that follows the
paper; files are those of github.com/kreshuklab/spoco at commit 0f45782. A training has a process to itself, so that a
patch may replace a function of the module.
"""

import math

import numpy as np
import peers
import torch
from torch import Tensor

from spoco_lite import losses, objective
from spoco_lite.objective import LossTerms, SpocoLoss
from spoco_lite.selection import GaussianKernel, draw_anchors, embeddings_at, soft_masks
from spoco_lite.training.loop import Training


class DiceByRows(SpocoLoss):
    """The consistency's Dice is one for each row of the image, over the anchors and the row's pixels.

    A row in which no anchor's object lies has two empty masks, and counts as a complete disagreement.
    """

    def __call__(
        self,
        emb_f: Tensor,
        emb_g: Tensor,
        labels: Tensor,
        *,
        logits: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> LossTerms:
        weight, self.weights["consistency"] = self.weights["consistency"], 0.0
        terms = super().__call__(emb_f, emb_g, labels, logits=logits, generator=generator)
        self.weights["consistency"] = weight
        options = self.options["consistency"]
        draw = {name: options[name] for name in ("max_anchors", "coverage")}
        pixels, valid = draw_anchors(emb_f, emb_g, labels, delta_var=options["delta_var"], generator=generator, **draw)
        kernel = GaussianKernel(options["delta_var"], options["kernel_threshold"])
        p, q = (
            soft_masks(e, embeddings_at(e.flatten(2), pixels), kernel) * valid[..., None, None]
            for e in (emb_f, emb_g.detach())
        )
        overlap, mass = (p * q).sum((1, 3)), (p.square() + q.square()).sum((1, 3))  # (N, rows)
        value = ((1 - 2 * overlap / mass.clamp_min(1e-6)).mean(1) * valid.any(1)).mean()
        return terms._replace(total=terms.total + weight * value, consistency=value)


def dice_by_rows(training: Training) -> None:
    """``spoco/losses.py``: masks are stacked without a channel axis, so that ``flatten`` takes rows for channels."""
    training.loss.__class__ = DiceByRows


def sum_over_the_batch(training: Training) -> None:
    """``spoco/losses.py``: the consistency is added up over the images, all other terms are averaged."""
    training.loss.weights["consistency"] *= training.config.batch


def pooled_dice(training: Training) -> None:
    """``spoco/losses.py``: one Dice over the masks of all objects of an image: large objects outweigh small."""
    training.loss.options["instance"]["reduction"] = "pooled"


def momentum_while_evaluating(training: Training) -> None:
    """``spoco/model.py``: each forward pass moves g, also in validation: 7 batches after every 25 steps, for leaves."""
    step = training.train_step

    def train_step(batch):
        terms = step(batch)
        if training.step % 25 == 0:
            for _ in range(7):
                training.pair.update(min(training.config.momentum, training.step / (training.step + 10)))
        return terms

    training.train_step = train_step


def all_the_rest(training: Training) -> None:
    """No rims: objects stand against all that is unlabelled, strokes have half of that side, and a cut is to be found.

    Even a pixel that is certainly of an object has finite odds; one with half of these is as likely object as not
    (after Elkan and Noto 2008). The odds of the unlabelled pixels above 1 tell. They are averaged over many batches.
    """
    loss, cut = losses.foreground_loss, torch.zeros(())

    def everywhere(labels: Tensor) -> Tensor:
        drawn = (labels > 0).flatten(1).any(1)
        return drawn.view(-1, *[1] * (labels.ndim - 1)).expand_as(labels)

    def without_rims(logits: Tensor, labels: Tensor, **options) -> Tensor:
        values, logits = [], logits + cut  # so that the network's own are cut at 0
        unlabelled = logits[everywhere(labels) & (labels < 0) & (logits > 0)].detach()
        if len(unlabelled):
            cut.lerp_((unlabelled.float().median() - math.log(2)).clamp_min(0), 0.02)
        for z, of_image in zip(logits[:, None], labels[:, None]):
            value = loss(z, of_image, **options)
            if not losses.in_full(of_image.flatten(1)).all():
                value = (value + loss(z.where(of_image > 0, -1e4), of_image, **options)) / 2
            values.append(value)
        return torch.stack(values).mean()

    losses._near_objects, objective.foreground_loss = everywhere, without_rims


def bounded_rest(training: Training) -> None:
    """With strokes, unlabelled pixels beyond the rims count as background too, by a loss that never exceeds 1.

    The surer the network is that a pixel is an object's, the harder softplus pulls, and hidden objects are unlearnt.
    The sigmoid lets go of what is sure, and moves what is in doubt, as is usual in learning from positive and
    unlabelled examples (du Plessis et al. 2014).
    """
    loss = losses.foreground_loss

    def with_the_rest(logits: Tensor, labels: Tensor, **options) -> Tensor:
        slots = labels.flatten(1)
        some = (slots > 0).any(1) & (slots == 0).any(1) & ~losses.in_full(slots)
        rest = (slots < 0) & ~losses._near_objects(labels).flatten(1) & some[:, None]
        values = (logits.flatten(1).sigmoid() * rest).sum(1) / rest.sum(1).clamp_min(1)
        return loss(logits, labels, **options) + losses.mean_over_images(values)

    objective.foreground_loss = with_the_rest


def images_alike(training: Training) -> None:
    """Each image is as likely as any other, annotated or not; so most batches may show no label."""
    batches = training.batches
    batches.streams = [np.arange(len(batches.names))]


def classes_with_rims(training: Training) -> None:
    """The three classes learn what lies outside where our foreground does, not from annotated background alone."""
    peers.three_class_loss = peers.three_class_loss_with_rims


PATCHES = {
    "images alike": images_alike,
    "dice by rows": dice_by_rows,
    "sum over the batch": sum_over_the_batch,
    "pooled dice": pooled_dice,
    "momentum while evaluating": momentum_while_evaluating,
    "all the rest": all_the_rest,
    "bounded rest": bounded_rest,
    "classes with rims": classes_with_rims,
}
