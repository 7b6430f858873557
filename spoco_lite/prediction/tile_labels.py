"""The clusters of a tile, and the objects of an image that they are parts of.

What is background cannot be said inside a tile, which may lie wholly in one object. So every cluster of a tile is kept
and joined with those of other tiles, and of the joined ones the largest is background: the rule of
:func:`spoco_lite.clustering.segment` for whole images.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ..clustering import WHOLE_IMAGE, consistency_clustering, mean_shift, segment
from ..sums.overlaps import overlaps
from .image import SPECKS, without_islands

SAME_OBJECT = 0.5
"""Two tiles mean the same object if, where they overlap, the IoU is above this; so each has one partner at most."""

SAME_EMBEDDING = 1.0
"""Two clusters whose means are closer are one: twice ``delta_var``, as the bandwidth of mean-shift."""


class Clusters(NamedTuple):
    """The K clusters of a tile.

    ``labels`` (*R) is their map, 1..K, and 0 for noise; of each cluster ``kept`` (K,) bool says whether f and g agree
    on it, and ``mean`` (K, E) is that of its embeddings.
    """

    labels: Tensor
    kept: Tensor
    mean: Tensor


def find_clusters(
    look: Callable[[str], tuple[Tensor, Tensor | None]],
    *,
    foreground: Tensor | None = None,
    consistent: bool | None = None,
    background: str = "largest",
    min_size: int = SPECKS,
    **options,
) -> Clusters:
    """All clusters of a tile, that of the background among them.

    Parameters
    ----------
    look
        gives the embeddings ``(E, *R)`` of the tile by ``"f"`` or by ``"g"``, and the foreground ``(*R)`` or None.
    foreground
        ``(*R)`` bool, the mask that holds all objects, if it is known; by default that of g, if it finds one. Then all
        clusters are objects.
    consistent, min_size, options
        as in :func:`spoco_lite.prediction.image.segment_image`.
    background
        of no matter here: see :func:`number_clusters`.

    Example
    -------
    >>> embedding = torch.zeros(2, 12, 12)
    >>> embedding[0, 2:8, 2:8] = 4.0
    >>> found = find_clusters({"f": (embedding, None), "g": (embedding, None)}.get)
    >>> found.labels[5].tolist(), found.mean.tolist()
    ([1, 1, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1], [[0.0, 0.0], [4.0, 0.0]])
    """
    emb_g, own = look("g")
    if foreground is None and own is not None:
        foreground = without_islands(own, min_size)
    consistent = foreground is None if consistent is None else consistent
    emb_f = look("f")[0] if consistent else None
    embedding = emb_f if consistent else emb_g
    options["min_size"] = min_size
    if foreground is not None:
        options["foreground"] = foreground
        labels = consistency_clustering(emb_f, emb_g, **options) if consistent else segment(emb_g, **options)
        agreed = labels
    else:
        cluster = options.pop("cluster", WHOLE_IMAGE if consistent else mean_shift)
        found = cluster(embedding.flatten(1).T)
        options |= {"cluster": lambda points: found, "background": "none"}  # clustered once, used twice
        labels = segment(embedding, cluster=options["cluster"], background="none", min_size=min_size)
        agreed = consistency_clustering(emb_f, emb_g, **options) if consistent else labels
    flat = labels.flatten()
    size = torch.bincount(flat)
    kept = torch.bincount(flat[agreed.flatten() > 0], minlength=len(size)) > 0
    total = embedding.new_zeros(len(size), len(embedding)).index_add_(0, flat, embedding.flatten(1).T)
    return Clusters(labels, kept[1:], (total / size[:, None])[1:])


def same_objects(a: NDArray, b: NDArray, *, min_size: int = SPECKS) -> NDArray[np.int64]:
    """Which labels of two tiles mean the same object, from what the tiles say where they overlap: pairs (2, M).

    They share at least ``min_size`` pixels: a smaller piece of an object is none in a tile, and may have got the label
    of another.

    >>> a, b = np.array([[1, 1, 0, 3], [1, 1, 2, 3]]), np.array([[7, 7, 0, 4], [7, 0, 5, 0]])
    >>> same_objects(a, b, min_size=1)
    array([[1, 2],
           [7, 5]])
    """
    table = overlaps(a, b)
    match = (table.iou > SAME_OBJECT) & (table.shared >= min_size)
    return np.stack([table.truth_ids[table.row[match]], table.prediction_ids[table.column[match]]])


def number_clusters(
    pairs: NDArray[np.int64],
    *,
    size: NDArray,
    kept: NDArray,
    mean: NDArray | None = None,
    background: bool = True,
    min_size: int = SPECKS,
) -> NDArray[np.int64]:
    """The final number (N,) of each of N clusters: 1..K by decreasing size of its object, 0 for background.

    Parameters
    ----------
    pairs
        ``(2, M)``, clusters 0..N-1 that mean the same object. What they join, directly or not, is one object.
    size
        ``(N,)``, pixels that each cluster contributes.
    kept
        ``(N,)`` bool. An object stays if such clusters are more than half of it.
    mean
        ``(N, E)``, embeddings, if those of different tiles agree.
    background
        take the largest object for background, and with ``mean`` all others that have its embedding: patches of it that
        lie in no two tiles at once.
    min_size
        a smaller object, in pixels, becomes background.

    Example
    -------
    >>> number_clusters(np.array([[0], [2]]), size=np.array([50, 30, 60, 40]), kept=np.ones(4, bool))
    array([0, 2, 0, 1])
    """
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(len(size),) * 2)
    count, objects = connected_components(graph, directed=False) if len(size) else (0, np.zeros(0, np.int64))
    total = np.bincount(objects, weights=size, minlength=count)
    stays = (np.bincount(objects, weights=size * kept, minlength=count) > total / 2) & (total >= min_size)
    if background and total.any():
        largest = total.argmax()
        stays[largest] = False
        if mean is not None:
            sums = np.stack([np.bincount(objects, weights=size * m, minlength=count) for m in mean.T], axis=1)
            means = sums / np.maximum(total, 1)[:, None]
            stays &= np.linalg.norm(means - means[largest], axis=1) >= SAME_EMBEDDING
    (left,) = np.nonzero(stays)
    numbers = np.zeros(count, np.int64)
    numbers[left[np.argsort(-total[left], kind="stable")]] = np.arange(1, len(left) + 1)
    return numbers[objects]
