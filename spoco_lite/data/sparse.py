"""Sparse annotation: keep a few objects of an image, forget the rest."""

import zlib

import numpy as np

from .sample import Sample


def keep_objects(sample: Sample, fraction: float, *, seed: int = 0, background: bool = False) -> Sample:
    """Keep the labels of a fraction of the objects; all else becomes -1, unlabelled.

    ``round(fraction * n)`` of the n objects are kept, at least one. Which ones depends on the seed and on the name of
    the image only, and the choices are nested: the objects of 10% are among those of 20%.

    Parameters
    ----------
    sample : densely annotated, or already sparse: what is -1 stays so.
    fraction : 0 < fraction <= 1.
    background : True keeps the annotated background (0) as well. The paper's sparse setting does not.

    Example
    -------
    >>> sample = Sample(np.zeros((3, 1, 5), np.float32), np.array([[0, 4, 4, 7, 9]]), "a")
    >>> keep_objects(sample, 0.34).labels
    array([[-1, -1, -1,  7, -1]])
    >>> keep_objects(sample, 1.0, background=True).labels
    array([[0, 4, 4, 7, 9]])
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: found {fraction}; give a number above 0 and up to 1 (1 keeps every object)")
    labels = sample.labels
    objects = np.unique(labels[labels > 0])
    if len(objects) == 0:
        raise ValueError(f"{sample.name}: the image has no object to annotate; leave it out")
    rng = np.random.default_rng([seed, zlib.crc32(sample.name.encode())])
    order = rng.permutation(len(objects))
    kept = objects[order[: max(1, round(fraction * len(objects)))]]
    keep = np.isin(labels, kept)
    if background:
        keep |= labels == 0
    return sample._replace(labels=np.where(keep, labels, -1))
