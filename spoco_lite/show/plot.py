"""The book's pictures: one colour per object, embeddings as colours, learning curves, rows of panels.

Everything takes NumPy arrays or tensors. Functions with ``ax`` draw on it and return it. Figures have a white
face of their own, so that they read on a light page as on a dark one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from skimage.segmentation import find_boundaries
from sklearn.decomposition import PCA

# Grown from the seven colours of Okabe and Ito: each next one is as far as possible in CIELAB from the rest,
# as seen with and without protanopia and deuteranopia; ordered so that consecutive ids differ most.
PALETTE = (
    "#e69f00 #8866ff #00eeff #ee1155 #00ff88 #0072b2 #009e73 #f0e442 #d55e00 "
    "#cc79a7 #88bb55 #8899ff #bb0099 #995522 #aaeebb #56b4e9 #ff7788 #557744"
).split()
"""Object k has colour ``PALETTE[(k - 1) % 18]``, in every figure."""
BACKGROUND = (0.13, 0.14, 0.17)
UNLABELLED = (0.86, 0.86, 0.86)
_LINES = ("#0072b2", "#d55e00", "#009e73", "#bb0099", "#995522", "#444444")  # dark enough on white


def label_colours(labels: Any) -> np.ndarray:
    """Colours (Y, X, 3) in [0, 1] of a label map (Y, X).

    Objects have the colours of :data:`PALETTE`, background (0) is dark, unlabelled (-1) is striped grey.
    ValueError if the map is not 2D (of a volume, show a slice), not of integers, or has a value below -1.

    >>> label_colours(np.array([[1, 19, 0]])).round(2).tolist()
    [[[0.9, 0.62, 0.0], [0.9, 0.62, 0.0], [0.13, 0.14, 0.17]]]
    """
    labels = _array(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: expected integers (Y, X) (one slice), found {labels.dtype} {labels.shape}")
    if labels.min(initial=0) < -1:
        raise ValueError(f"labels: found {labels.min()}; known are -1 (unlabelled), 0 (background), k > 0")
    colours = np.array([to_rgb(colour) for colour in PALETTE])[(labels.astype(int) - 1) % len(PALETTE)]
    colours[labels == 0] = BACKGROUND
    colours[labels == -1] = UNLABELLED
    period = max(4, max(labels.shape) // 20)
    colours[(labels == -1) & (np.add(*np.indices(labels.shape)) % period < period / 4)] = 0.7
    return colours


def show_labels(ax: Axes, labels: Any, image: Any = None, *, outline: bool = False) -> Axes:
    """Draw a label map (Y, X), alone or over its ``image`` (any that :func:`panels` takes).

    Over an image, objects are tinted, background stays as it is, unlabelled pixels lie under a striped veil.
    ``outline=True`` draws the rim of each object instead of tinting it, and needs the image.
    ValueError as in :func:`label_colours`, if the sizes differ, or if there is no image to outline on.

    >>> ax = show_labels(plt.figure().subplots(), np.eye(8, dtype=int), np.zeros((3, 8, 8)), outline=True)
    >>> plt.close(ax.figure)
    """
    if image is None and outline:
        raise ValueError("outline: found no image on which to draw; give image=")
    return _draw(ax, label_colours(labels) if image is None else overlay(labels, image, outline=outline))


def overlay(labels: Any, image: Any, *, outline: bool = False) -> np.ndarray:
    """Colours (Y, X, 3) in [0, 1] of a label map over its image, as :func:`show_labels` draws them.

    >>> overlay(np.eye(8, dtype=int), np.zeros((3, 8, 8)), outline=True)[1, 1].round(2).tolist()
    [0.9, 0.62, 0.0]
    """
    colours, labels, picture = label_colours(labels), _array(labels), _picture(image)
    if picture.shape[:2] != labels.shape:
        raise ValueError(f"image: its size {picture.shape[:2]} differs from the labels' {labels.shape}")
    inked = labels > 0
    if outline:
        inked &= find_boundaries(labels, connectivity=1, mode="inner")
    tint = 1.0 if outline else 0.65  # the rest is grey, so that an object keeps its hue on a green leaf
    colours[inked] = tint * colours[inked] + (1 - tint) * picture[inked].mean(1, keepdims=True)
    colours[labels == -1] = 0.6 * colours[labels == -1] + 0.4 * picture[labels == -1]
    return np.where((inked | (labels == -1))[..., None], colours, picture)


def match_colours(truth: Any, prediction: Any) -> np.ndarray:
    """The prediction (int64), renumbered so that a found object has the id, hence colour, of what it shows.

    That is the true object which it overlaps most. Where several want the same id, the one with the largest
    overlap has it. The others, and those that overlap nothing, get ids that no true object has: a split or a
    false find stays visible. 0 and -1 are kept. ValueError if the shapes differ.

    >>> match_colours(np.array([[7, 7, 7, 0, 4]]), np.array([[1, 2, 2, 3, 0]])).tolist()
    [[8, 7, 7, 9, 0]]
    """
    truth, prediction = _array(truth), _array(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction: its shape {prediction.shape} differs from the truth's {truth.shape}")
    both = (truth > 0) & (prediction > 0)
    pairs, overlaps = np.unique(np.stack([truth[both], prediction[both]]), axis=1, return_counts=True)
    wish: dict[int, int] = {}  # found object -> true object, the largest overlaps first
    for true, found in pairs.T[np.argsort(-overlaps, kind="stable")].tolist():
        wish.setdefault(found, true)
    owner = {true: found for found, true in reversed(wish.items())}  # of several, the first one stays
    fresh = int(truth.max(initial=0))
    result = prediction.astype(np.int64)
    for found in np.unique(prediction[prediction > 0]).tolist():
        if owner.get(wish.get(found)) == found:
            result[prediction == found] = wish[found]
        else:
            result[prediction == found] = fresh = fresh + 1
    return result


def embedding_rgb(embedding: Any, basis: Any = None) -> np.ndarray:
    """Colours ``(*S, 3)`` in [0, 1] of an embedding ``(E, *S)``: three principal components as red, green, blue.

    ``basis`` ``(E, *R)`` is the embedding whose components, centre and range (1st to 99th percentile) are used,
    by default the embedding itself. Pictures can be compared only when they share one: for the steps of a
    training, pass the last embedding for all. ``embedding[:, mask]`` is a basis made of part of the pixels.
    ValueError if there is no embedding axis, no pixel in the basis, or if the dimensions E differ.

    >>> embedding_rgb(np.random.default_rng(0).normal(size=(16, 8, 9))).shape
    (8, 9, 3)
    """
    embedding = _array(embedding)
    basis = embedding if basis is None else _array(basis)
    for name, array in (("embedding", embedding), ("basis", basis)):
        if array.ndim < 2 or array.size == 0 or len(array) != len(embedding):
            raise ValueError(f"{name}: expected ({len(embedding)}, *S), not empty, found shape {array.shape}")
    reference = basis.reshape(len(basis), -1).T.astype(np.float64)
    # This solver fixes the arbitrary sign of a component, so that colours reproduce. It wants a few points: the mean,
    # added to them, changes no component.
    components = PCA(min(3, len(embedding)), svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):  # shares of the variance, where there is none
        components.fit(np.vstack([reference, *[reference.mean(0)] * 3]))
    low, high = np.percentile(components.transform(reference), [1, 99], axis=0)[..., None]
    shown = components.transform(embedding.reshape(len(embedding), -1).T.astype(np.float64)).T
    colours = np.full((3, shown.shape[1]), 0.5)  # grey where there is no third dimension, or no spread
    np.divide(shown - low, high - low, out=colours[: len(shown)], where=high - low > 1e-12)
    return np.moveaxis(colours.clip(0, 1).reshape(3, *embedding.shape[1:]), 0, -1)


def learning_curve(ax: Axes, steps: Sequence[float], values: Mapping[str, Sequence[float]]) -> Axes:
    """Draw ``values[name]`` over ``steps``, a line per name; NaN leaves a gap. ValueError if lengths differ.

    >>> ax = learning_curve(plt.figure().subplots(), [0, 10], {"train": [1, 0.2], "val": [1, 0.4]})
    >>> plt.close(ax.figure)
    """
    for k, (name, line) in enumerate(values.items()):
        if len(line) != len(steps):
            raise ValueError(f"values[{name!r}]: has {len(line)} numbers for {len(steps)} steps")
        ax.plot(steps, line, ("-", "--", ":")[k // 6 % 3], color=_LINES[k % 6], marker=".", label=name)
    ax.set_xlabel("step")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def panels(images: Sequence, titles: Sequence[str], *, columns: int | None = None, width=2.4) -> np.ndarray:
    """A new figure with a row of titled pictures, or rows of ``columns``; returns the axes, a flat array.

    An image is a label map (Y, X) of integers, or floats in [0, 1] (Y, X), (C, Y, X) or (Y, X, C), C = 1
    or 3. ``width`` is that of one picture, in inches. ValueError for other shapes, or a missing title.

    >>> axes = panels([np.zeros((3, 8, 8)), np.eye(8, dtype=int)], ["image", "labels"])
    >>> plt.close(axes[0].figure)
    """
    if len(images) != len(titles) or len(images) == 0:
        raise ValueError(f"titles: found {len(titles)} for {len(images)} images; give each image one")
    pictures = [_picture(image) for image in images]
    columns = min(columns or len(images), len(images))
    rows = -(-len(images) // columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    figure = plt.figure(figsize=(columns * width, rows * (width * tallest + 0.35)), layout="constrained")
    figure.set_facecolor("white")
    axes = [figure.add_subplot(rows, columns, k + 1) for k in range(len(images))]
    for ax, picture, title in zip(axes, pictures, titles, strict=True):
        _draw(ax, picture).set_title(title, fontsize=10, color="black")
    return np.array(axes)


def _array(values: Any) -> np.ndarray:
    """A tensor or anything array-like as a NumPy array."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _picture(image: Any) -> np.ndarray:
    """Colours (Y, X, 3) in [0, 1] of whatever :func:`panels` takes."""
    image = _array(image)
    if image.ndim == 2 and np.issubdtype(image.dtype, np.integer):
        return label_colours(image)
    if image.ndim == 2:
        image = image[..., None]
    elif image.ndim == 3 and image.shape[0] in (1, 3):
        image = np.moveaxis(image, 0, -1)
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or np.issubdtype(image.dtype, np.integer):
        raise ValueError(f"image: expected floats (C, Y, X), C = 1 or 3, found {image.dtype} {image.shape}")
    return np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float64).clip(0, 1)


def _draw(ax: Axes, picture: np.ndarray) -> Axes:
    ax.imshow(picture, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax
