"""Data sets, one file each, behind :func:`load`; sparse annotation in :mod:`spoco_lite.data.annotation`."""

import inspect

import numpy as np

from . import folder
from .annotation import Cost, Plan, plan_annotation
from .sample import Sample, Samples, Size, resize
from .sets import bbbc038, bbbc050, cells3d, cityscapes, cvppp, ovules, rosettes, vnc
from .splits import SPLITS

# Each reads a split in the size of its owner: read(split, **options) -> Samples.
DATASETS = {
    module.__name__.rpartition(".")[2]: module.read
    for module in (rosettes, cells3d, cvppp, bbbc038, bbbc050, ovules, vnc, cityscapes, folder)
}


def load(name: str, split: str, /, *, size: Size | None = None, **options) -> Samples:
    """All samples of one split of a data set, densely annotated; each is read when it is asked for.

    Parameters
    ----------
    name
        a key of ``DATASETS``. Synthetic and always there: ``"rosettes"``, ``"cells3d"``. Real, to be fetched:
        ``"cvppp"``, ``"bbbc038"``, ``"bbbc050"``, ``"ovules"``, ``"vnc"``, ``"cityscapes"``. Your own:
        ``"folder"``.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    size
        in pixels, one number for each axis or one for all, or a share (float) for each axis: images (smoothly) and
        labels (nearest) are brought to it. None keeps the size of the data set.
    options
        what the data set's own reader takes: ``target="cells"`` of ``ovules``, ``classes="car"`` of
        ``cityscapes``, ``path=...`` and the meaning of the values of ``folder``.

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
    known = inspect.signature(DATASETS[name]).parameters
    for option in options:
        if option not in known or option == "split":
            listed = ", ".join(key for key in known if key != "split") or "none"
            raise ValueError(f"{name}: found option {option!r}; it takes {listed}")
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in {"split", *options}:
            raise ValueError(f"{name}: needs option {option!r}, such as --data-option {option}=...")
    try:
        samples = DATASETS[name](split, **options)
    except TypeError as error:
        raise ValueError(f"{name}: {error}; found options {options}") from error
    if size is None:
        return samples
    if np.min(size) <= 0:
        raise ValueError(f"size: found {size}; give a number of pixels")
    return Samples(samples.names, lambda one: resize(samples.read(one), size))


__all__ = ["DATASETS", "SPLITS", "Cost", "Plan", "Sample", "Samples", "Size", "load", "plan_annotation", "resize"]
