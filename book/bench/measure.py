"""What a trained pair of networks gets right, and why it gets the rest wrong, on densely labelled images.

Everything here works on held-out images in the size in which the network sees them: a float image, its dense labels
``(*S)``, and embeddings ``(E, *S)``.
"""

from itertools import combinations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries

GAP = 2  # pixels between two objects that still count as neighbours, and from a border that still count as near it


def neighbours(labels: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of objects that come within ``GAP`` pixels of each other along an axis.

    >>> sorted(neighbours(np.array([[1, 1, 0, 2, 0, 0, 0, 3]])))
    [(1, 2)]
    """
    found = set()
    for axis in range(labels.ndim):
        line = np.moveaxis(labels, axis, 0)
        for gap in range(1, GAP + 1):
            a, b = line[:-gap], line[gap:]
            touching = (a > 0) & (b > 0) & (a != b)
            pairs = np.sort(np.stack([a[touching], b[touching]], 1), axis=1)
            found |= set(map(tuple, np.unique(pairs, axis=0).tolist()))
    return found


def objects_and_means(embedding: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids (K,) of the objects and the means (K, E) of their embeddings.

    >>> objects_and_means(np.array([[[0.0, 2.0, 9.0]]]), np.array([[5, 5, 0]]))
    (array([5]), array([[1.]]))
    """
    ids, place = np.unique(labels[labels > 0], return_inverse=True)
    points = embedding[:, labels > 0].astype(np.float64)
    sums = np.stack([np.bincount(place, weights=row, minlength=len(ids)) for row in points], 1)
    return ids, sums / np.bincount(place, minlength=len(ids))[:, None]


def pairs_apart(labels: np.ndarray, ids: np.ndarray, means: np.ndarray, *, least: float) -> dict[str, float]:
    """Share of pairs of objects whose means are at least so far apart: among neighbours, and among strangers.

    A kind without any pair is left out.
    """
    near = neighbours(labels)
    kinds = {"neighbours": [], "strangers": []}
    for a, b in combinations(range(len(ids)), 2):
        kind = "neighbours" if (ids[a], ids[b]) in near else "strangers"
        kinds[kind].append(np.linalg.norm(means[a] - means[b]) >= least)
    return {f"apart, {kind}": float(np.mean(found)) for kind, found in kinds.items() if found}


def pixels_in_place(embedding: np.ndarray, labels: np.ndarray, means: np.ndarray, *, reach: float) -> dict[str, float]:
    """Share of an image's pixels whose embedding lies where it should.

    Of objects: nearest to the mean of their own object, near the object's border and far from it. Of the background:
    farther than ``reach`` from the mean of every object.
    """
    inside = labels > 0
    points = embedding[:, inside].T
    ids = np.unique(labels[inside])
    own = ids[_nearest(points, means)[0]] == labels[inside]
    near = (distance_transform_edt(~find_boundaries(labels, mode="inner")) < GAP)[inside]
    outside = embedding[:, labels == 0].T
    found = {
        "own, near the border": own[near],
        "own, far from it": own[~near],
        "background free": _nearest(outside, means)[1] > reach,
    }
    return {name: float(np.mean(values)) for name, values in found.items() if len(values)}


def _nearest(points: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance, index = torch.cdist(torch.from_numpy(points).double(), torch.from_numpy(means)).min(1)
    return index.numpy(), distance.numpy()


def bound(embedding: np.ndarray, labels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Labels ``(*S)`` of the best decoder that there can be: each object pixel goes to the nearest true mean."""
    found = np.zeros_like(labels)
    found[labels > 0] = np.unique(labels[labels > 0])[_nearest(embedding[:, labels > 0].T, means)[0]]
    return found


def mistakes(truth: np.ndarray, found: np.ndarray) -> dict[str, int]:
    """Objects found in the background, and pairs of true objects that one found object covers by more than half each.

    >>> mistakes(np.array([[1, 1, 2, 2, 0, 0, 0, 3]]), np.array([[7, 7, 7, 7, 0, 8, 8, 7]]))
    {'in the background': 1, 'merged neighbours': 1, 'merged strangers': 2}
    """
    ids, sizes = np.unique(found[found > 0], return_counts=True)
    outside = np.array([(truth[found == k] <= 0).sum() for k in ids])
    near, merged = neighbours(truth), {"neighbours": 0, "strangers": 0}
    covering: dict[int, list[int]] = {}
    for k in np.unique(truth[truth > 0]):
        inside, count = np.unique(found[truth == k], return_counts=True)
        if inside[count.argmax()] > 0 and 2 * count.max() > count.sum():
            covering.setdefault(int(inside[count.argmax()]), []).append(int(k))
    for covered in covering.values():
        for pair in combinations(covered, 2):
            merged["neighbours" if pair in near else "strangers"] += 1
    false = int((2 * outside > sizes).sum()) if len(ids) else 0
    return {"in the background": false} | {f"merged {kind}": count for kind, count in merged.items()}
