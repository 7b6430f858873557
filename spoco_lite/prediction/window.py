"""Embeddings of a part of an image, the same as if the network had seen all of it."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from ..unet import EmbeddingUNet

Window = tuple[slice, ...]  # a slice with start and stop for each axis


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
) -> Tensor:
    """Embeddings ``(E, *W)`` in a window of an image ``(C, *S)``: that part of what ``predict.embed`` gives for all.

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
        mean and deviation of each channel of the *whole* image, ``(C,)`` and ``(C,)``, by which it is standardised:
        :func:`spoco_lite.prediction.stream.statistics`.

    Example
    -------
    >>> from spoco_lite.prediction.image import embed
    >>> from spoco_lite.prediction.stream import statistics
    >>> net, image = EmbeddingUNet(1, 2, widths=(4, 8)), np.random.default_rng(0).random((1, 40, 50))
    >>> part = embed_window(net, image, (slice(20, 30), slice(5, 11)), statistics=statistics(image))
    >>> torch.allclose(part, embed(net, image)[:, 20:30, 5:11], atol=1e-5)
    True
    """
    levels = len(net.encoders)
    radius, cell = receptive_radius(levels), 2 ** (levels - 1)
    starts = [max(0, w.start - radius) // cell * cell for w in window]
    seen = tuple(slice(a, min(w.stop + radius, s)) for a, w, s in zip(starts, window, image.shape[1:]))
    inner = tuple(slice(w.start - a, w.stop - a) for a, w in zip(starts, window))

    device = next(net.parameters()).device
    images = torch.from_numpy(np.array(image[(slice(None), *seen)], dtype=np.float32))[None].to(device)
    mean, deviation = (
        torch.as_tensor(s, dtype=torch.float32, device=device).view(-1, *[1] * len(window)) for s in statistics
    )
    training = net.training
    try:
        return _forward(net.eval(), (images - mean) / deviation.clamp_min(1e-5), inner)[0]
    finally:
        net.train(training)


def _forward(net: EmbeddingUNet, images: Tensor, window: Window) -> Tensor:
    """What ``net(images)`` gives inside a window; maps on the way up are cut to what the window needs."""
    cell = 2 ** (len(net.encoders) - 1)
    padding = [p for s in reversed(images.shape[2:]) for p in (0, -s % cell)]
    x = F.pad(images, padding, mode="replicate") if any(padding) else images
    # Of each level on the way up, what is wanted, and what that needs: two convolutions wider, but inside the map.
    sizes, wanted, needed = x.shape[2:], [window], []
    for level in range(len(net.decoders)):
        ends = [s >> level for s in sizes]
        needed.append(tuple(slice(max(0, w.start - 2), min(e, w.stop + 2)) for w, e in zip(wanted[-1], ends)))
        wanted.append(tuple(slice(n.start // 2, (n.stop + 1) // 2) for n in needed[-1]))

    skips = []
    for level, encoder in enumerate(net.encoders):
        x = encoder(net.pool(x) if level else x)
        if level < len(needed):
            skips.append(x[(..., *needed[level])].clone())  # a copy, so that the rest is freed
    x = x[(..., *wanted[-1])]
    for level in reversed(range(len(needed))):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        doubled = tuple(slice(2 * w.start, 2 * w.stop) for w in wanted[level + 1])
        x = x[(..., *within(needed[level], doubled))]
        x = net.decoders[level](torch.cat([x, skips.pop()], dim=1))
        x = x[(..., *within(wanted[level], needed[level]))]
    return net.head(x)


def within(part: Window, whole: Window) -> Window:
    """Where a part of an image is in an array that shows a larger part.

    >>> within((slice(5, 7),), (slice(4, 9),))
    (slice(1, 3, None),)
    """
    return tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, whole))
