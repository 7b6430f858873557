"""Embeddings and labels as training meets them, drawn: places of objects, and noise around their means."""

import torch


def leaves(*, images=4, dim=16, size=448, objects=16, labelled=6, noise=0.3, seed=0):
    """emb_f, emb_g (N, E, Y, X) float32 and labels (N, Y, X): round leaves; all but a few of them unlabelled."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    places = torch.rand(images, objects, 2, 1, 1, generator=generator) * 0.7 + 0.15
    squared, nearest = ((places[:, :, 0] - y) ** 2 + (places[:, :, 1] - x) ** 2).min(dim=1)
    dense = torch.where(squared < 0.006, nearest + 1, 0)
    means = torch.nn.functional.normalize(torch.randn(images, objects + 1, dim, generator=generator), dim=2) * 4
    clean = torch.stack([m[y] for m, y in zip(means, dense)]).movedim(-1, 1)
    emb_f, emb_g = ((clean + noise * torch.randn(clean.shape, generator=generator)).contiguous() for _ in range(2))
    return emb_f, emb_g, torch.where((dense > 0) & (dense <= labelled), dense, -1)


def nuclei(*, size=100, objects=100, dim=16, noise=0.12, seed=0):
    """emb_f, emb_g (E, Z, Y, X) and labels (Z, Y, X): balls that may touch, in a background of one mean."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.arange(size)] * 3, indexing="ij")
    labels = torch.zeros(size, size, size, dtype=torch.int64)
    for k in range(1, objects + 1):
        centre = torch.randint(8, size - 8, (3,), generator=generator)
        radius = torch.randint(6, 11, (1,), generator=generator)
        labels[sum((a - c) ** 2 for a, c in zip(axes, centre)) < radius**2] = k
    means = torch.nn.functional.normalize(torch.randn(objects + 1, dim, generator=generator), dim=1) * 4
    clean = means[labels].movedim(-1, 0)
    emb_f, emb_g = (clean + noise * torch.randn(clean.shape, generator=generator) for _ in range(2))
    return emb_f, emb_g, labels
