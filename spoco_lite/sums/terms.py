"""How the terms of a loss are computed that look at every pixel: all of them in one run over the image, in blocks."""

import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import full_products, sum_over_pixels
from .regions import Regions, lifted_distances, membership

EPS = 1e-6  # keeps the Dice of two empty masks, and the slope of a distance of 0, finite
CHOICES = {
    "reduction": ("object", "pooled"),
    "anchor": ("mean", "pixel"),
}


def check_choices(**given: str) -> None:
    """Complain of an option that is none of its choices."""
    for name, value in given.items():
        if value not in CHOICES[name]:
            raise ValueError(f"{name}: found {value!r}; give one of {', '.join(CHOICES[name])}")


def mean_over_images(per_image: Tensor) -> Tensor:
    """(N,) -> the mean, 0-dim; 0 of no images."""
    return per_image.sum() / max(len(per_image), 1)


class Term(NamedTuple):
    """A term that looks at every pixel: what a block of pixels adds to its sums, and what becomes of the sums.

    ``add`` gets B pixels: their squared distances to all anchors and their membership of all regions, both (N, R, B),
    and 1 where they are unlabelled, (N, B).
    """

    anchors: Tensor  # (N, R, E): the means of the regions, or pixels of theirs
    add: Callable[[Tensor, Tensor, Tensor], Tensor]
    finish: Callable[[Tensor], Tensor]


def run_terms(regions: Regions, *terms: Term) -> list[Tensor]:
    """The values of some terms, in one run over the pixels for all of them."""
    anchors = list({id(term.anchors): term.anchors for term in terms}.values())  # most terms share the means
    table_of = [next(i for i, a in enumerate(anchors) if a is term.anchors) for term in terms]

    def block(*tensors: Tensor) -> tuple[Tensor, ...]:
        *anchors, lifted, slots = tensors
        tables = [lifted_distances(a, lifted, regions.centre) for a in anchors]
        member = membership(slots, tables[0].shape[1], lifted.dtype)
        unlabeled = (slots < 0).to(lifted.dtype)
        return tuple(term.add(tables[table], member, unlabeled) for term, table in zip(terms, table_of))

    sums = sum_over_pixels(block, anchors, [regions.lifted, regions.slots], rows=anchors[0].shape[1])
    return [term.finish(total) for term, total in zip(terms, sums)]


def exact(function):
    """A term computes in full precision, whatever the program around it asks for; see :func:`full_products`.

    Its gradient is refused inside autocast, whose products would make it wrong by some percents, and nobody would see.
    """

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        device = next((x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), "cpu")
        if torch.compiler.is_compiling():  # a graph takes the precision of the products from where it is compiled
            plain = torch.amp.is_autocast_available(device)
            with torch.autocast(device, enabled=False) if plain else contextlib.nullcontext():
                return function(*args, **kwargs)

        def refuse(gradient: Tensor) -> None:
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                raise RuntimeError("backward() of the loss inside autocast rounds its sums: leave autocast before it")

        with full_products(device):
            result = function(*args, **kwargs)
        for value in result if isinstance(result, tuple) else [result]:
            if value.requires_grad:
                value.register_hook(refuse)
        return result

    return wrapper
