"""Sums over pixels in blocks, so that memory does not grow with pixels times objects.

Each term of the loss compares all pixels with all objects or anchors. A table of that size does not fit for
volumes: 128^3 voxels times 200 objects are 1.7 GB, and a backward pass keeps several. What a term needs are sums
over the pixels. So the pixels are cut into blocks, and the tables of a block are thrown away once its sums are known;
the backward pass computes them again (Chen et al. 2016, Training deep nets with sublinear memory cost). On a CPU this
is also faster, because a block stays in the cache.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Entries of one table of a block. A GPU wants few large blocks: 448 x 448 pixels, 4 images, 20 anchors are one.
BLOCK = {"cpu": 1 << 18, "cuda": 1 << 24}

Sums = tuple[Tensor, ...]


@contextlib.contextmanager
def full_products(device: str) -> Iterator[None]:
    """Matrix products in the precision of their factors: neither autocast nor TF32 rounds them to three digits.

    The squared distance of a pixel to its mean is a small difference of large products.

    >>> torch.set_float32_matmul_precision("high")
    >>> with full_products("cpu"):
    ...     torch.get_float32_matmul_precision()
    'highest'
    >>> torch.get_float32_matmul_precision()
    'high'
    >>> torch.set_float32_matmul_precision("highest")
    """
    before = torch.get_float32_matmul_precision()
    plain = torch.amp.is_autocast_available(device)
    try:
        torch.set_float32_matmul_precision("highest")
        with torch.autocast(device, enabled=False) if plain else contextlib.nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def sum_over_pixels(
    function: Callable[..., Sums], shared: Sequence[Tensor], pixels: Sequence[Tensor], *, rows: int
) -> Sums:
    """``function(*shared, *pixels)``, computed in blocks of pixels and added up.

    Parameters
    ----------
    function
        gives some sums over the pixels of a block.
    shared
        what each block needs whole, such as the means of the objects.
    pixels
        (N, ..., P), what is cut into blocks along the pixels.
    rows
        how many numbers the function computes for each pixel of an image: the objects, or the anchors.

    Example
    -------
    >>> scale, pixels = torch.tensor(2.0), torch.ones(1, 3, 1_000_000)
    >>> sum_over_pixels(lambda scale, block: ((scale * block).sum(2),), [scale], [pixels], rows=3)
    (tensor([[2000000., 2000000., 2000000.]]),)
    """
    images, count = pixels[0].shape[0], pixels[0].shape[-1]
    size = max(1, BLOCK.get(pixels[0].device.type, BLOCK["cuda"]) // max(1, images * rows))
    if size >= count:
        return function(*shared, *pixels)
    return _Blocks.apply(function, size, len(shared), *shared, *pixels)


class _Blocks(torch.autograd.Function):
    """Forward: only the sums are kept. Backward: each block is computed again, and gives its part of the gradient."""

    @staticmethod
    def forward(ctx, function: Callable[..., Sums], size: int, shared: int, *tensors: Tensor) -> Sums:
        ctx.function, ctx.size, ctx.shared = function, size, shared
        ctx.save_for_backward(*tensors)
        total = None
        for block in zip(*(t.split(size, dim=-1) for t in tensors[shared:])):
            sums = function(*tensors[:shared], *block)
            total = sums if total is None else tuple(a + b for a, b in zip(total, sums))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with full_products(gradients[0].device.type):
            return _Blocks.again(ctx, *gradients)

    @staticmethod
    def again(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors, size, shared = ctx.saved_tensors, ctx.size, ctx.shared
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[3:]) if needed]
        make = [torch.zeros_like] * shared + [torch.empty_like] * (len(tensors) - shared)
        results = [make[i](t) if i in wanted else None for i, t in enumerate(tensors)]
        for start in range(0, tensors[-1].shape[-1], size):
            inputs = [t if i < shared else t[..., start : start + size] for i, t in enumerate(tensors)]
            inputs = [t.detach().requires_grad_(i in wanted) for i, t in enumerate(inputs)]
            with torch.enable_grad():
                sums = ctx.function(*inputs)
            sums, slopes = zip(*((s, g) for s, g in zip(sums, gradients) if s.requires_grad))
            parts = torch.autograd.grad(sums, [inputs[i] for i in wanted], slopes, materialize_grads=True)
            for i, part in zip(wanted, parts):
                if i < shared:
                    results[i] += part
                else:
                    results[i][..., start : start + size] = part
        return None, None, None, *results
