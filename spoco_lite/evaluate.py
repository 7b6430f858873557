"""Scores of a trained run, per image, with and without the foreground mask; the decoder chosen on training images.

A *decoder* is a plain dictionary, so that a record can hold it: ``cluster`` ("mean_shift" or "hdbscan"), ``consistent``
(keep only objects on which f and g agree), and keyword arguments of the clusterer and of the segmentation.
"""

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm.auto import tqdm

from . import data
from .clustering import hdbscan_clusters, mean_shift
from .data import Sample
from .metrics import evaluate
from .plot import match_colours, panels
from .predict import segment_image
from .runs import load_model, load_run, provenance, run_folder, write_json
from .unet import MomentumPair

CLUSTERERS = {"mean_shift": mean_shift, "hdbscan": hdbscan_clusters}
WITH_MASK, WHOLE_IMAGE = (
    "inside the given foreground",
    "whole image",
)  # the two ways to score, as tables name them

# Chosen on 11 training images of CVPPP with the networks of two recorded runs, trained on 10% and 100% of the leaves.
INSIDE, OUTSIDE = {"consistent": False, "min_size": 50}, {"consistent": True, "min_size": 50}
DEFAULTS = {
    WITH_MASK: {"cluster": "hdbscan", **INSIDE},
    WHOLE_IMAGE: {"cluster": "mean_shift", "radius": 1.0, "iou_threshold": 0.6, **OUTSIDE},
}
CANDIDATES = {
    WITH_MASK: [
        {"cluster": "hdbscan", **INSIDE},
        {"cluster": "hdbscan", "min_samples": 5, **INSIDE},
        {"cluster": "hdbscan", "min_cluster_size": 60, **INSIDE},
        *({"cluster": "mean_shift", "bandwidth": b, **INSIDE} for b in (0.75, 1.0, 1.25)),
    ],
    WHOLE_IMAGE: [
        *(
            {"cluster": "mean_shift", "bandwidth": b, "radius": r, "iou_threshold": t, **OUTSIDE}
            for b, r in ((1.0, 1.0), (0.75, 1.25))
            for t in (0.3, 0.4, 0.5, 0.6, 0.7)
        ),
        {"cluster": "mean_shift", "radius": 1.0, "consistent": False, "min_size": 50},
    ],
}
OF_SEGMENTATION = ("iou_threshold", "min_size")  # the options of a decoder that are not its clusterer's


def decode(pair: MomentumPair, sample: Sample, decoder: dict, *, size: int, masked: bool) -> np.ndarray:
    """Labels ``(*S)`` of a sample by a decoder; with ``masked`` inside the foreground that comes with the data set.

    Raises ValueError if there is no such foreground.

    >>> pair, sample = load_model("cvppp-10"), data.load("rosettes", "val", size=32)[0]
    >>> decode(pair, sample, {"cluster": "mean_shift", "consistent": False}, size=32, masked=True).shape
    (32, 32)
    """
    if masked and sample.foreground is None:
        raise ValueError(
            f"{sample.name}: the data set gives no foreground mask; score the whole image instead"
        )
    options = dict(decoder)
    clusterer, consistent = CLUSTERERS[options.pop("cluster")], options.pop("consistent")
    segmentation = {key: options.pop(key) for key in OF_SEGMENTATION if key in options}
    labels = segment_image(
        pair,
        sample.image,
        size=size,
        foreground=sample.foreground if masked else None,
        consistent=consistent,
        cluster=partial(clusterer, **options),
        **segmentation,
    )
    return labels.cpu().numpy()


def score(
    pair: MomentumPair,
    samples: list[Sample],
    decoder: dict,
    *,
    size: int,
    masked: bool,
    progress: bool = True,
) -> dict:
    """Scores of each image in its own size, and means: ``{decoder, mean {sbd, dic, abs_dic, ap50}, images [...]}``.

    >>> pair, samples = load_model("cvppp-10"), data.load("rosettes", "val", size=32)[:1]
    >>> decoder = {"cluster": "mean_shift", "consistent": False}
    >>> score(pair, samples, decoder, size=32, masked=True, progress=False)["images"][0]["name"]
    'rosette040'
    """
    images = []
    for s in tqdm(samples, disable=not progress, desc="scoring", unit="image"):
        result = evaluate(s.labels, decode(pair, s, decoder, size=size, masked=masked))
        images.append(
            {
                "name": s.name,
                "sbd": round(result.symmetric_best_dice, 4),
                "dic": result.difference_in_count,
                "ap50": round(result.ap50, 4),
            }
        )
    mean = {key: round(float(np.mean([i[key] for i in images])), 4) for key in ("sbd", "dic", "ap50")}
    mean["abs_dic"] = round(float(np.mean([abs(i["dic"]) for i in images])), 4)
    return {"decoder": decoder, "mean": mean, "images": images}


def tune(
    pair: MomentumPair, samples: list[Sample], *, size: int, masked: bool, progress: bool = True
) -> dict:
    """Try the candidate decoders on *training* images: ``{images, tried [{decoder, sbd, dic}]}``, best first.

    >>> pair, samples = load_model("cvppp-10"), data.load("rosettes", "train", size=32)[:1]
    >>> tried = tune(pair, samples, size=32, masked=True, progress=False)["tried"]
    >>> len(tried), sorted(tried[0])
    (6, ['decoder', 'dic', 'sbd'])
    """
    tried = []
    for decoder in CANDIDATES[WITH_MASK if masked else WHOLE_IMAGE]:
        mean = score(pair, samples, decoder, size=size, masked=masked, progress=progress)["mean"]
        tried.append({"decoder": decoder, "sbd": mean["sbd"], "dic": mean["dic"]})
    tried.sort(key=lambda t: -t["sbd"])
    return {"images": [s.name for s in samples], "tried": tried}


def evaluate_run(
    name: str | Path, *, split: str = "val", tuning_images: int = 12, progress: bool = True
) -> dict:
    """Score a run's weights on a split and write the scores into its ``run.json``; returns the record.

    Each way of scoring is done twice: with the default decoder, and with the one that is best on the first
    ``tuning_images`` *training* images, for which all labels are used. Nothing is chosen on the split that is scored.
    """
    folder = run_folder(name)
    record, pair = load_run(folder), load_model(folder)
    dataset, size = record["config"]["dataset"], record["config"]["size"]
    options = record["config"].get("data_options", {})
    samples = list(data.load(dataset, split, **options))
    training = list(data.load(dataset, "train", **options)[:tuning_images])
    ways = [WHOLE_IMAGE] if samples[0].foreground is None else [WITH_MASK, WHOLE_IMAGE]
    record["scores"], record["tuning"] = {}, {}
    for way in ways:
        common = {"size": size, "masked": way == WITH_MASK, "progress": progress}
        record["tuning"][way] = tune(pair, training, **common)
        best = record["tuning"][way]["tried"][0]["decoder"]
        for label, decoder in ((f"{way}, default decoder", DEFAULTS[way]), (f"{way}, tuned decoder", best)):
            record["scores"][label] = {"split": split, **score(pair, samples, decoder, **common)}
    record["scored_commit"] = provenance()[
        "commit"
    ]  # decoders change; the weights stay those of the training
    write_json(folder / "run.json", record)
    draw_examples(pair, samples, record, folder / "examples.jpg")
    return record


def draw_examples(pair: MomentumPair, samples: list[Sample], record: dict, path: Path) -> None:
    """A picture of the best, the median and the worst image of a scored run, by the SBD of the last way of scoring."""
    *_, label = record["scores"]
    images = sorted(record["scores"][label]["images"], key=lambda image: -image["sbd"])
    chosen = {"best": images[0], "median": images[len(images) // 2], "worst": images[-1]}
    by_name = {s.name: s for s in samples}
    pictures, titles = [], []
    for rank, image in chosen.items():
        sample = by_name[image["name"]]
        pictures += [sample.image, sample.labels]
        titles += [f"{rank}: {sample.name}", "annotated"]
        for way in record["tuning"]:
            scored = record["scores"][f"{way}, tuned decoder"]
            labels = decode(
                pair, sample, scored["decoder"], size=record["config"]["size"], masked=way == WITH_MASK
            )
            sbd = next(i["sbd"] for i in scored["images"] if i["name"] == sample.name)
            pictures.append(match_colours(sample.labels, labels))
            titles.append(f"{way}\nSBD {sbd:.2f}")
    figure = panels(pictures, titles, columns=len(pictures) // len(chosen))[0].figure
    figure.savefig(path, dpi=80, bbox_inches="tight", pil_kwargs={"quality": 75})
    plt.close(figure)
