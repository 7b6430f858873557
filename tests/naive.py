"""The six terms and the soft masks with loops, one line of code per line of an equation: slow, and easy to check.

Written from the equations of De Brabandere et al. 2017 and Wolny et al. 2022, without a look at the vectorised code.
Every function takes embeddings (N, E, *S) and labels (N, *S), and averages over the N images.
"""

import math

import numpy as np
import torch


def norm(vector):
    return torch.linalg.vector_norm(vector)  # its gradient at 0 is 0


def pixels_of(embedding, mask):
    """The embeddings (E,) of the pixels where a mask (*S) is true."""
    return [embedding[(slice(None), *index)] for index in np.ndindex(*mask.shape) if mask[index]]


def mean(values, like):
    """Mean of a list of numbers; an empty list adds 0 to a loss."""
    values = list(values)
    return sum(values) / len(values) if values else like.sum() * 0


def mean_over_images(per_image, embeddings, labels):
    return mean([per_image(e, y) for e, y in zip(embeddings, labels)], embeddings)


def objects(labels):
    return [k for k in labels.unique().tolist() if k > 0]


def regions(labels):
    return [k for k in labels.unique().tolist() if k >= 0]


def mu(embedding, labels, k):
    return mean(pixels_of(embedding, labels == k), embedding)


def phi(e, anchor, delta_var, threshold):
    two_sigma_squared = -(delta_var**2) / math.log(threshold)
    return torch.exp(-((e - anchor) ** 2).sum() / two_sigma_squared)


def dice(p, q):
    return 2 * sum(a * b for a, b in zip(p, q)) / (sum(a**2 for a in p) + sum(b**2 for b in q))


def pull(embeddings, labels, *, delta_var):
    def image(e, y):
        def region(k):
            centre = mu(e, y, k)
            return mean([torch.relu(norm(centre - x) - delta_var) ** 2 for x in pixels_of(e, y == k)], e)

        return mean([region(k) for k in regions(y)], e)

    return mean_over_images(image, embeddings, labels)


def push(embeddings, labels, *, delta_dist):
    def image(e, y):
        centres = [mu(e, y, k) for k in regions(y)]
        pairs = [(a, b) for i, a in enumerate(centres) for j, b in enumerate(centres) if i != j]
        return mean([torch.relu(2 * delta_dist - norm(a - b)) ** 2 for a, b in pairs], e)

    return mean_over_images(image, embeddings, labels)


def regularizer(embeddings, labels):
    return mean_over_images(lambda e, y: mean([norm(mu(e, y, k)) for k in regions(y)], e), embeddings, labels)


def instance(
    embeddings,
    labels,
    *,
    delta_var,
    kernel_threshold,
    reduction="object",
    anchors=None,
):
    """anchors: a dictionary from objects to pixel coordinates for each image, instead of the objects' means."""

    def anchor(e, y, k):
        return mu(e, y, k) if anchors is None else e[(slice(None), *anchors[k])]

    def image(e, y):
        pixels = pixels_of(e, torch.ones_like(y, dtype=torch.bool))
        soft = [[phi(x, anchor(e, y, k), delta_var, kernel_threshold) for x in pixels] for k in objects(y)]
        true = [(y == k).flatten().to(e.dtype).tolist() for k in objects(y)]
        if reduction == "pooled":
            soft, true = ([sum(soft, [])], [sum(true, [])]) if soft else ([], [])
        return mean([1 - dice(p, q) for p, q in zip(soft, true)], e)

    return mean_over_images(image, embeddings, labels)


def unlabeled_push(embeddings, labels, *, delta_dist):
    def image(e, y):
        unlabelled = pixels_of(e, y == -1)

        def one(k):
            return mean([torch.relu(delta_dist - norm(mu(e, y, k) - x)) ** 2 for x in unlabelled], e)

        return mean([one(k) for k in objects(y)], e)

    return mean_over_images(image, embeddings, labels)


def consistency(emb_f, emb_g, anchors, *, delta_var, kernel_threshold):
    """anchors: one list of pixel coordinates for each image."""

    def image(f, g, places):
        everywhere = torch.ones(f.shape[1:], dtype=torch.bool)

        def mask(e, place):
            anchor = e[(slice(None), *place)]
            return [phi(x, anchor, delta_var, kernel_threshold) for x in pixels_of(e, everywhere)]

        return mean([1 - dice(mask(f, p), mask(g.detach(), p)) for p in places], f)

    return mean([image(f, g, places) for f, g, places in zip(emb_f, emb_g, anchors)], emb_f)


def soft_masks(embeddings, anchors, *, delta_var, threshold):
    masks = torch.zeros(*anchors.shape[:2], *embeddings.shape[2:], dtype=embeddings.dtype)
    for n, k in np.ndindex(*anchors.shape[:2]):
        for index in np.ndindex(*embeddings.shape[2:]):
            masks[(n, k, *index)] = phi(embeddings[(n, slice(None), *index)], anchors[n, k], delta_var, threshold)
    return masks
