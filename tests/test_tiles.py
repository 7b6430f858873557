"""Tiles: the same answer as in one piece, objects that are joined, and stops that lose nothing."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from spoco_lite.clustering import mean_shift
from spoco_lite.data.sets import cells3d, rosettes
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.image import segment_image
from spoco_lite.prediction.stream import statistics
from spoco_lite.prediction.tiles import segment_tiles
from spoco_lite.results.runs import load_model
from spoco_lite.unet import EmbeddingUNet, MomentumPair

NUMBERS = 64


class Codes(nn.Module):
    """Stands for the last layer of a trained network: pixels of value k / 64 have embedding k of a fixed table."""

    def __init__(self, mean, deviation):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.codes = nn.Parameter(12 * torch.rand(NUMBERS, 8, generator=generator))
        self.mean, self.deviation = float(mean[0]), float(deviation[0])

    def forward(self, images):
        numbers = (images[:, 0] * self.deviation + self.mean).mul(NUMBERS).round().long()
        return self.codes[numbers].movedim(-1, 1)


def ideal(labels) -> tuple[MomentumPair, np.ndarray]:
    """Networks that see the objects as they are, and an image for them: a number for each object."""
    image = (labels % NUMBERS / NUMBERS).astype(np.float32)[None]
    net = EmbeddingUNet(1, 8, widths=(1,), ndim=labels.ndim)
    net.encoders[0], net.head = nn.Identity(), Codes(*statistics(image))
    return MomentumPair(net), image


def nuclei(shape=(24, 64, 64)) -> np.ndarray:
    return cells3d.read("val")[0].labels[tuple(map(slice, shape))]


def same_partition(a, b):
    pairs = set(zip(np.ravel(a).tolist(), np.ravel(b).tolist()))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def cut(pair, image, **options):
    return segment_tiles(pair, image, progress=False, **options)


# ---------------------------------------------------------------------- the same answer as in one piece


@pytest.mark.parametrize("tile", [(24, 24, 24), (12, 30, 40), 64], ids=str)
@pytest.mark.parametrize("options", [{}, {"consistent": False}, {"min_size": 60}], ids=str)
def test_nuclei_in_tiles_are_the_nuclei_in_one_piece(tile, options):
    """With networks that see them as they are; 3D, sizes that are no multiple of the tile. The pieces that differ are
    smaller than an object may be."""
    labels = nuclei((24, 50, 61))
    pair, image = ideal(labels)
    whole = segment_image(pair, image, **options).numpy()
    found = cut(pair, image, tile=tile, overlap=8, **options)
    result = evaluate(whole, found)
    assert whole.max() > 10 and result.ap50 == 1 and result.ap > 0.98 and result.adapted_rand_error < 0.01
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert (np.diff(np.bincount(found.ravel())[1:]) <= 0).all()  # the largest first


def test_leaves_through_a_recorded_network_are_those_of_one_piece():
    """Another's plants, so it is sure of little: all leaves that it finds are found, and SBD is above 0.95."""
    pair, image = load_model("cvppp-100"), rosettes.read("val")[0].image
    options = {"cluster": partial(mean_shift, radius=1.0), "min_size": 50}
    whole = segment_image(pair, image, **options).numpy()
    result = evaluate(whole, cut(pair, image, tile=80, overlap=32, **options))
    assert whole.max() >= 5 and result.ap50 == 1 and result.symmetric_best_dice > 0.95


def test_touching_boxes_each_in_eight_tiles():
    labels = np.zeros((40, 44, 48), np.int64)
    labels[5:35, 6:22, 5:44], labels[5:35, 22:38, 5:44] = 1, 2
    pair, image = ideal(labels)
    assert same_partition(cut(pair, image, tile=(20, 15, 24), overlap=6), labels)


def test_an_object_larger_than_a_tile_and_a_tile_without_one():
    """Of 25 tiles one lies inside the square, whose largest cluster is then no background, and many outside."""
    labels = np.zeros((100, 100), np.int64)
    labels[30:75, 30:75], labels[80:90, 5:40] = 1, 2
    pair, image = ideal(labels)
    assert same_partition(cut(pair, image, tile=20, overlap=6), labels)
    assert same_partition(cut(pair, image, tile=20, overlap=6, foreground=labels > 0), labels)
    assert not cut(pair, np.zeros((1, 100, 100), np.float32), tile=20, overlap=6).any()
    without = cut(pair, image, tile=20, overlap=6, background="none")
    assert same_partition(without, labels) and without.min() == 1


def test_background_that_is_cut_off_stays_background():
    """A ring, and in the tile at its centre a patch of background that no overlap joins to the rest."""
    y, x = np.mgrid[:90, :90] - 44.5
    labels = np.where((np.hypot(y, x) > 12) & (np.hypot(y, x) < 30), 1, 0)
    labels[:, :6] = 2
    pair, image = ideal(labels)
    assert same_partition(cut(pair, image, tile=30, overlap=4), labels)


def test_objects_on_which_the_networks_disagree_are_dropped():
    labels = nuclei((16, 40, 40))
    pair, image = ideal(labels)
    doubted = int(np.bincount(labels[labels > 0]).argmax())
    with torch.no_grad():
        pair.g.head.codes[doubted] = pair.g.head.codes[0]  # g takes it for background
    found = cut(pair, image, tile=(16, 20, 20), overlap=6)
    assert (labels == doubted).sum() > 100 and not found[labels == doubted].any()
    assert same_partition(found, segment_image(pair, image)) and found.max() >= 5


@pytest.mark.parametrize("size", [(5, 7), (1, 40), (33, 64)], ids=str)
def test_small_images_and_channels(size):
    pair = MomentumPair(EmbeddingUNet(3, 4, widths=(4, 8)))
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    assert same_partition(cut(pair, image), segment_image(pair, image))
    assert cut(pair, image, tile=8, overlap=2).shape == size


def test_group_norm_is_warned_of():
    pair = MomentumPair(EmbeddingUNet(1, 4, widths=(4, 8), norm="group"))
    with pytest.warns(UserWarning, match="GroupNorm"):
        cut(pair, np.random.default_rng(0).random((1, 30, 30)), tile=20, overlap=4)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((8, 8), np.float32), {}, r"image: found shape \(8, 8\)"),
        (np.zeros((1, 8, 8), np.uint16), {}, "LazyImage"),
        (np.zeros((1, 0, 8), np.float32), {}, "not empty"),
        (np.zeros((1, 8, 8), np.float32), {"tile": 0}, "tile, overlap: found"),
        (np.zeros((1, 8, 8), np.float32), {"overlap": 1}, "tile, overlap: found"),
        (np.zeros((1, 8, 8), np.float32), {"background": np.ones((8, 8), bool)}, "give foreground"),
        (np.zeros((1, 8, 8), np.float32), {"foreground": np.ones((8, 9), bool)}, "foreground: found shape"),
        (np.zeros((1, 8, 8), np.float32), {"out": np.zeros((8, 8))}, "out: found float64"),
    ],
)
def test_wrong_arguments(image, options, message):
    with pytest.raises(ValueError, match=message):
        cut(MomentumPair(EmbeddingUNet(1, 2, widths=(2,))), image, **options)


def test_more_objects_than_the_output_can_count():
    labels = np.zeros((96, 96), np.int64)
    for k in range(144):  # far from each other where their numbers, and so embeddings, are the same
        y, x = 8 * (k // 12), 8 * (k % 12)
        labels[y + 1 : y + 6, x + 1 : x + 6] = k
    pair, image = ideal(labels)
    with pytest.raises(ValueError, match="out: 141 objects do not fit into int8"):
        cut(pair, image, tile=24, overlap=8, out=np.zeros(labels.shape, np.int8))
