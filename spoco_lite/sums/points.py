"""Points (P, E) and centres (K, E): who is near whom, in blocks that fit into memory. What clusterers are made of."""

import torch
from torch import Tensor

from .blocks import full_products

BLOCK = 1 << 22  # entries of a distance table held at once (16 MiB in float32), however many points


def nearest(points: Tensor, centres: Tensor, *, radius: float | None = None) -> Tensor:
    """Index (P,) int64 of the centre (K, E) nearest to each point (P, E); -1 if none lies within `radius`.

    >>> nearest(torch.tensor([[0.0], [3.0], [9.0]]), torch.tensor([[0.5], [4.0]]), radius=2.0).tolist()
    [0, 1, -1]
    """
    if not len(centres):
        return torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    labels = []
    for block in points.split(max(1, BLOCK // len(centres))):
        distance, index = squared_distances(block, centres).min(dim=1)
        labels.append(index if radius is None else index.where(distance <= radius**2, -1))
    return torch.cat(labels)


def ball_sums(points: Tensor, centres: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Sum (K, E) and number (K,) of the points (P, E) within `radius` of each centre (K, E)."""
    ones = torch.ones_like(points[:, :1])
    weighted = torch.cat([points, ones], dim=1)  # so that one product gives the sum, and in its last column the number
    total = weighted.new_zeros(len(centres), weighted.shape[1])
    for block in weighted.split(max(1, BLOCK // max(1, len(centres)))):
        near = squared_distances(block[:, :-1], centres) <= radius**2
        total.addmm_(near.to(block.dtype).T, block)
    return total[:, :-1], total[:, -1]


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """(P, E), (K, E) -> (P, K) with one matrix product; far from the origin rounding spoils it, so centre first."""
    with full_products(points.device.type):
        return (points.square().sum(1, keepdim=True) + centres.square().sum(1)).addmm_(points, centres.T, alpha=-2)


def largest_first(labels: Tensor) -> Tensor:
    """Renumber labels (P,) to 0, 1, ... by decreasing number of points; -1 stays.

    >>> largest_first(torch.tensor([3, 5, 5, -1])).tolist()
    [1, 0, 0, -1]
    """
    sizes = torch.bincount(labels[labels >= 0])
    order = sizes.argsort(descending=True, stable=True)
    lookup = labels.new_full((len(sizes) + 1,), -1)  # -1 finds its last entry
    lookup[order] = torch.arange(len(sizes), device=labels.device)
    return lookup[labels]


def draw(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of at most `count` different points, drawn on the CPU so that each device gets the same."""
    return torch.randperm(len(points), generator=generator)[:count].to(points.device)


def centred(points: Tensor) -> Tensor:
    """float32 points around their mean, where `squared_distances` is accurate."""
    points = points.detach().float()
    return points - points.mean(dim=0) if len(points) else points


def check_points(points: Tensor) -> None:
    if points.ndim != 2 or not points.is_floating_point():
        raise ValueError(f"points must be a floating point tensor (P, E), found {points.dtype} {tuple(points.shape)}")
    if not points.isfinite().all():
        raise ValueError("points hold NaN or infinite values; check the network that made them")


def check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, found {value}")
