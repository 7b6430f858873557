"""A training that does not begin from nothing: the weights of another run, as far as they fit."""

import sys

from torch import Tensor

from ..results.runs import load_model
from ..unet import MomentumPair
from . import processes


def begin_with(pair: MomentumPair, name: str | None) -> None:
    """Copy into f and g what fits of a run's weights, and say on the error stream what was taken; None: nothing.

    Other channels of images: the first layer gets the mean of its weights over the channels, so that a grey image
    looks as it did in colours. Another last layer: the components that both have. All else of another shape stays as
    it was drawn. ValueError if nothing fits, as of images and volumes.

    >>> from ..unet import EmbeddingUNet
    >>> pair = MomentumPair(EmbeddingUNet(1, 8))
    >>> begin_with(pair, "cvppp-10")
    >>> other = load_model("cvppp-10")
    >>> bool((pair.g.decoders[0][0].weight == other.g.decoders[0][0].weight).all())
    True
    """
    if name is None:
        return
    own, there = pair.state_dict(), load_model(name).state_dict()
    taken, fitted = {}, []
    for key, value in own.items():
        found = there.get(key)
        if found is None or found.ndim != value.ndim:
            continue
        if found.shape == value.shape:
            taken[key] = found
        elif ".encoders.0.0." in key and found.shape[0] == value.shape[0] and found.shape[2:] == value.shape[2:]:
            mean = found.mean(1, keepdim=True) * found.shape[1] / value.shape[1]
            taken[key] = mean.expand_as(value)
            fitted.append(key)
        elif ".head." in key and found.shape[1:] == value.shape[1:]:
            taken[key] = _rows(value, found.to(value.device))
            fitted.append(key)
    weights = [key for key in taken if own[key].ndim > 1]
    if not weights:
        raise ValueError(f"start: no layer of {name} has the shape of one here; give a run of the same axes and widths")
    pair.load_state_dict(own | taken)
    if processes.first():
        all_of_them = sum(value.ndim > 1 for value in own.values())
        note = f"; fitted to other channels or sizes: {', '.join(fitted)}" if fitted else ""
        print(f"start: {len(weights)} of {all_of_them} layers are those of {name}{note}", file=sys.stderr)


def _rows(value: Tensor, found: Tensor) -> Tensor:
    mixed, rows = value.clone(), min(len(value), len(found))
    mixed[:rows] = found[:rows]
    return mixed
