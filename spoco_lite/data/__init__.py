"""Data sets, one file each, behind :func:`load`; sparse annotation in :mod:`spoco_lite.data.sparse`."""

import numpy as np

from . import cvppp, rosettes
from .sample import Sample, Samples, resize
from .sparse import keep_objects
from .splits import SPLITS

# Each reads a split in the size of its owner: read(split, **options) -> Samples.
DATASETS = {"rosettes": rosettes.read, "cvppp": cvppp.read}


def load(name: str, split: str, *, size: int | tuple[int, ...] | None = None, **options) -> Samples:
    """All samples of one split of a data set, densely annotated; each is read when it is asked for.

    Parameters
    ----------
    name : ``"rosettes"`` (synthetic, always there) or ``"cvppp"`` (real, after registration).
    split : ``"train"``, ``"val"`` or ``"test"``.
    size : in pixels, one number for each axis or one for all: images (smoothly) and labels (nearest) are brought to
        it. None keeps the size of the data set.
    options : what the data set's own reader takes.

    Example
    -------
    >>> sample = load("rosettes", "val", size=64)[0]
    >>> sample.image.shape, int(sample.labels.min())
    ((3, 64, 64), 0)
    """
    if name not in DATASETS:
        raise ValueError(f"data set: found {name!r}; known are {', '.join(sorted(DATASETS))}")
    if split not in SPLITS:
        raise ValueError(f"split: found {split!r}; give one of {', '.join(SPLITS)}")
    samples = DATASETS[name](split, **options)
    if size is None:
        return samples
    if not size or min(np.atleast_1d(size)) < 1:
        raise ValueError(f"size: found {size}; give a number of pixels")
    return Samples(samples.names, lambda one: resize(samples.read(one), size))


__all__ = ["DATASETS", "SPLITS", "Sample", "Samples", "keep_objects", "load", "resize"]
