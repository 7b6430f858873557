"""Two views of one image: geometry shared, photometry drawn independently for f and for g.

The views stay aligned pixel by pixel, so that the same pixel can be an anchor in both. Works on whole
batches, in 2D and 3D, on the device of the images.

Geometry is one affine map per image, so that the image is interpolated once, and labels are looked up as the
integers that they are (kornia's maps take labels as float32, resample at every step, and offer no masks in
3D). A window never reaches outside the image: nothing is filled in, neither mirrored objects nor labels that
nobody gave. Photometry is kornia's, with Poisson noise added, which kornia lacks.
"""

import math

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Axes along which a scene may be mirrored, and axes that may change places; counted from the last.
SYMMETRIES = {"plane": (3, 2), "volume": (3, 3), "upright": (1, 1)}
PHOTOMETRY = ("colour", "microscopy")
STEEPEST = math.pi / 4  # with the quarter turns, every direction
STRETCH = 0.8, 1.25  # ratio of the scales along Y and X, torchvision's and kornia's way to say it


def standardize(images: Tensor, view: list[int] | None = None) -> Tensor:
    """Each image and channel to mean 0 and deviation 1, ``(N, C, *S)`` -> the same shape; a constant one to 0.

    A ``view``, in pixels along each axis, is that of a network that was trained on windows of larger images. Each
    window was standardised by itself, and most showed objects. A whole image often has more background: by its own
    mean and deviation objects would come out brighter than the network has ever seen them, and too large. So an image
    is standardised as such windows of it would be, on average, each counted by its variance.

    >>> standardize(torch.tensor([[[[0.0, 2.0]]]]))
    tensor([[[[-1.,  1.]]]])
    >>> standardize(torch.tensor([[[[0.0, 2.0, 0.0, 0.0, 0.0, 0.0]]]]), [1, 2]).round()
    tensor([[[[-1.,  1., -1., -1., -1., -1.]]]])
    """
    if view is None:
        axes = list(range(2, images.ndim))  # a list: TorchScript reads this function too
        mean = images.mean(axes, keepdim=True)
        std = images.std(axes, keepdim=True, correction=0)
    else:
        mean, std = _of_windows(images, view)
    return (images - mean) / std.clamp_min(1e-5)


def _of_windows(images: Tensor, view: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and deviation, ``(N, C, 1, ...)`` both, that windows of about ``view`` pixels have, on average.

    Windows lie half a window apart. Each counts by its variance: where nothing is to be seen, none showed an object.
    """
    cells = [cells_along(n, k) for n, k in zip(images.shape[2:], view)]  # half windows
    middle = images.flatten(2).mean(2)[:, :, None]  # squares of numbers around 0 keep their digits
    centred = (images.flatten(2) - middle).view_as(images)
    moments = torch.cat([centred, centred.square()], 1)
    if images.ndim == 4:
        moments = F.avg_pool2d(F.adaptive_avg_pool2d(moments, cells), 2, 1)
    else:
        moments = F.avg_pool3d(F.adaptive_avg_pool3d(moments, cells), 2, 1)
    mean, squares = moments.flatten(2).chunk(2, 1)
    variance = (squares - mean.square()).clamp_min(1e-12)  # all windows of a constant image count alike
    weight = variance / variance.sum(2, keepdim=True)
    shape = list(images.shape[:2]) + [1] * (images.ndim - 2)
    return ((mean + middle) * weight).sum(2).view(shape), (variance.sqrt() * weight).sum(2).view(shape)


def cells_along(length: int, view: int) -> int:
    """Into how many cells of about half a view an axis is cut; two if the view is as long as the axis.

    >>> [cells_along(n, 64) for n in (20, 64, 70, 128, 200)]
    [2, 2, 2, 4, 6]
    """
    return max(2, (4 * length + view) // (2 * view))


def two_views(
    images: Tensor,
    labels: Tensor,
    *,
    size: int | tuple[int, ...],
    seed: int,
    scale: tuple[float, float] = (0.8, 1.25),
    symmetry: str = "plane",
    photometry: str = "colour",
    tries: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Two augmented, standardised views of a batch and the labels that belong to both.

    Parameters
    ----------
    images
        ``(N, C, *S)``, float32 in [0, 1]; ``*S`` is (Y, X) or (Z, Y, X).
    labels
        ``(N, *S)``, int64; every value is kept or dropped, none invented.
    size
        of the views in pixels, one number for each axis or one for all.
    seed
        all that is random follows from it; the global random state is left as it was.
    scale
        least and most pixels of the image for one of the view. No window exceeds its image: in an image of
        the view's own size the most is 1, and an image smaller than 0.8 of it is refused. Nothing is padded.
    symmetry
        ``"plane"``: mirrored along every axis, turned in (Y, X), the choice for 2D and for volumes whose
        slices are thicker than their pixels; ``"volume"``: turned in space too, for cubic voxels;
        ``"upright"``: mirrored left to right only, for photographs of streets. Quarter turns need views of
        equal length along the axes that change places. Further rotation, up to 45 degrees in (Y, X), goes as
        far as the window stays in the image.
    photometry
        ``"colour"``: colour jitter and grey (brightness and contrast where there are not three channels),
        blur; strengths of the public code for leaves. ``"microscopy"``: intensity, gamma, blur in the plane,
        Poisson and read-out noise. The kinds are those of the public code for nuclei, the strengths are this
        module's.
    tries
        how many windows are drawn for each image; the first that shows an annotated object is taken, else the first.
        Where few objects are annotated, most windows of an image show none.

    Returns
    -------
    view_f, view_g, labels
        ``(N, C, *size)`` float32, twice, and ``(N, *size)`` int64.

    Example
    -------
    >>> images, labels = torch.rand(2, 3, 40, 40), torch.randint(-1, 3, (2, 40, 40))
    >>> view_f, view_g, cropped = two_views(images, labels, size=32, seed=0)
    >>> view_f.shape, cropped.shape, torch.equal(view_f, view_g)
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 32, 32]), False)
    """
    size = _check(images, labels, size, scale, symmetry, photometry)
    devices = [images.device] if images.is_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.random.default_generator.manual_seed(seed)
        if images.is_cuda:
            with torch.cuda.device(images.device):
                torch.cuda.manual_seed(seed)
        windows = draw_windows(tries * len(images), tuple(labels.shape[1:]), size, scale=scale, symmetry=symmetry)
        if tries > 1:
            windows = showing_objects(labels, windows.unflatten(0, (tries, -1)), size)
        crops, labels = look_through(images, labels, windows, size)
        change = microscopy if photometry == "microscopy" else colour
        view_f, view_g = (standardize(change(crops)) for _ in range(2))
    return view_f, view_g, labels


def _check(images, labels, size, scale, symmetry, photometry) -> tuple[int, ...]:
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        raise ValueError(f"two_views: expected tensors, found {type(images).__name__}; torch.from_numpy makes them")
    if images.dtype != torch.float32:
        raise ValueError(f"images: expected float32 in [0, 1], found {images.dtype}; of 8 bits: images.float() / 255")
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8):
        raise ValueError(f"labels: expected integers that can be -1, found {labels.dtype}; give int64")
    if (
        images.numel() and images.device.type == "cpu" and not (0 <= images.amin() and images.amax() <= 1)
    ):  # a GPU would wait
        raise ValueError(f"images: expected [0, 1], found up to {images.amax():g}; scale them: NaN and 0..255 are none")
    if images.ndim not in (4, 5) or labels.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(
            "two_views: expected images (N, C, Y, X) and labels (N, Y, X), or with Z before Y, "
            f"found {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    shape = tuple(labels.shape[1:])
    size = (size,) * len(shape) if isinstance(size, int) else tuple(size)
    if len(size) != len(shape) or min(size) < 1:
        raise ValueError(f"size: found {size}; the images have {len(shape)} axes, give pixels for each")
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(f"scale: found {scale}; give the least and the most, both above 0")
    if any(s < v * scale[0] for s, v in zip(shape, size)):
        raise ValueError(
            f"size: an image of {shape} is smaller than the smallest window, {scale[0]} times the view's "
            f"{size}; ask for smaller views, or resize the images"
        )
    for name, value, known in (("symmetry", symmetry, SYMMETRIES), ("photometry", photometry, PHOTOMETRY)):
        if value not in known:
            raise ValueError(f"{name}: found {value!r}; known are {', '.join(known)}")
    if symmetry == "volume" and len(shape) == 2:
        raise ValueError("symmetry: 'volume' is for images with three axes; take 'plane'")
    return size


# ---------------------------------------------------------------------- geometry


def draw_windows(
    n: int,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    *,
    scale: tuple[float, float] = (0.8, 1.25),
    symmetry: str = "plane",
) -> Tensor:
    """What n views look at: affine maps (n, D, D + 1), as :func:`torch.nn.functional.affine_grid` takes them.

    Drawn on the CPU from the global generator, so that every device gets the same. Arguments as in
        :func:`two_views`.
    """
    d = len(shape)
    mirrored, exchanged = SYMMETRIES[symmetry]
    shape, lengths = torch.tensor(shape, dtype=torch.float32), torch.tensor(size, dtype=torch.float32)
    axis = torch.arange(d).repeat(n, 1)  # the image's axis that the view's axis shows
    if len(set(size[-exchanged:])) == 1:
        axis[:, -exchanged:] = torch.rand(n, exchanged).argsort(1) + d - exchanged
    sign = torch.where(torch.rand(n, d) < 0.5, -1.0, 1.0)
    sign[:, :-mirrored] = 1
    room = shape[axis]

    most = (room / lengths).amin(1).clamp(max=scale[1])
    spacing = (scale[0] + (most - scale[0]) * torch.rand(n))[:, None].repeat(1, d)
    stretch = torch.empty(n).uniform_(*(math.log(r) / 2 for r in STRETCH)).exp()
    spacing[:, -2] *= stretch
    spacing[:, -1] /= stretch
    spacing = spacing.minimum(room / lengths)

    window = spacing * lengths
    angle = torch.empty(n).uniform_(-1, 1) * _steepest(window[:, -2:], room[:, -2:])
    if symmetry == "upright":
        angle = angle * 0
    cos, sin = angle.cos(), angle.sin()
    turn = torch.eye(d).repeat(n, 1, 1)
    turn[:, -2:, -2:] = torch.stack([cos, -sin, sin, cos], -1).view(n, 2, 2)
    reach = (turn.abs() @ window[..., None])[..., 0]  # of the turned window along the axes
    centre = (torch.rand(n, d) - 0.5) * (room - reach).clamp_min(0)

    exchange = torch.zeros(n, d, d).scatter_(1, axis[:, None], sign[:, None])
    linear = exchange @ turn @ torch.diag_embed(spacing) * lengths / shape[:, None]
    offset = exchange @ centre[..., None] * 2 / shape[:, None]
    return torch.cat([linear.flip(1, 2), offset.flip(1)], 2)  # affine_grid counts axes from the last


def _steepest(window: Tensor, room: Tensor) -> Tensor:
    """The largest angle, up to STEEPEST, by which windows (n, 2) can be turned inside rooms (n, 2)."""
    diagonal = torch.linalg.vector_norm(window, dim=1, keepdim=True)
    # Turned by a, a window reaches diagonal * cos(a - lean) along an axis.
    lean = torch.atan2(window.flip(1), window)
    limit = lean - (room / diagonal).clamp(max=1).acos()
    limit = torch.where(room >= diagonal, STEEPEST, limit)
    return limit.amin(1).clamp(0, STEEPEST)


def look_through(images: Tensor, labels: Tensor, windows: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The views of images ``(N, C, *S)``, interpolated linearly, and of labels ``(N, *S)``, the nearest pixel's."""
    grid = grid_of(windows, labels, size)
    views = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return views, look_at_labels(labels, grid)


def grid_of(windows: Tensor, labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Where the pixels of views lie in their images, (N, *size, D), as ``grid_sample`` takes it."""
    windows = windows.to(labels.device, non_blocking=True)
    return F.affine_grid(windows, [len(labels), 1, *size], align_corners=False)


def look_at_labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Labels ``(N, *S)`` at the nearest pixels of a grid (N, *size, D)."""
    index = torch.zeros(1, dtype=torch.long, device=labels.device)
    for k, length in enumerate(labels.shape[1:]):
        place = ((grid[..., -1 - k] + 1) * (length / 2)).floor().long().clamp(0, length - 1)
        index = index * length + place
    return labels.flatten(1).gather(1, index.flatten(1)).view(index.shape)


def showing_objects(labels: Tensor, windows: Tensor, size: tuple[int, ...]) -> Tensor:
    """Of each image's windows, (tries, N, D, D + 1), the first that shows an annotated object, else the first."""
    windows = windows.to(labels.device, non_blocking=True)
    shown = [(look_at_labels(labels, grid_of(w, labels, size)) > 0).flatten(1).any(1) for w in windows]
    first = torch.stack(shown).to(torch.uint8).argmax(0)
    return windows[first, torch.arange(len(labels), device=first.device)]


# ---------------------------------------------------------------------- photometry


def colour(images: Tensor) -> Tensor:
    """A change of light and colour, ``(N, C, *S)`` -> the same, in [0, 1]; a volume's slices change alike."""
    jitter = [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.5), K.RandomGrayscale(p=0.2)]
    if images.ndim == 5 or images.shape[1] != 3:
        jitter = [K.RandomBrightness((0.6, 1.4), p=0.5), K.RandomContrast((0.6, 1.4), p=0.5)]
    return _by_slice(nn.Sequential(*jitter, K.RandomGaussianBlur((5, 5), (0.1, 2.0), p=0.5)), images)


def microscopy(images: Tensor) -> Tensor:
    """A change of exposure and focus, and new noise, ``(N, C, *S)`` -> the same, in [0, 1]."""
    optics = nn.Sequential(
        K.RandomContrast((0.7, 1.3), p=0.5),
        K.RandomGamma((0.7, 1.4), p=0.5),
        K.RandomGaussianBlur((5, 5), (0.1, 1.5), p=0.5),
    )
    images = _by_slice(optics, images).clamp(0, 1)
    some = (len(images),) + (1,) * (images.ndim - 1)
    # Photons where a pixel is 1. Every second image gets counted ones, every second one read-out noise.
    photons = torch.empty(some).uniform_(math.log(30), math.log(300)).exp().to(images.device, non_blocking=True)
    counted = torch.rand(some).lt(0.5).to(images.device, non_blocking=True)
    images = torch.where(counted, torch.poisson(images * photons) / photons, images)
    deviation = torch.empty(some).uniform_(-0.04, 0.04).clamp_min(0).to(images.device, non_blocking=True)
    return (images + deviation * torch.randn_like(images)).clamp(0, 1)


def _by_slice(change: nn.Module, images: Tensor) -> Tensor:
    """kornia's 2D photometry on volumes too: slices as channels, so that one draw holds for all of them."""
    return change(images.flatten(1, -3)).view_as(images).clamp(0, 1)
