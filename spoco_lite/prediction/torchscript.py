"""The networks of a run as one TorchScript file, which any program with PyTorch loads without this project.

TorchScript takes less of Python than :class:`spoco_lite.unet.EmbeddingUNet` uses; so its forward pass stands here once
more, for whole images, and tests hold the two to the same numbers.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment import standardize
from ..unet import EmbeddingUNet, MomentumPair


class _Network(nn.Module):
    """The layers of an ``EmbeddingUNet``, and its forward pass for whole images: (N, C, *S) -> (N, E or E + 1, *S)."""

    unit: list[float]  # said here, as an empty list does not tell what it is of

    def __init__(self, net: EmbeddingUNet):
        super().__init__()
        self.encoders, self.pool, self.head = net.encoders, net.pool, net.head
        self.decoders = nn.ModuleList(list(net.decoders)[::-1])  # the coarsest first, the order of the way up
        self.cell = net.cell
        self.unit = list(net.unit or ())

    def forward(self, images: Tensor) -> Tensor:
        size = images.shape[2:]
        padding: list[int] = []
        for s in size:
            padding = [0, -s % self.cell] + padding
        x = F.pad(images, padding, mode="replicate")
        # On the way up no more is computed than the image needs; where GroupNorm counts pixels that makes a difference.
        wanted, needed = [size], [size]
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            if level > 0:
                x = self.pool(x)
                needed.append([min(whole, own + 2) for whole, own in zip(skips[-1].shape[2:], wanted[-1])])
                wanted.append([(own + 1) // 2 for own in needed[-1]])
            x = encoder(x)
            skips.append(x)
        x = _first(x, wanted[-1])
        for step, decoder in enumerate(self.decoders):
            level = len(skips) - 2 - step
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            ends = needed[level + 1]
            x = decoder(torch.cat([_first(x, ends), _first(skips[level], ends)], 1))
            x = _first(x, wanted[level])
        x = self.head(x)
        if len(self.unit) > 0:
            axes: list[Tensor] = []
            for n, unit in zip(size, self.unit):
                axes.append((torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2) / unit)
            places = torch.stack(torch.meshgrid(axes, indexing="ij"))
            x = torch.cat([x[:, : len(axes)] + places, x[:, len(axes) :]], 1)
        return x


def _first(x: Tensor, ends: list[int]) -> Tensor:
    for axis, end in enumerate(ends):
        x = x.narrow(axis + 2, 0, end)
    return x


class _Exported(nn.Module):
    """Standardises, and gives what the decoder looks at."""

    def __init__(self, pair: MomentumPair, both: bool):
        super().__init__()
        self.g = _Network(pair.g)
        self.f = _Network(pair.f) if both else nn.Identity()
        self.view: list[int] | None = pair.g.view
        self.both, self.foreground, self.dim = both, pair.g.foreground, pair.g.embedding_dim

    def forward(self, images: Tensor) -> list[Tensor]:
        images = standardize(images, self.view)
        seen = self.g(images)
        outputs = [seen[:, : self.dim]]
        if self.foreground:
            outputs.append(seen[:, self.dim :])
        if self.both:
            outputs.append(self.f(images)[:, : self.dim])
        return outputs


def outputs_of(pair: MomentumPair, *, both: bool) -> list[str]:
    """Names of what :func:`scripted` gives.

    >>> outputs_of(MomentumPair(EmbeddingUNet(1, 4, widths=(4,), foreground=True)), both=False)
    ['embedding', 'foreground']
    """
    return ["embedding", *["foreground"] * pair.g.foreground, *["embedding_f"] * both]


def scripted(pair: MomentumPair, *, both: bool) -> torch.jit.ScriptModule:
    """The networks as TorchScript: images float32 ``(N, C, *S)`` of any scale and size -> a list, float32.

    * ``embedding`` ``(N, E, *S)`` by g;
    * ``foreground`` ``(N, 1, *S)``, above 0 in objects, if the networks have a channel for it;
    * ``embedding_f`` ``(N, E, *S)`` by f, if ``both`` networks are asked for, as decoders that compare the two need it.

    Images are standardised inside: their numbers may be 0 to 1 or 0 to 255.

    >>> net = scripted(MomentumPair(EmbeddingUNet(1, 4, widths=(4, 8), foreground=True)).eval(), both=False)
    >>> [output.shape for output in net(torch.zeros(1, 1, 9, 12))]
    [torch.Size([1, 4, 9, 12]), torch.Size([1, 1, 9, 12])]
    """
    with warnings.catch_warnings():  # PyTorch would rather have another format, which the readers do not know yet
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(_Exported(pair, both).eval())
