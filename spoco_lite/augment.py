"""Two views of one image: geometry shared, photometry drawn independently for f and for g.

The views stay aligned pixel by pixel, so that the same pixel can be an anchor in both. Augmentation is kornia's.
Strengths are those of the public code for leaves: crops of 70 to 100% of the area, flips, colour jitter, grey, blur.
"""

import kornia.augmentation as K
import torch
from torch import Tensor


def standardize(images: Tensor) -> Tensor:
    """Each image and channel to mean 0 and standard deviation 1, (N, C, *S) -> (N, C, *S); a constant one to 0.

    >>> standardize(torch.tensor([[[[0.0, 2.0]]]]))
    tensor([[[[-1.,  1.]]]])
    """
    axes = tuple(range(2, images.ndim))
    mean = images.mean(axes, keepdim=True)
    std = images.std(axes, keepdim=True, correction=0)
    return (images - mean) / std.clamp_min(1e-5)


def _geometry(size: int) -> K.AugmentationSequential:
    return K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.7, 1.0), ratio=(0.8, 1.25), cropping_mode="slice"),
        K.RandomHorizontalFlip(p=0.5),
        K.RandomVerticalFlip(p=0.5),
        data_keys=["input", "mask"],
        extra_args={"mask": {"resample": "nearest", "align_corners": None}},
    )


def _photometry(channels: int) -> torch.nn.Sequential:
    colour = [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.5), K.RandomGrayscale(p=0.2)]
    intensity = [K.RandomBrightness((0.6, 1.4), p=0.5), K.RandomContrast((0.6, 1.4), p=0.5)]
    blur = K.RandomGaussianBlur((5, 5), (0.1, 2.0), p=0.5)
    return torch.nn.Sequential(*(colour if channels == 3 else intensity), blur)


def two_views(images: Tensor, labels: Tensor, *, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two augmented, standardised views of a batch and the labels that belong to both.

    Parameters
    ----------
    images : (N, C, Y, X), float32 in [0, 1]. labels : (N, Y, X), int64; every value is kept or dropped, none invented.
    size : height and width of the views in pixels.
    seed : all that is random follows from it; the global random state is left as it was.

    Returns
    -------
    view_f, view_g (N, C, size, size), labels (N, size, size).

    Example
    -------
    >>> images, labels = torch.rand(2, 3, 40, 40), torch.randint(-1, 3, (2, 40, 40))
    >>> view_f, view_g, cropped = two_views(images, labels, size=32, seed=0)
    >>> view_f.shape, cropped.shape, torch.equal(view_f, view_g)
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 32, 32]), False)
    """
    if images.ndim != 4 or labels.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(
            "two_views: expected images (N, C, Y, X) and labels (N, Y, X), "
            f"found {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    devices = [images.device] if images.is_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed)
        crops, mask = _geometry(size)(images, labels[:, None].to(images.dtype))
        # Two flips and a transposition make all eight symmetries of the square, without resampling.
        swap = (torch.rand(len(images), device=images.device) < 0.5)[:, None, None, None]
        crops, mask = (torch.where(swap, x.mT, x) for x in (crops, mask))
        photometry = _photometry(images.shape[1])
        view_f, view_g = (standardize(photometry(crops).clamp(0, 1)) for _ in range(2))
    return view_f, view_g, mask[:, 0].round().long()
