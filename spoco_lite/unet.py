"""The network: a U-Net that gives every pixel an embedding, and its momentum average.

Sources: Ronneberger et al. 2015 (U-Net), Wolny et al. 2022 (two networks f and g, g an exponential moving
average of f), Tarvainen & Valpola 2017 and He et al. 2020 (momentum averages as training targets).
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Window = tuple[slice, ...]  # with start and stop, along each axis

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def _normalisation(norm: str, width: int, ndim: int) -> nn.Module:
    if norm == "batch":
        return BATCH_NORM[ndim](width)
    return nn.GroupNorm(math.gcd(8, width), width)  # 8 groups, or fewer where the width is no multiple of 8


def _double_conv(width_in: int, width_out: int, ndim: int, norm: str) -> nn.Sequential:
    """Twice: 3x3 convolution, normalisation, ReLU. The normalisation brings the bias, so the convolution has none."""
    layers: list[nn.Module] = []
    for width in (width_in, width_out):
        layers += [
            CONV[ndim](width, width_out, kernel_size=3, padding=1, bias=False),
            _normalisation(norm, width_out, ndim),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class EmbeddingUNet(nn.Module):
    """A U-Net from images to one embedding per pixel (2D) or voxel (3D).

    Images of any size are accepted: they are padded inside to a multiple of ``2 ** (levels - 1)`` by repeating
    the border, and the embeddings are cropped back. The last layer is linear: embeddings are not normalised.

    Parameters
    ----------
    in_channels
        channels C of the images.
    embedding_dim
        length E of an embedding; 16 for leaves in the public code.
    widths
        feature maps of each level, finest first. The public code uses 16 to 512 for 448 px; the default
        leaves out the last level, whose receptive field a 256 px image does not need.
    ndim
        2 for images (N, C, Y, X), 3 for volumes (N, C, Z, Y, X).
    norm
        ``"batch"`` (leaves in the public code) or ``"group"`` (microscopy, batches of one).
    unit
        pixels for one unit of the embedding, along each axis. The first components of each embedding, as many as there
        are axes, are then relative to the pixel's own place: ``e = net(x) + place / unit``. A
        convolution gives two equal objects the same embedding wherever they lie; with their places added they differ,
        and the network need only say where, seen from a pixel, the middle of its object is (Novotny et al. 2018,
        semi-convolutional operators). None, as in the paper, adds nothing.
    foreground
        one more channel after the embedding: a logit, above 0 where the pixel is of an object
        (:func:`spoco_lite.losses.foreground_loss`). :meth:`split` takes the two apart.
    view
        pixels along each axis of what it is trained on, if that is windows of larger images: by it whole images are
        standardised (:func:`spoco_lite.augment.standardize`).

    Example
    -------
    >>> net = EmbeddingUNet(3, 16, widths=(8, 16, 32))
    >>> net(torch.zeros(2, 3, 37, 50)).shape
    torch.Size([2, 16, 37, 50])
    >>> EmbeddingUNet(1, 4, widths=(8, 16), ndim=3)(torch.zeros(1, 1, 5, 16, 17)).shape
    torch.Size([1, 4, 5, 16, 17])
    """

    def __init__(
        self,
        in_channels: int = 3,
        embedding_dim: int = 16,
        *,
        widths: tuple[int, ...] = (16, 32, 64, 128, 256),
        ndim: int = 2,
        norm: str = "batch",
        unit: tuple[float, ...] | None = None,
        foreground: bool = False,
        view: tuple[int, ...] | None = None,
    ):
        super().__init__()
        if ndim not in CONV:
            raise ValueError(f"ndim: found {ndim!r}; give 2 for images or 3 for volumes")
        if norm not in ("batch", "group"):
            raise ValueError(f'norm: found {norm!r}; give "batch" or "group"')
        if len(widths) < 1 or min(widths) < 1 or in_channels < 1 or embedding_dim < 1:
            raise ValueError(
                "in_channels, embedding_dim and widths must be positive, "
                f"found {in_channels}, {embedding_dim}, {widths}"
            )
        if unit is not None and (len(unit) != ndim or not min(unit) > 0 or embedding_dim < ndim):
            raise ValueError(
                f"unit: found {unit} for {ndim} axes and {embedding_dim} components of the embedding; give pixels "
                "above 0 for each axis, and at least as many components as axes"
            )
        if view is not None and (len(view) != ndim or min(view) < 1):
            raise ValueError(f"view: found {view} for {ndim} axes; give pixels, 1 or more, for each axis")
        self.view = None if view is None else list(view)
        self.in_channels, self.embedding_dim, self.ndim = in_channels, embedding_dim, ndim
        self.widths, self.unit, self.foreground = tuple(widths), unit, foreground
        self.encoders = nn.ModuleList(
            _double_conv(w_in, w_out, ndim, norm) for w_in, w_out in zip((in_channels, *widths), widths)
        )
        self.decoders = nn.ModuleList(
            _double_conv(deep + skip, skip, ndim, norm) for skip, deep in zip(widths, widths[1:])
        )
        self.pool = POOL[ndim](2)
        self.head = CONV[ndim](widths[0], embedding_dim + foreground, kernel_size=1)

    def forward(
        self, images: Tensor, *, window: Window | None = None, origin: tuple[float, ...] | None = None
    ) -> Tensor:
        """Images ``(N, C, *S)`` -> embeddings ``(N, E, *S)``, or ``(N, E + 1, *S)`` with the foreground's channel.

        ``window`` computes that part of it alone, which costs less on the way up. ``origin`` is the pixel of the result
        whose place is 0; by default its middle.
        """
        if images.ndim != self.ndim + 2 or images.shape[1] != self.in_channels:
            axes = "(N, C, Y, X)" if self.ndim == 2 else "(N, C, Z, Y, X)"
            raise ValueError(f"images: expected {axes} with C = {self.in_channels}, found shape {tuple(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"images: expected floating point, found {images.dtype}; convert with .float()")
        size = images.shape[2:]
        padding = [p for s in reversed(size) for p in (0, -s % self.cell)]
        x = F.pad(images, padding, mode="replicate") if any(padding) else images
        wanted, needed = self._parts(window or tuple(map(slice, [0] * self.ndim, size)), x.shape[2:])

        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.pool(x) if level else x)
            if level < len(needed):  # the coarsest level is where the decoder starts
                skip = x[(..., *needed[level])]
                skips.append(skip if window is None else skip.clone())  # a copy, so that the rest is freed
        x = x[(..., *wanted[-1])]
        for level in reversed(range(len(needed))):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            doubled = tuple(slice(2 * w.start, 2 * w.stop) for w in wanted[level + 1])
            x = x[(..., *within(needed[level], doubled))]
            x = self.decoders[level](torch.cat([x, skips.pop()], dim=1))
            x = x[(..., *within(wanted[level], needed[level]))]
        # Under autocast the embeddings still leave in float32: distances of .5 between values of 5 need the digits.
        if x.dtype in (torch.bfloat16, torch.float16):
            with torch.autocast(x.device.type, enabled=False):
                x = self.head(x.float())
        else:
            x = self.head(x)
        if self.unit:
            x = torch.cat([x[:, : self.ndim] + self._places(x, origin), x[:, self.ndim :]], 1)
        return x

    @property
    def cell(self) -> int:
        """Pixels along an axis that the coarsest level sees as one."""
        return 2 ** (len(self.widths) - 1)

    def _parts(self, window: Window, sizes: torch.Size) -> tuple[list[Window], list[Window]]:
        """Of each level on the way up, what is wanted, and what that needs: two convolutions wider, but in the map."""
        wanted, needed = [window], []
        for level in range(len(self.decoders)):
            ends = [s >> level for s in sizes]
            needed.append(tuple(slice(max(0, w.start - 2), min(e, w.stop + 2)) for w, e in zip(wanted[-1], ends)))
            wanted.append(tuple(slice(n.start // 2, (n.stop + 1) // 2) for n in needed[-1]))
        return wanted, needed

    def _places(self, like: Tensor, origin: tuple[float, ...] | None) -> Tensor:
        """Where each pixel lies, seen from the origin, in units of the embedding: (D, *S)."""
        size = like.shape[2:]
        axes = [
            (torch.arange(n, dtype=like.dtype, device=like.device) - zero) / unit
            for n, zero, unit in zip(size, origin or [(n - 1) / 2 for n in size], self.unit)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    def split(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the network gives, ``(N, E, *S)`` or ``(N, E + 1, *S)`` -> embeddings, and logits ``(N, *S)`` or None.

        >>> net = EmbeddingUNet(1, 4, widths=(4,), foreground=True)
        >>> [part.shape for part in net.split(net(torch.zeros(1, 1, 8, 8)))]
        [torch.Size([1, 4, 8, 8]), torch.Size([1, 8, 8])]
        """
        embeddings = output[:, : self.embedding_dim]
        return embeddings, output[:, self.embedding_dim] if self.foreground else None


def within(part: Window, whole: Window) -> Window:
    """Where a part of an image is in an array that shows a larger part.

    >>> within((slice(5, 7),), (slice(4, 9),))
    (slice(1, 3, None),)
    """
    return tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, whole))


class MomentumPair(nn.Module):
    """The network f and its momentum average g: parameters of g follow ``m * g + (1 - m) * f``.

    * g starts equal to f and never gets a gradient.
    * g moves only in :meth:`update`, which the training loop calls after an optimiser step. A forward pass, whether
      in training or in evaluation, leaves it alone.
    * The running statistics of BatchNorm follow by the same rule as the parameters. g's own passes in training mode
      normalise by the batch, as f's do, but do not write statistics: these belong to :meth:`update`.

    Example
    -------
    >>> pair = MomentumPair(EmbeddingUNet(1, 4, widths=(8, 16)), momentum=0.9)
    >>> view = torch.zeros(2, 1, 16, 16)
    >>> emb_f, emb_g = pair(view, view)
    >>> emb_g.requires_grad
    False
    >>> pair.update()
    """

    def __init__(self, net: nn.Module, *, momentum: float = 0.999):
        super().__init__()
        if not 0.0 <= momentum <= 1.0:
            raise ValueError(f"momentum: found {momentum}; give a number from 0 (g copies f) to 1 (g never moves)")
        self.f = net
        self.g = copy.deepcopy(net).requires_grad_(False)
        self.momentum = momentum
        # Without tracking, a BatchNorm in training mode uses the batch and writes nothing; in evaluation mode it
        # still normalises by the running statistics that it holds.
        for module in self.g.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.track_running_stats = False

    def forward(self, view_f: Tensor, view_g: Tensor) -> tuple[Tensor, Tensor]:
        """Two views ``(N, C, *S)`` of the same images -> their embeddings ``(N, E, *S)`` under f and under g."""
        with torch.no_grad():
            emb_g = self.g(view_g)
        return self.f(view_f), emb_g

    @torch.no_grad()
    def update(self, momentum: float | None = None) -> None:
        """Move g towards f by one step of the moving average; ``momentum`` overrides the pair's own (warm-up)."""
        weight = 1.0 - (self.momentum if momentum is None else momentum)
        pairs = [
            *zip(self.g.parameters(), self.f.parameters()),
            *zip(self.g.buffers(), self.f.buffers()),
        ]
        floats = [(g, f) for g, f in pairs if g.dtype.is_floating_point]
        torch._foreach_lerp_([g for g, _ in floats], [f for _, f in floats], weight)
        for g, f in pairs:
            if not g.dtype.is_floating_point:  # BatchNorm's count of batches
                g.copy_(f)
