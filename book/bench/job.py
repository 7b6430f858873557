"""One row of the bench with one seed: train it, measure it, and leave ``entry.json``. Killed, it goes on where it was.

``python book/bench/job.py ROW SEED FOLDER``, which ``python book/bench`` starts as often as it needs to.
"""

import _thread
import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from measure import bound, mistakes, objects_and_means, pairs_apart, pixels_in_place
from patches import PATCHES
from peers import ThreeClassLoss, decode_classes, decode_threshold
from rows import BASES, ROWS, Row

from spoco_lite import data
from spoco_lite.augment import two_views
from spoco_lite.data import Sample, resize
from spoco_lite.data.writing import write_json
from spoco_lite.losses import consistency_loss
from spoco_lite.metrics import evaluate
from spoco_lite.objective import LossTerms
from spoco_lite.prediction.decoders import DEFAULTS, Decoding, way_of
from spoco_lite.prediction.image import resize_labels
from spoco_lite.results.runs import load_model, load_run, prediction_size, provenance, save_weights
from spoco_lite.selection import draw_anchors
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training

MIN_SIZE = 20  # pixels of the network; a smaller object is none, for every row and peer
PROBES = 5  # times that a training is looked into, the last one at its end
WHOLE, INSIDE = "whole image", "inside the mask"


def config_of(row: Row, seed: int) -> Config:
    """The configuration of a row; weights of the last step are kept, so it is looked at ``PROBES`` times only."""
    given = BASES[row.base] | row.settings | {"seed": seed}
    if row.peer == "three classes":
        given |= {"embedding_dim": 3, "consistency": 0.0, "unit": None, "foreground": 0.0}
    return Config(**given, validate_every=-(-given["steps"] // PROBES))


class Watched(Training):
    """A training that notes, a few times, what moves it and whether f and g agree; scores nothing until its end."""

    def _validate(self) -> None:
        self.kept = {"step": self.step, "score": None}
        save_weights(self.pair, self.folder / "weights.safetensors")
        if not isinstance(self.loss, ThreeClassLoss):
            self.pair.eval()
            self.curve[-1] |= {"gradients": self.gradients(), "agreement": self.agreement()}

    def gradients(self) -> dict[str, float]:
        """Norm of the gradient of each term, with its weight, for the parameters of f, of the next batch."""
        batch = self.draw(self.step)
        emb_f, emb_g, logits = self.embed(batch)
        terms = self.loss(emb_f, emb_g, batch.labels, logits=logits, generator=self.generator())
        norms = {}
        for name in LossTerms._fields[1:]:
            value, weight = getattr(terms, name), self.loss.weights[name]
            if weight and value.requires_grad:
                found = torch.autograd.grad(
                    weight * value, list(self.pair.f.parameters()), retain_graph=True, allow_unused=True
                )
                norms[name] = float(torch.stack([g.norm() for g in found if g is not None]).norm())
        return {name: round(norm, 4) for name, norm in norms.items()}

    @torch.no_grad()
    def agreement(self, images: int = 8) -> dict[str, float]:
        """Anchors as the consistency draws them, in two views of held-out images of which nothing is annotated.

        How many lie on objects, and 1 minus the consistency of those on objects and of those on the background.
        """
        config, shares, agree = self.config, [], {"objects": [], "background": []}
        for sample in self.held_out[:images]:
            if not config.crop:
                sample = resize(sample, round(config.size * 1.25))
            image, labels = torch.from_numpy(sample.image)[None], torch.from_numpy(sample.labels)[None]
            views = {"scale": config.view_scale, "symmetry": config.symmetry, "photometry": config.photometry}
            view_f, view_g, labels = two_views(image, labels, size=config.size, seed=0, **views)
            emb_f, emb_g = self.pair.f.split(self.pair.f(view_f))[0], self.pair.g.split(self.pair.g(view_g))[0]
            generator = torch.Generator().manual_seed(0)
            pixels, valid = draw_anchors(emb_f, emb_g, torch.full_like(labels, -1), generator=generator)
            pixels = pixels[valid]
            on_object = labels.flatten()[pixels] > 0
            shares.append(on_object.float().mean().item())
            width = labels.shape[-1]
            for name, chosen in (("objects", pixels[on_object]), ("background", pixels[~on_object])):
                if len(chosen):
                    anchors = torch.stack([chosen // width, chosen % width], 1)[None]
                    agree[name].append(1 - consistency_loss(emb_f, emb_g, labels, anchors=anchors).item())
        found = {f"agreement on {name}": np.mean(values) for name, values in agree.items() if values}
        return {
            name: round(float(value), 4) for name, value in ({"anchors on objects": np.mean(shares)} | found).items()
        }


def train(row: Row, config: Config, folder: Path) -> tuple[dict, float]:
    """Train to the end, or go on; returns the record and the seconds of processor time, also those of earlier parts."""
    spent = folder / "cpu_seconds"
    before = float(spent.read_text()) if spent.is_file() else 0.0
    training = Watched(config, folder)
    if row.peer == "three classes":
        training.loss = ThreeClassLoss(max_objects=training.loss.max_objects)
    if row.patch:
        PATCHES[row.patch](training)
    start = time.process_time()
    save = training.save

    def save_all():
        save()
        spent.write_text(str(before + time.process_time() - start))

    training.save = save_all
    record = training.run(progress=False)
    return record, float(spent.read_text()) if spent.is_file() else 0.0


def held_out(config: Config) -> list[Sample]:
    """The training images that no row of the plan trains on, in their own size, with all labels."""
    split = data.load(config.dataset, "train", **config.data_options)
    return [split[i] for i in range(len(split) - config.held_out, len(split))]


def score(row: Row, config: Config, folder: Path, samples: list[Sample]) -> tuple[dict, dict]:
    """Scores of each image, ``{way: {image: [SBD, AP50, difference in count]}}``, and what tells why, as means."""
    pair = None if row.peer == "threshold" else load_model(folder)
    size = prediction_size(config.plain())
    scores, why = {WHOLE: {}, INSIDE: {}}, []
    for sample in samples:
        sample = sample._replace(foreground=sample.labels > 0)
        small = resize(sample, size) if size else sample
        decoding = None if pair is None else Decoding(pair, sample, size=size)
        found = {}
        for way in scores:
            mask = small.foreground if way == INSIDE else None
            if row.peer == "threshold":
                labels = decode_threshold(small.image, **BASES_OF_THRESHOLD[row.base], foreground=mask)
            elif row.peer == "three classes":
                labels = decode_classes(decoding.seen_by_g[0].numpy(), foreground=mask, min_size=MIN_SIZE)
            else:
                decoder = DEFAULTS[way_of(pair, masked=way == INSIDE)] | {"specks": MIN_SIZE}
                labels = decoding.labels(decoder, masked=way == INSIDE)
            if labels.shape != sample.labels.shape:
                labels = resize_labels(torch.from_numpy(labels), sample.labels.shape).numpy()
            result = evaluate(sample.labels, labels)
            one = result.symmetric_best_dice, result.ap50, result.difference_in_count
            scores[way][sample.name] = [round(float(value), 4) for value in one]
            found |= {f"{way}: {name}": count for name, count in mistakes(sample.labels, labels).items()}
            found[f"{way}: objects covered"] = np.mean([m.iou > 0.5 for m in result.matches])
        if decoding and row.peer is None:
            found |= embeddings(decoding, small, config)
        why.append(found)
    names = dict.fromkeys(name for found in why for name in found)
    return scores, {name: round(float(np.mean([f[name] for f in why if name in f])), 4) for name in names}


def embeddings(decoding: Decoding, small: Sample, config: Config) -> dict[str, float]:
    """What the embeddings of an image by g say, whatever the decoder."""
    emb_g, foreground = decoding.seen_by_g
    emb_g, labels = emb_g.numpy(), small.labels
    ids, means = objects_and_means(emb_g, labels)
    result = evaluate(labels, bound(emb_g, labels, means))
    found = {"bound: SBD": result.symmetric_best_dice, "bound: AP50": result.ap50}
    found |= pairs_apart(labels, ids, means, least=2 * config.delta_dist)
    found |= pixels_in_place(emb_g, labels, means, reach=2 * config.delta_var)
    if foreground is not None:
        mask, truth = foreground.numpy(), labels > 0
        found["foreground: precision"] = (mask & truth).sum() / max(1, mask.sum())
        found["foreground: recall"] = (mask & truth).sum() / max(1, truth.sum())
    return found


BASES_OF_THRESHOLD = {"leaves": {"kind": "green", "distance": 5}, "nuclei": {"kind": "bright", "distance": 5}}


def make(row: Row, seed: int, folder: Path) -> dict:
    """The entry of a row with a seed, as ``data/bench`` keeps it."""
    config = config_of(row, seed)
    record, seconds = (None, 0.0) if row.peer == "threshold" else train(row, config, folder)
    scores, why = score(row, config, folder, held_out(config))
    entry = {"row": row.name, "seed": seed, "base": row.base, "settings": row.settings}
    entry |= {"peer": row.peer, "patch": row.patch, "steps": config.steps, "cpu_minutes": round(seconds / 60, 2)}
    if record:
        curve = [{k: v for k, v in point.items() if k in KEPT} for point in record["curve"] if "gradients" in point]
        entry |= {"objects": record["data"]["annotated_objects"], "of": record["data"]["objects"], "curve": curve}
    source = load_run(folder) if record else provenance()
    return entry | {"scores": scores, "why": why, "device": source["device"], "commit": source["commit"]}


KEPT = {"step", "gradients", "agreement", *LossTerms._fields, "within", "apart", "anchors"}


def _end_with_the_parent() -> None:
    os.read(0, 1)  # nothing is written: this returns when the pipe is closed
    _thread.interrupt_main()


if __name__ == "__main__":
    name, seed, folder = sys.argv[1:]
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    row = next(row for row in ROWS if row.name == name)
    with contextlib.suppress(KeyboardInterrupt):
        write_json(Path(folder) / "entry.json", make(row, int(seed), Path(folder)))
