"""Decoders on whole images and volumes, and what clustering a part of the pixels costs in score.

`decoding` and `subsample` take real leaves (CVPPP) and a network that was trained on them, a recorded run.
"""

import resource
import time
from functools import partial

import numpy as np
import torch
from bench_loss import in_fresh_process, seconds
from scenes import nuclei

from spoco_lite import clusterers as points
from spoco_lite import data
from spoco_lite.clustering import consistency_clustering, hdbscan_clusters, mean_shift, segment
from spoco_lite.metrics import symmetric_best_dice
from spoco_lite.prediction.image import embed
from spoco_lite.results.runs import load_model

RUN, SIZE = "cvppp-100", 448


def embedded(count: int, size: int = SIZE) -> list[tuple]:
    """Some training images of the run: (sample, embeddings of f, of g, foreground)."""
    pair = load_model(RUN)
    training = data.load("cvppp", "train", size=size)
    chosen = [training[i] for i in range(0, len(training), len(training) // count)][:count]
    return [(s, embed(pair.f, s.image), embed(pair.g, s.image), torch.from_numpy(s.foreground)) for s in chosen]


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
            "seconds": float(np.median([seconds(partial(decode, *image[1:]), at_least=1.0) for image in images])),
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


def every_pixel_hdbscan(x: torch.Tensor) -> torch.Tensor:
    """HDBSCAN of every pixel. Its sizes count points, so they grow as many times as there are more of them."""
    times = max(1.0, len(x) / 12_000)
    return hdbscan_clusters(x, subsample=len(x), min_cluster_size=round(30 * times), min_samples=round(15 * times))


def subsample() -> list[dict]:
    """SBD of the defaults beside clustering every pixel, on the same embeddings of real leaves."""
    cases = [
        ("mean-shift", "inside the mask", mean_shift, every_pixel_mean_shift, SIZE, 10),
        ("HDBSCAN", "inside the mask", hdbscan_clusters, every_pixel_hdbscan, SIZE, 40),
        ("mean-shift", "whole image", mean_shift, every_pixel_mean_shift, 256, 3),
        ("HDBSCAN", "whole image", hdbscan_clusters, every_pixel_hdbscan, 256, 3),
    ]
    rows = []
    for name, where, default, every, size, count in cases:
        scores, times = [], []
        for sample, _, emb_g, mask in embedded(count, size):
            foreground = mask if where == "inside the mask" else None
            for cluster in (default, every):
                start = time.perf_counter()
                labels = segment(emb_g, cluster=cluster, foreground=foreground, min_size=50)
                times.append(time.perf_counter() - start)
                scores.append(symmetric_best_dice(sample.labels, labels.numpy()))
        sbd, every_sbd = np.reshape(scores, (-1, 2)).mean(axis=0).tolist()
        each, every_each = np.reshape(times, (-1, 2)).mean(axis=0).tolist()
        row = {"what": f"{name}, {where}", "pixels": f"{size} x {size}", "images": count}
        row |= {"sbd": round(sbd, 4), "sbd_every_pixel": round(every_sbd, 4)}
        row["standard_error"] = round(
            float(np.diff(np.reshape(scores, (-1, 2))).std() / count**0.5), 4
        )  # of the difference
        row |= {"seconds": round(each, 2), "seconds_every_pixel": round(every_each, 2)}
        rows.append(row)
    return rows


def volume() -> list[dict]:
    """100^3 voxels, E = 16, 100 nuclei, drawn: seconds, objects found, MiB beyond the embeddings."""
    return in_fresh_process(__file__)


def measure_volume() -> list[dict]:
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
        rows.append({"what": name, "seconds": round(elapsed, 2), "mib": round(more), "found": int(found.max())})
        rows[-1]["objects"] = len(labels.unique()) - 1
    return rows


if __name__ == "__main__":
    print(measure_volume())
