"""One annotated picture: what every data set of this project gives, and what everything else takes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Size = int | tuple[int, ...] | tuple[float, ...]  # to bring an image to; size_after says what it means


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


def size_after(shape: Sequence[int], size: Size) -> tuple[int, ...]:
    """Pixels along each axis: ``size`` is one number for all axes, one for each, or a share of ``shape`` for each.

    Shares are told from pixels by their type, ``float``.

    >>> size_after((51, 124), 64), size_after((51, 124), (51, 62)), size_after((51, 124), (1.0, 0.5))
    ((64, 64), (51, 62), (51, 62))
    """
    sizes = (size,) * len(shape) if isinstance(size, int) else tuple(size)
    if len(sizes) != len(shape) or min(sizes) <= 0:
        raise ValueError(
            f"size: found {size}; the image has {len(shape)} axes, give a number of pixels for each, or a share"
        )
    return tuple(max(1, round(old * new)) if isinstance(new, float) else new for old, new in zip(shape, sizes))


def resize_images(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bring images ``(N, C, *S)`` to another size, smoothly, and without aliasing where they become smaller.

    >>> resize_images(torch.tensor([[[[[0.0, 1.0, 4.0, 5.0]]]]]), (1, 1, 2)).flatten().tolist()
    [0.5, 4.5]
    """
    if images.ndim == 4:
        return F.interpolate(images, size, mode="bilinear", antialias=True)
    smaller = tuple(map(min, size, images.shape[2:]))  # in 3D PyTorch has no antialiasing but means of blocks
    return F.interpolate(F.interpolate(images, smaller, mode="area"), size, mode="trilinear")


def resize(sample: Sample, size: Size) -> Sample:
    """Bring a sample to another size: the image by :func:`resize_images`, labels and mask by the nearest pixel.

    ``size`` as in :func:`size_after`.

    >>> sample = Sample(np.zeros((3, 8, 6), np.float32), np.arange(48).reshape(8, 6), "a", voxel_size=(1.0, 1.0))
    >>> small = resize(sample, (4, 3))
    >>> small.image.shape, small.labels[0].tolist(), small.voxel_size
    ((3, 4, 3), [7, 9, 11], (2.0, 2.0))
    """
    shape = sample.labels.shape
    try:
        size = size_after(shape, size)
    except ValueError as error:
        raise ValueError(f"{sample.name}: {error}") from error
    image = resize_images(torch.from_numpy(sample.image)[None], size)
    places = np.ix_(*(((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, shape)))
    return Sample(
        image[0].clamp(0, 1).numpy(),
        sample.labels[places],
        sample.name,
        None if sample.foreground is None else sample.foreground[places],
        sample.voxel_size and tuple(v * old / new for v, old, new in zip(sample.voxel_size, shape, size)),
    )
