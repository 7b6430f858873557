"""What tiles are made of: windows whose embeddings are those of the image, and images that are read in part."""

import numpy as np
import pytest
import torch
from torch import nn

from spoco_lite.data.files import as_image
from spoco_lite.prediction import stream
from spoco_lite.prediction.image import embed
from spoco_lite.prediction.stream import LazyImage, statistics
from spoco_lite.prediction.tiles import segment_tiles
from spoco_lite.prediction.window import embed_window, receptive_radius
from spoco_lite.unet import EmbeddingUNet, MomentumPair

# ---------------------------------------------------------------------- what the network sees


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_receptive_radius_is_that_of_the_network(levels, ndim):
    """The farthest input with a gradient, over all places in a cell of the pooling. Averages see what maxima may."""
    net = EmbeddingUNet(1, 1, widths=(1,) * levels, ndim=ndim).eval()
    net.pool = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[ndim](2)
    for weight in net.parameters():
        nn.init.constant_(weight, 0.1)  # nothing cancels, and no ReLU is off
    side, cell = 2 * receptive_radius(levels) + 2 ** (levels + 1), 2 ** (levels - 1)
    side += -side % cell
    reach = 0
    for place in range(side // 2 // cell * cell, side // 2 // cell * cell + cell):
        shape = [1, 1, *[cell] * (ndim - 1), side]  # along the last axis; the others are alike
        image = torch.ones(shape, requires_grad=True)
        net(image)[..., place].sum().backward()
        (seen,) = image.grad.flatten(0, -2).sum(0).nonzero(as_tuple=True)
        reach = max(reach, place - int(seen.min()), int(seen.max()) - place)
    assert reach == receptive_radius(levels)


@pytest.mark.parametrize(
    ("widths", "shape"), [((4, 8, 8), (117, 90)), ((4,), (20, 31)), ((4, 8, 8), (30, 61, 58))], ids=str
)
@pytest.mark.parametrize("placed", [False, True])
def test_embeddings_of_a_window_are_those_of_the_image(widths, shape, placed):
    """To a ten-thousandth of their deviation; running statistics are not those of a fresh network."""
    torch.manual_seed(0)
    unit = (2.0, 3.0, 4.0)[: len(shape)] if placed else None
    net = EmbeddingUNet(2, 3, widths=widths, ndim=len(shape), unit=unit, foreground=placed)
    net(torch.randn(4, 2, *[16] * len(shape)))
    rng = np.random.default_rng(0)
    image = rng.random((2, *shape), dtype=np.float32)
    whole, numbers = embed(net, image), statistics(image)
    tolerance = 1e-4 * float(whole.std())
    for _ in range(8):
        window = tuple(slice(*sorted(rng.choice(s + 1, 2, replace=False).tolist())) for s in shape)
        part = embed_window(net, image, window, statistics=numbers)[0]
        torch.testing.assert_close(part, whole[(slice(None), *window)], atol=tolerance, rtol=0)
    assert net.training


@pytest.mark.parametrize(("shape", "view"), [((117, 90), (40, 64)), ((30, 61, 58), (20, 16, 16)), ((9, 20), (40, 40))])
@pytest.mark.parametrize("block", [7, 50])
def test_statistics_of_windows_are_those_of_the_image(shape, view, block, monkeypatch):
    """Through a network that was trained on windows; sizes that are no multiple of a window, or smaller."""
    monkeypatch.setattr(stream, "BLOCK", {2: block, 3: block})
    torch.manual_seed(0)
    net = EmbeddingUNet(2, 3, widths=(4, 8), ndim=len(shape), view=view)
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32) ** 3
    lazy = LazyImage(image, ndim=len(shape))
    whole, numbers = embed(net, lazy[...]), statistics(lazy, net.view)
    part = embed_window(net, lazy, tuple(slice(2, s) for s in shape), statistics=numbers)[0]
    inner = (slice(None), *[slice(2, None)] * len(shape))
    torch.testing.assert_close(part, whole[inner], atol=1e-4 * float(whole.std()), rtol=0)
    with pytest.raises(ValueError, match="NaN"):
        statistics(np.full((1, *shape), np.nan), net.view)


def test_a_smaller_margin_would_not_do():
    """The image's first 40 pixels are 8 short of the window. Half the radius is wrong by more than that tolerance."""
    torch.manual_seed(0)
    net, image = EmbeddingUNet(1, 3, widths=(4, 8, 8)), np.random.default_rng(0).random((1, 80, 80))
    less, _ = embed_window(net, image[:, 40:, 40:], (slice(8, 16), slice(8, 16)), statistics=statistics(image))
    whole = embed(net, image)
    assert (less - whole[:, 48:56, 48:56]).abs().max() > 2e-4 * whole.std()


# ---------------------------------------------------------------------- images that are read in part


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float16", "float32", "float64", "bool"])
@pytest.mark.parametrize(("shape", "ndim"), [((13, 17), 2), ((13, 17, 4), 2), ((3, 9, 8), 2), ((9, 8, 11), 3)], ids=str)
def test_a_lazy_image_is_the_image(dtype, shape, ndim, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", {2: 5, 3: 4})
    array = (np.random.default_rng(0).normal(20, 7, shape)).astype(dtype)
    lazy, whole = LazyImage(array, ndim=ndim), as_image(array, "array", ndim=ndim)
    np.testing.assert_allclose(lazy[...], whole, atol=1e-6)
    np.testing.assert_allclose(lazy[:, 3:7, 2:], whole[:, 3:7, 2:], atol=1e-6)
    mean, deviation = statistics(lazy)
    np.testing.assert_allclose(mean, whole.reshape(len(whole), -1).mean(1), rtol=1e-5)
    np.testing.assert_allclose(deviation, whole.reshape(len(whole), -1).std(1), rtol=1e-5)


@pytest.mark.parametrize("constant", [0, 7])
def test_constant_and_nearly_constant_images(constant):
    array = np.full((40, 50), constant, np.int16)
    assert not LazyImage(array, ndim=2)[...].any()
    array[3, 4] = 9  # above the upper percentile: the range is that of all values
    np.testing.assert_allclose(LazyImage(array, ndim=2)[...], as_image(array, "array", ndim=2))


def test_nan_is_named_with_its_place(monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", {2: 8, 3: 8})
    volume = np.zeros((1, 12, 20, 30), np.float32)
    volume[0, 9, 17, 21] = np.nan
    pair = MomentumPair(EmbeddingUNet(1, 2, widths=(2,), ndim=3))
    with pytest.raises(ValueError, match=r"NaN .*\(z, y, x\) = \(9, 17, 21\)"):
        segment_tiles(pair, volume)
    with pytest.raises(ValueError, match=r"\(9, 17, 21\)"):
        LazyImage(volume, ndim=3)
