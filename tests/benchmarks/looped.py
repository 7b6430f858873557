"""The loss as the equations read, with a loop over images, objects and anchors: the peer that ours is timed beside.

Pixels are tensors here, unlike in tests/naive.py, which loops over them too and could not be timed on real sizes. Each
anchor removes its neighbours from the unlabelled region before the next one is drawn, as Wolny et al. 2022 describe it.
"""

import math

import torch

DELTA_VAR, DELTA_DIST, THRESHOLD, ANCHORS = 0.5, 2.0, 0.5, 20
RATE = -math.log(THRESHOLD) / DELTA_VAR**2


def distances(embedding, anchor):
    return (embedding - anchor[:, None]).norm(dim=0)


def dice(p, q):
    return 2 * (p * q).sum() / ((p * p).sum() + (q * q).sum()).clamp_min(1e-6)


def mask(embedding, anchor):
    return torch.exp(-RATE * distances(embedding, anchor) ** 2)


def average(values):
    return sum(values) / len(values) if values else 0.0


def image_loss(f, g, labels, generator):
    """f, g (E, P), labels (P,) -> supervised part, consistency."""
    objects = [int(k) for k in labels.unique() if k > 0]
    regions = [int(k) for k in labels.unique() if k >= 0]
    mu = {k: f[:, labels == k].mean(dim=1) for k in regions}
    pull = average([(distances(f[:, labels == k], mu[k]) - DELTA_VAR).relu().square().mean() for k in regions])
    push = average([(2 * DELTA_DIST - (mu[a] - mu[b]).norm()).relu() ** 2 for a in regions for b in regions if a != b])
    size = average([mu[k].norm() for k in regions])
    instance = average([1 - dice(mask(f, mu[k]), (labels == k).float()) for k in objects])
    rest = labels == -1
    away = average([(DELTA_DIST - distances(f[:, rest], mu[k])).relu().square().mean() for k in objects])

    free, consistency = rest.clone(), []
    while len(consistency) < ANCHORS and free.sum() > 0.05 * rest.sum():
        candidates = free.nonzero()[:, 0]
        anchor = candidates[torch.randint(len(candidates), (1,), generator=generator)][0]
        consistency.append(1 - dice(mask(f, f[:, anchor]), mask(g, g[:, anchor])))
        free &= (distances(f.detach(), f[:, anchor].detach()) > DELTA_VAR) & (distances(g, g[:, anchor]) > DELTA_VAR)
        free[anchor] = False
    return pull + push + 0.001 * size + instance + away, average(consistency)


def looped_loss(emb_f, emb_g, labels, generator):
    """emb_f, emb_g (N, E, *S), labels (N, *S) -> supervised part and consistency, means over the images."""
    images = zip(emb_f.flatten(2), emb_g.detach().flatten(2), labels.flatten(1))
    parts = [image_loss(f, g, y, generator) for f, g, y in images]
    return average([p[0] for p in parts]), average([p[1] for p in parts])
