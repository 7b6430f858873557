"""Embeddings of a part of an image, the same as if the network had seen all of it."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..unet import EmbeddingUNet, Window


def receptive_radius(levels: int) -> int:
    """How many pixels away, along an axis, an input of a U-Net of that many levels can change an embedding.

    Each level is two convolutions of reach 1, once on the way down and, but for the coarsest, once on the way up.
    Pooling and upsampling tie the grid of each level to the one above: how far a pixel sees depends on its place in
    a cell of ``2 ** (levels - 1)`` pixels. The largest reach is returned.

    >>> [receptive_radius(levels) for levels in (1, 2, 3, 4, 5)]
    [2, 9, 23, 51, 107]
    """
    reach = 0
    for pixel in range(2 ** (levels - 1)):
        first = last = pixel
        for _ in range(levels - 1):  # back through the decoder, finest level first, to the coarsest grid
            first, last = (first - 2) // 2, (last + 2) // 2
        first, last = first - 2, last + 2
        for _ in range(levels - 1):  # and back through pooling and the encoder
            first, last = 2 * first - 2, 2 * last + 1 + 2
        reach = max(reach, pixel - first, last - pixel)
    return reach


@torch.no_grad()
def embed_window(
    net: EmbeddingUNet,
    image: ArrayLike,
    window: Window,
    *,
    statistics: tuple[ArrayLike, ArrayLike],
) -> tuple[Tensor, Tensor | None]:
    """Embeddings ``(E, *W)`` and foreground in a window of an image: that part of what ``image.look`` gives for all.

    The network sees the window with a margin of its receptive radius, cut at the image's border, which begins where
    the cells of its pooling begin. On the way up only what the window needs is computed, so that the margin costs
    less. With BatchNorm the embeddings agree to rounding. GroupNorm normalises by what the network sees, so there
    the embeddings of a window are its own.

    Parameters
    ----------
    net
        f or g; it is put into evaluation mode for the call and back afterwards.
    image
        floats that are sliced like an array, values in [0, 1].
    window
        a slice with start and stop for each axis of S.
    statistics
        mean and deviation of each channel, ``(C,)`` and ``(C,)``, by which the *whole* image is standardised for this
        network: :func:`spoco_lite.prediction.stream.statistics`.

    Example
    -------
    >>> from spoco_lite.prediction.image import embed
    >>> from spoco_lite.prediction.stream import statistics
    >>> net, image = EmbeddingUNet(1, 2, widths=(4, 8)), np.random.default_rng(0).random((1, 40, 50))
    >>> part, foreground = embed_window(net, image, (slice(20, 30), slice(5, 11)), statistics=statistics(image))
    >>> torch.allclose(part, embed(net, image)[:, 20:30, 5:11], atol=1e-5)
    True
    """
    levels = len(net.encoders)
    radius, cell = receptive_radius(levels), net.cell
    starts = [max(0, w.start - radius) // cell * cell for w in window]
    seen = tuple(slice(a, min(w.stop + radius, s)) for a, w, s in zip(starts, window, image.shape[1:]))
    inner = tuple(slice(w.start - a, w.stop - a) for a, w in zip(starts, window))
    middle = tuple((n - 1) / 2 - w.start for n, w in zip(image.shape[1:], window))  # of the image, not of the window

    device = next(net.parameters()).device
    images = torch.from_numpy(np.array(image[(slice(None), *seen)], dtype=np.float32))[None].to(device)
    mean, deviation = (
        torch.as_tensor(s, dtype=torch.float32, device=device).view(-1, *[1] * len(window)) for s in statistics
    )
    training = net.training
    try:
        images = (images - mean) / deviation.clamp_min(1e-5)
        embeddings, logits = net.split(net.eval()(images, window=inner, origin=middle))
    finally:
        net.train(training)
    return embeddings[0], None if logits is None else logits[0] > 0
