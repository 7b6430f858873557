"""One annotated picture: what every data set of this project gives, and what everything else takes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

LINEAR = {2: "bilinear", 3: "trilinear"}


class Sample(NamedTuple):
    """An image with its label map, as NumPy arrays (``torch.from_numpy`` makes tensors of them).

    A label map has one meaning everywhere in this project:

    * ``k > 0``: the pixel belongs to annotated object ``k``;
    * ``0``: the pixel is annotated *background*;
    * ``-1``: the pixel is *unlabelled*: background, or an object that nobody annotated.

    A dense annotation has no ``-1``. The sparse annotation of the paper has objects and ``-1`` and no ``0``.

    Parameters
    ----------
    image
        float32 ``(C, *S)``, values in [0, 1]; ``*S`` is (Y, X) or (Z, Y, X).
    labels
        int64 ``(*S)``, by the convention above.
    name
        Unique within its data set.
    foreground
        bool ``(*S)``, the mask of all objects together, where a data set supplies it; ``None`` elsewhere.
    voxel_size
        Micrometres of a voxel along each axis, in the order of ``*S``; ``None`` where the owner gives none.

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
    voxel_size: tuple[float, ...] | None = None


class Samples(Sequence):
    """The samples of a split, in order. Each is read from disk when it is asked for, and not kept.

    >>> blank = Sample(np.zeros((1, 2, 2), np.float32), np.zeros((2, 2), np.int64), "")
    >>> samples = Samples(["a", "b", "c"], lambda name: blank._replace(name=name))
    >>> samples[-1].name, [s.name for s in samples[:2]], len(samples)
    ('c', ['a', 'b'], 3)
    """

    def __init__(self, names: Sequence[str], read: Callable[[str], Sample]):
        self.names, self.read = list(names), read

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Samples(self.names[index], self.read)
        return self.read(self.names[index])

    def __len__(self) -> int:
        return len(self.names)


def resize(sample: Sample, size: int | tuple[int, ...]) -> Sample:
    """Bring a sample to another size: the image smoothly (in 2D antialiased), labels and mask by the nearest pixel.

    ``size`` is one number for each axis of the image, or one for all.

    >>> sample = Sample(np.zeros((3, 8, 6), np.float32), np.arange(48).reshape(8, 6), "a", voxel_size=(1.0, 1.0))
    >>> small = resize(sample, (4, 3))
    >>> small.image.shape, small.labels[0].tolist(), small.voxel_size
    ((3, 4, 3), [7, 9, 11], (2.0, 2.0))
    """
    shape = sample.labels.shape
    size = (size,) * len(shape) if isinstance(size, int) else tuple(size)
    if len(size) != len(shape) or min(size) < 1:
        raise ValueError(
            f"size: found {size}; {sample.name} has {len(shape)} axes, give a number of pixels for each"
        )
    image = F.interpolate(
        torch.from_numpy(sample.image)[None], size, mode=LINEAR[len(shape)], antialias=len(shape) == 2
    )
    places = np.ix_(*(((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, shape)))
    return Sample(
        image[0].clamp(0, 1).numpy(),
        sample.labels[places],
        sample.name,
        None if sample.foreground is None else sample.foreground[places],
        sample.voxel_size and tuple(v * old / new for v, old, new in zip(sample.voxel_size, shape, size)),
    )
