"""What matters: small trainings that differ from a base in one thing each: python book/ablations.py SCRATCH

Each is scored on training images that were held out. The rows go to data/ablations/<data set>.json as they are done,
from which pages/of_ablations.py fills the page; rows that are there are not made again. SCRATCH keeps the runs. Two
hours on one thread.
"""

import argparse
import dataclasses
import functools
import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from spoco_lite import data
from spoco_lite.data.writing import write_json
from spoco_lite.prediction.decoders import DEFAULTS, WHOLE_IMAGE, WITH_MASK
from spoco_lite.prediction.evaluate import score
from spoco_lite.results.runs import load_model, prediction_size, provenance
from spoco_lite.training.config import Config
from spoco_lite.training.sweep import sweep

FOLDER = Path(__file__).resolve().parents[1] / "data" / "ablations"
WAYS = WHOLE_IMAGE, WITH_MASK
STEPS = 700
# Validated once, at the end: all variants are compared with the weights of the last step.
BASE = Config(dataset="cvppp", fraction=0.1, held_out=16, size=160, batch=4, steps=STEPS, validate_every=STEPS, seed=0)


@dataclass(frozen=True)
class Training:
    """The base, trained with other settings."""

    topic: str
    change: str
    settings: dict


@dataclass(frozen=True)
class AtTest:
    """The base's weights, used in another way."""

    topic: str
    change: str
    networks: object = None  # a function from the pair to another one
    decoder: dict = field(default_factory=dict)  # what differs from the default decoders


class Mirrored(nn.Module):
    """The mean of a network's embeddings of mirrored images, each mirrored back.

    >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
    >>> torch.equal(Mirrored(nn.Identity(), [(), (-1,), (-2,)])(image), image)
    True
    """

    def __init__(self, net: nn.Module, axes: list[tuple[int, ...]]):
        super().__init__()
        self.net, self.axes = net, axes
        self.split = getattr(net, "split", None)  # embeddings and logits of what the network gives

    def forward(self, images: Tensor) -> Tensor:
        found = [self.net(images.flip(axes)).flip(axes) for axes in self.axes]
        return torch.stack(found).mean(0)


def mirrored(pair, axes: list[tuple[int, ...]]):
    return SimpleNamespace(f=Mirrored(pair.f, axes), g=Mirrored(pair.g, axes))


def exchanged(pair):
    return SimpleNamespace(f=pair.g, g=pair.f)


FLIPS = {2: [(), (-1,)], 4: [(), (-1,), (-2,), (-2, -1)]}
REFERENCE = Training("Base", "nothing", {})
PLAN = [  # what tells most comes first
    REFERENCE,
    Training("Background", "a few strokes labelled", {"background": "strokes"}),
    Training("Temperature of the kernel", "threshold 0.75", {"kernel_threshold": 0.75}),
    Training("Seed", "1", {"seed": 1}),
    *(AtTest("Mirrored images", f"mean of {n}", functools.partial(mirrored, axes=FLIPS[n])) for n in FLIPS),
    AtTest("Networks", "f and g exchanged", exchanged),
    *(
        AtTest("Clustering", f"{words}, {'with' if consistent else 'without'} consistency",
               decoder={"cluster": cluster, "consistent": consistent})
        for cluster, words in (("mean_shift", "mean-shift"), ("hdbscan", "HDBSCAN"))
        for consistent in (True, False)
    ),
    *(AtTest("Consistency", f"IoU above {iou}", decoder={"consistent": True, "iou_threshold": iou})
      for iou in (0.4, 0.5, 0.7)),
    *(AtTest("Bandwidth", f"mean-shift, {b}", decoder={"cluster": "mean_shift", "bandwidth": b}) for b in (0.75, 1.25)),
    *(AtTest("Smallest object", f"{n} pixels", decoder={"min_size": n}) for n in (20, 100)),
    Training("Loss", "no consistency", {"consistency": 0.0}),
    Training("Views", "also closer, 0.8 to 1.25", {"scale": (0.8, 1.25)}),
    Training("Views", "nearly the whole image, 1.2 to 1.25", {"scale": (1.2, 1.25)}),
    Training("Network", "half as wide", {"widths": (8, 16, 32, 64, 128)}),
    Training("Seed", "2", {"seed": 2}),
    Training("Objects labelled", "all", {"fraction": 1.0}),
    Training("Background", "all labelled", {"background": "all"}),
    Training("Temperature of the kernel", "threshold 0.25", {"kernel_threshold": 0.25}),
    Training("Loss", "no push from unlabelled pixels", {"unlabeled_push": 0.0}),
    Training("Momentum", "0.99", {"momentum": 0.99}),
    Training("Loss", "soft masks around a pixel, not the mean", {"loss_options": {"anchor": "pixel"}}),
    Training("Loss", "Dice over all objects at once", {"loss_options": {"reduction": "pooled"}}),
    Training("Network", "one level more", {"widths": (16, 32, 64, 128, 256, 512)}),
]  # fmt: skip


def make(row: Training | AtTest, base: Config, scratch: Path) -> dict:
    """Train the row's run unless it is in ``scratch``, score it, and return its entry of the record."""
    settings = row.settings if isinstance(row, Training) else {}
    config = dataclasses.replace(base, **settings)
    name = "-".join(f"{row.topic} {row.change}".lower().replace(",", "").split()) if settings else "base"
    found = sweep({name: config}, scratch)
    if not found:
        raise RuntimeError(f"{scratch / name}: the training failed; its log says why")
    record, pair, changes = found[name], load_model(scratch / name), {}
    entry = {"topic": row.topic, "change": row.change, "at_test": isinstance(row, AtTest), "settings": settings}
    if isinstance(row, AtTest):
        pair, changes = row.networks(pair) if row.networks else pair, row.decoder
        entry["settings"] = row.decoder
    split = data.load(base.dataset, "train", **base.data_options)
    samples = [split[i] for i, name in enumerate(split.names) if name in record["held_out"]]
    entry["scores"] = {}
    for way in WAYS:
        decoder = DEFAULTS[way] | changes
        if not decoder["consistent"]:
            decoder.pop("iou_threshold", None)
        scored = score(
            pair,
            samples,
            decoder,
            size=prediction_size(record["config"]),
            masked=way == WITH_MASK,
            progress=False,
        )
        entry["scores"][way] = scored["mean"] | {"images": {i["name"]: i["sbd"] for i in scored["images"]}}
    return entry | {
        "steps": record["steps"],
        "seconds": record["seconds"],
        "device": record["device"],
        "commit": record["commit"],
        "scored_commit": provenance()["commit"],
    }


def ablate(plan: list[Training | AtTest], base: Config, scratch: Path, path: Path) -> int:
    """Make the rows that ``path`` lacks, and write it after each; returns how many failed.

    Raises ValueError if the rows in ``path`` are those of another base.
    """
    fresh = {"base": dataclasses.asdict(base), "decoders": {way: DEFAULTS[way] for way in WAYS}, "rows": []}
    fresh = json.loads(json.dumps(fresh))  # lists for tuples, as in the file
    record = json.loads(path.read_text()) if path.is_file() else fresh
    recorded = dataclasses.asdict(Config.from_record(record["base"]))  # also of an older version
    for name, there in (("base", json.loads(json.dumps(recorded))), ("decoders", record["decoders"])):
        different = [key for key in fresh[name] if there.get(key) != fresh[name][key]]
        if different:
            raise ValueError(f"{path}: its {name} differ in {', '.join(different)}; delete it to start anew")
    path.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    for row in plan:
        if (row.topic, row.change) in {(r["topic"], r["change"]) for r in record["rows"]}:
            continue
        print(f"== {row.topic}: {row.change}", flush=True)
        try:
            record["rows"].append(make(row, base, scratch))
        except Exception:  # a row that fails does not stop the others
            traceback.print_exc()
            failed += 1
            continue
        write_json(path, record)
        print({way: scores["sbd"] for way, scores in record["rows"][-1]["scores"].items()}, flush=True)
    print(f"{len(record['rows'])} rows in {path}, {failed} failed", flush=True)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path, help="where the runs are kept")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the trainings, so that their times compare
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    sys.exit(min(1, ablate(PLAN, BASE, parser.parse_args().scratch, FOLDER / f"{BASE.dataset}.json")))
