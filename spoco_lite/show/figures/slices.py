"""Slices: a volume to leaf through, with its objects and its embedding."""

from typing import Any

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from ..plot import _array, embedding_rgb, show_labels
from .html import build, data_url
from .packing import pack


def slices(
    image: Any,
    labels: Any,
    embedding: Any = None,
    *,
    title: str = "objects",
    spacing: float | None = None,
    aspect: float = 1.0,
    caption: str = "",
) -> HTML:
    """A figure: the slices of a volume, turned by a slider, the arrow keys or a swipe.

    Parameters
    ----------
    image
        (C, Z, Y, X) in [0, 1], C of 1 or 3.
    labels
        (Z, Y, X) int: 0 background, 1..K objects, true or found.
    embedding
        (E, Z, Y, X), shown by its principal components as colours (:func:`spoco_lite.show.plot.embedding_rgb`).
    title
        of the labels.
    spacing
        from slice to slice, in um.
    aspect
        how much longer a pixel is along Y than along X.

    Example
    -------
    >>> labels = np.zeros((4, 8, 8), int); labels[1:3, 2:5, 2:5] = 1
    >>> "spoco-figure" in slices(np.zeros((1, 4, 8, 8)), labels).data
    True
    """
    image, labels = _array(image), _array(labels)
    if image.ndim != 4 or len(image) not in (1, 3) or labels.shape != image.shape[1:]:
        raise ValueError(
            f"expected image (C, Z, Y, X) with C of 1 or 3, labels (Z, Y, X), found {image.shape}, {labels.shape}"
        )
    colours = {"image": np.broadcast_to(np.moveaxis(image, 0, -1), (*labels.shape, 3))}
    if embedding is not None:
        if _array(embedding).shape[1:] != labels.shape:
            raise ValueError(f"embedding: expected (E, {labels.shape}), found {_array(embedding).shape}")
        colours["embedding"] = embedding_rgb(embedding)
    middle = len(labels) // 2
    still = Figure(figsize=(3 * (len(colours) + 1), 3.1), layout="constrained")
    axes = still.subplots(1, len(colours) + 1)
    for ax, (name, volume) in zip(axes, colours.items()):
        ax.imshow(volume[middle].clip(0, 1), aspect=aspect)
        ax.set(xticks=[], yticks=[], title=name)
    show_labels(axes[-1], labels[middle]).set(title=title, aspect=aspect)
    return build(
        "slices",
        {
            "labels": pack(labels, error=0.5),
            "pictures": [
                [name, data_url(np.concatenate(list(volume)), quality=70)] for name, volume in colours.items()
            ],
            "title": title,
            "spacing": spacing,
            "aspect": aspect * labels.shape[1] / labels.shape[2],
        },
        still=still,
        alt=f"The middle slice of a volume: {', '.join(colours)}, and {title} in colours.",
        caption=caption,
    )
