"""Data sets, one file each, behind :func:`load`; sparse annotation in :mod:`spoco_lite.data.sparse`."""

from . import cvppp, rosettes
from .sample import Sample
from .sparse import keep_objects

DATASETS = {"rosettes": rosettes.load, "cvppp": cvppp.load}
SPLITS = ("train", "val", "test")


def load(name: str, split: str, *, size: int | None = None) -> list[Sample]:
    """All samples of one split of a data set, densely annotated.

    Parameters
    ----------
    name : ``"rosettes"`` (synthetic, always there) or ``"cvppp"`` (real, after registration).
    split : ``"train"``, ``"val"`` or ``"test"``.
    size : height and width in pixels to which images (antialiased) and labels (nearest) are brought;
        None keeps the size of the data set.

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
    if size is not None and size < 1:
        raise ValueError(f"size: found {size}; give a number of pixels")
    return DATASETS[name](split, **({} if size is None else {"size": size}))


__all__ = ["Sample", "load", "keep_objects", "DATASETS", "SPLITS"]
