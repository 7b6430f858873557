"""One annotated picture: what every data set of this project gives, and what everything else takes."""

from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """An image with its label map, as NumPy arrays (``torch.from_numpy`` makes tensors of them).

    A label map has one meaning everywhere in this project:

    * ``k > 0``: the pixel belongs to annotated object ``k``;
    * ``0``: the pixel is annotated *background*;
    * ``-1``: the pixel is *unlabelled*: background, or an object that nobody annotated.

    A dense annotation has no ``-1``. The sparse annotation of the paper has objects and ``-1`` and no ``0``.

    Attributes
    ----------
    image
        float32 (C, *S), values in [0, 1]; ``*S`` is (Y, X) or (Z, Y, X).
    labels
        int64 (*S), by the convention above.
    name
        Unique within its data set.
    foreground
        bool (*S), the mask of all objects together, where a data set supplies it; ``None`` elsewhere.

    Examples
    --------
    >>> sample = Sample(np.zeros((3, 4, 4), np.float32), np.full((4, 4), -1), "empty")
    >>> sample.image.shape, sample.labels.dtype.name, sample.foreground
    ((3, 4, 4), 'int64', None)
    """

    image: np.ndarray
    labels: np.ndarray
    name: str
    foreground: np.ndarray | None = None
