"""Decoders on whole images and volumes, and what clustering a part of the pixels costs in score.

`decoding` and `subsample` take real leaves (CVPPP) and a network that was trained on them, a recorded run.
"""

import resource
import time
from functools import partial

import numpy as np
import torch
from bench_loss import seconds
from scenes import nuclei

from spoco_lite import data, points
from spoco_lite.clustering import consistency_clustering, hdbscan_clusters, mean_shift, segment
from spoco_lite.metrics import symmetric_best_dice
from spoco_lite.predict import embed
from spoco_lite.runs import load_model

RUN, SIZE = "cvppp-100", 448


def embedded(count: int, size: int = SIZE) -> list[tuple]:
    """Some training images of the run: (sample, embeddings of f, of g, foreground)."""
    pair = load_model(RUN)
    training = data.load("cvppp", "train", size=size)
    chosen = [training[i] for i in range(0, len(training), len(training) // count)][:count]
    return [
        (s, embed(pair.f, s.image), embed(pair.g, s.image), torch.from_numpy(s.foreground)) for s in chosen
    ]


def decoding() -> list[dict]:
    """Seconds for an image of 448 x 448 pixels, E = 16: median over images."""
    images = embedded(3)
    decoders = {
        "mean-shift, whole image": lambda f, g, mask: segment(g),
        "HDBSCAN, whole image": lambda f, g, mask: segment(g, cluster=hdbscan_clusters),
        "consistency, whole image": lambda f, g, mask: consistency_clustering(f, g),
        "mean-shift, inside the mask": lambda f, g, mask: segment(g, foreground=mask),
        "HDBSCAN, inside the mask": lambda f, g, mask: segment(g, cluster=hdbscan_clusters, foreground=mask),
    }
    return [
        {
            "what": name,
            "seconds": float(
                np.median([seconds(partial(decode, *image[1:]), at_least=1.0) for image in images])
            ),
        }
        for name, decode in decoders.items()
    ]


def every_pixel_mean_shift(x: torch.Tensor) -> torch.Tensor:
    """Mean-shift in which every pixel is a seed and counts in every step of the climb."""
    before = points.SAMPLE
    points.SAMPLE = len(x)
    try:
        return mean_shift(x, seeds=len(x))
    finally:
        points.SAMPLE = before


def subsample() -> list[dict]:
    """SBD of the defaults beside clustering every pixel, on the same embeddings of real leaves."""
    every_hdbscan = partial(hdbscan_clusters, subsample=10**9)
    cases = [
        ("mean-shift", "inside the mask", mean_shift, every_pixel_mean_shift, SIZE, 10),
        ("HDBSCAN", "inside the mask", hdbscan_clusters, every_hdbscan, SIZE, 10),
        ("mean-shift", "whole image", mean_shift, every_pixel_mean_shift, 256, 4),
        ("HDBSCAN", "whole image", hdbscan_clusters, every_hdbscan, SIZE, 4),
    ]
    rows = []
    for name, where, default, every, size, count in cases:
        scores, times = [], []
        for sample, _, emb_g, mask in embedded(count, size):
            foreground = mask if where == "inside the mask" else None
            for cluster in (default, every):
                start = time.perf_counter()
                labels = segment(emb_g, cluster=cluster, foreground=foreground)
                times.append(time.perf_counter() - start)
                scores.append(symmetric_best_dice(sample.labels, labels.numpy()))
        scores, times = np.array(scores).reshape(-1, 2), np.array(times).reshape(-1, 2)
        row = {"what": f"{name}, {where}", "pixels": f"{size} x {size}", "images": count}
        row |= {"sbd": round(scores[:, 0].mean(), 4), "sbd_every_pixel": round(scores[:, 1].mean(), 4)}
        row |= {"seconds": round(times[:, 0].mean(), 2), "seconds_every_pixel": round(times[:, 1].mean(), 2)}
        rows.append(row)
        print("  ", row, flush=True)
    return rows


def volume() -> list[dict]:
    """100^3 voxels, E = 16, 100 nuclei, drawn: seconds, objects found, MiB beyond the embeddings."""
    emb_f, emb_g, labels = nuclei()
    decoders = {
        "mean-shift": lambda: segment(emb_g),
        "HDBSCAN": lambda: segment(emb_g, cluster=hdbscan_clusters),
        "consistency": lambda: consistency_clustering(emb_f, emb_g),
    }
    rows = []
    for name, decode in decoders.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        found = decode()
        elapsed = time.perf_counter() - start
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        rows.append(
            {"what": name, "seconds": round(elapsed, 2), "mib": round(more), "found": int(found.max())}
        )
        rows[-1]["objects"] = len(labels.unique()) - 1
    return rows
