"""From an image of any size to embeddings and to a label map of the same size."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from skimage.morphology import remove_small_objects
from torch import Tensor

from ..augment import standardize
from ..clustering import consistency_clustering, segment
from ..data.sample import Size, resize_images, size_after
from ..sums.points import check_positive
from ..unet import EmbeddingUNet, MomentumPair

SPECKS = 16  # pixels, the default of segment
LINEAR = {2: "bilinear", 3: "trilinear"}


def embed(net: EmbeddingUNet, image: ArrayLike, *, size: Size | None = None) -> Tensor:
    """Embeddings ``(E, *S)`` of one image ``(C, *S)``, float32, on the network's device.

    Parameters
    ----------
    net
        f or g; it is put into evaluation mode for the call and back afterwards.
    image
        ``(C, *S)``, values in [0, 1], any size. It is standardised here, as in training.
    size
        the image is brought to this size first (:func:`spoco_lite.data.sample.size_after`) and the embeddings come
        in it: a network knows objects of the size that it saw in training.

    Example
    -------
    >>> from spoco_lite.unet import EmbeddingUNet
    >>> embed(EmbeddingUNet(3, 16, widths=(4, 8)), np.zeros((3, 33, 20), np.float32)).shape
    torch.Size([16, 33, 20])
    """
    return look(net, image, size=size)[0]


@torch.no_grad()
def look(net: EmbeddingUNet, image: ArrayLike, *, size: Size | None = None) -> tuple[Tensor, Tensor | None]:
    """What :func:`embed` gives, and the foreground ``(*S)``, bool, if the network has a channel for it, else None.

    >>> from spoco_lite.unet import EmbeddingUNet
    >>> net = EmbeddingUNet(3, 16, widths=(4, 8), foreground=True)
    >>> [part.shape for part in look(net, np.zeros((3, 33, 20), np.float32))]
    [torch.Size([16, 33, 20]), torch.Size([33, 20])]
    """
    device = next(net.parameters()).device
    images = torch.as_tensor(np.asarray(image), dtype=torch.float32)[None].to(device)
    if images.ndim not in (4, 5):
        raise ValueError(f"image: expected (C, Y, X) or (C, Z, Y, X), found shape {tuple(images.shape[1:])}")
    if not torch.isfinite(images).all():
        raise ValueError("image: holds NaN or infinity; repair it first (numpy.nan_to_num)")
    if size is not None:
        images = resize_images(images, size_after(images.shape[2:], size))
    training = net.training
    try:
        embeddings, logits = net.split(net.eval()(standardize(images, net.view)))
    finally:
        net.train(training)
    return embeddings[0], None if logits is None else logits[0] > 0


def segment_image(
    pair: MomentumPair,
    image: ArrayLike,
    *,
    size: Size | None = None,
    foreground: ArrayLike | None = None,
    consistent: bool | None = None,
    min_size: int | None = None,
    specks: int = SPECKS,
    seen: tuple[Tensor | None, Tensor, Tensor | None] | None = None,
    **options,
) -> Tensor:
    """Labels ``(*S)``, int64, of one image ``(C, *S)``: 0 background, 1..K objects, in the size of the image.

    Parameters
    ----------
    pair
        f and g. Without consistency the momentum network g is clustered: the average is the steadier one.
    size
        as in :func:`embed`.
    foreground
        ``(*S)`` bool, the mask that holds all objects, if it is known. By default that which g finds, if it has a
        channel for it, without its islands that are too small for an object.
    consistent
        keep only the objects on which f and g agree (:func:`spoco_lite.clustering.consistency_clustering`).
        By default that is done where there is no foreground.
    min_size
        a smaller object is none: pixels of the image as it is given, whatever size the networks see it in.
    specks
        without ``min_size``: a cluster of fewer pixels is none, of those that the networks see. So the default fits
        images that become smaller on their way and those that do not.
    seen
        embeddings by f and by g and the foreground by g, as :func:`look` gives them at `size`, if they are there
        already; those by f may be None where they are not needed, without `consistent`. `pair` is not looked at then.
    options
        of the decoder, :func:`spoco_lite.clustering.segment` or ``consistency_clustering``.

    Example
    -------
    >>> from spoco_lite.unet import EmbeddingUNet
    >>> pair = MomentumPair(EmbeddingUNet(3, 4, widths=(4, 8)))
    >>> segment_image(pair, np.zeros((3, 33, 20), np.float32), size=16).shape
    torch.Size([33, 20])
    """
    shape = np.shape(image)[1:]
    if foreground is not None and np.shape(foreground) != shape:
        raise ValueError(f"foreground: found size {np.shape(foreground)}, expected {shape}, that of the image")
    if seen is None:
        emb_g, found = look(pair.g, image, size=size)
        consistent = (foreground is None and found is None) if consistent is None else consistent
        seen = embed(pair.f, image, size=size) if consistent else None, emb_g, found
    emb_f, emb_g, mask = seen
    options["min_size"] = least = least_seen(min_size, specks, shape, tuple(emb_g.shape[1:]))
    if foreground is not None:
        mask = torch.as_tensor(np.asarray(foreground), dtype=torch.bool, device=emb_g.device)
        mask = F.interpolate(mask[None, None].float(), emb_g.shape[1:], mode="nearest-exact")[0, 0] > 0
    elif mask is not None:
        mask = without_islands(mask, least)
    if (mask is None) if consistent is None else consistent:
        labels = consistency_clustering(emb_f, emb_g, foreground=mask, **options)
    else:
        labels = segment(emb_g, foreground=mask, **options)
    labels = resize_labels(labels, shape)
    if foreground is not None:
        labels = labels * torch.as_tensor(np.asarray(foreground), dtype=torch.bool, device=labels.device)
    return labels


def least_seen(min_size: int | None, specks: int, shape: tuple[int, ...], seen: tuple[int, ...]) -> int:
    """The least pixels of an object where an image of ``shape`` is seen in another: at least 1.

    ``min_size`` counts those of the image, ``specks`` those that are seen; the former, if it is given, holds.

    >>> [least_seen(number, 16, (80, 80), (40, 40)) for number in (100, 1, None)]
    [25, 1, 16]
    """
    if min_size is None:
        return specks
    check_positive(min_size=min_size)
    return max(1, round(min_size * math.prod(seen) / math.prod(shape)))


def without_islands(mask: Tensor, min_size: int) -> Tensor:
    """A mask ``(*S)`` without its connected pieces of fewer than ``min_size`` pixels.

    >>> without_islands(torch.tensor([[True, True, False, True]]), 2).tolist()
    [[True, True, False, False]]
    """
    kept = remove_small_objects(mask.cpu().numpy(), max_size=min_size - 1)
    return torch.from_numpy(kept).to(mask.device)


def resize_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bring a label map ``(*S)`` to another size with smooth outlines: each object's mask is resized, the largest wins.

    >>> resize_labels(torch.tensor([[0, 2], [0, 2]]), (2, 4))
    tensor([[0, 0, 2, 2],
            [0, 0, 2, 2]])
    """
    if tuple(labels.shape) == tuple(size):
        return labels
    values, index = torch.unique(labels, return_inverse=True)
    best = torch.full(tuple(size), -1.0, device=labels.device)
    resized = torch.zeros(tuple(size), dtype=labels.dtype, device=labels.device)
    for i, value in enumerate(values):  # one object at a time: memory stays that of the image
        mask = (index == i).float()[None, None]
        mask = F.interpolate(mask, tuple(size), mode=LINEAR[labels.ndim])[0, 0]
        resized[mask > best] = value
        best = torch.maximum(best, mask)
    return resized


def check_channels(found: int, needed: int, name: str | Path) -> None:
    """ValueError if an image has other channels than a run needs; it says what to do.

    >>> check_channels(3, 3, "leaf.png")
    """
    if found != needed:
        advice = f"or train a run with --in-channels {found}"
        if (found, needed) == (1, 3):
            advice = f"write its grey three times, np.stack([grey] * 3, axis=-1), {advice}"
        if (found, needed) == (3, 1):
            advice = f"write its mean, rgb.mean(axis=-1), {advice}"
        raise ValueError(f"{name}: has {found} channel{'s' * (found > 1)}, the run needs {needed}; {advice}")
