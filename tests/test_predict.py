"""From an image of any size to labels of that size."""

import numpy as np
import pytest
import torch
from torch import nn

from spoco_lite.prediction.image import embed, resize_labels, segment_image
from spoco_lite.unet import EmbeddingUNet, MomentumPair


class Colour(nn.Module):
    """A network whose embeddings are the standardised colours, ten times as far apart: easy to decode."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, images):
        return self.scale * images

    foreground, view = False, None  # as EmbeddingUNet says it

    def split(self, output):
        return output, None


def picture(size=(30, 41)):
    """Black ground with a red and a green rectangle."""
    labels = np.zeros(size, np.int64)
    labels[3:12, 4:18], labels[15:27, 20:36] = 1, 2
    image = np.zeros((3, *size), np.float32)
    image[0][labels == 1] = image[1][labels == 2] = 1
    return image, labels


@pytest.fixture
def colours():
    return MomentumPair(Colour())


def same_partition(a, b):
    pairs = set(zip(np.asarray(a).ravel().tolist(), np.asarray(b).ravel().tolist()))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


# ---------------------------------------------------------------------- embeddings


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (7, 5), (33, 20), (5, 8, 9)], ids=str)
def test_embeddings_have_the_size_of_the_image(size):
    net = EmbeddingUNet(2, 4, widths=(4, 8), ndim=len(size))
    embeddings = embed(net, np.random.default_rng(0).random((2, *size)))
    assert embeddings.shape == (4, *size)
    assert embeddings.dtype == torch.float32 and not embeddings.requires_grad
    assert embeddings.isfinite().all()


def test_embedding_is_the_network_in_evaluation_mode_on_the_standardised_image():
    net = EmbeddingUNet(1, 4, widths=(4, 8)).train()
    image = torch.rand(1, 9, 10, generator=torch.Generator().manual_seed(0))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    embeddings = embed(net, image)
    assert net.training  # as it was found
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    torch.testing.assert_close(embed(net, 0.2 + 0.5 * image), embeddings, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        expected = net.eval()(((image - image.mean()) / image.std(correction=0))[None])[0]
    torch.testing.assert_close(embeddings, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "expected"), [(20, (20, 20)), ((12, 17), (12, 17))])
def test_embeddings_come_in_the_size_that_was_asked_for(size, expected):
    assert embed(EmbeddingUNet(3, 4, widths=(4,)), picture()[0], size=size).shape == (4, *expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_image_with_nan_is_refused(colours, bad):
    image, _ = picture()
    image[1, 2, 3] = bad
    for call in (lambda: embed(colours.g, image), lambda: segment_image(colours, image)):
        with pytest.raises(ValueError, match="image: holds NaN"):
            call()


@pytest.mark.parametrize(("shape", "message"), [((8, 8), r"found shape \(8, 8\)"), ((4, 8, 8), "C = 3")])
def test_wrong_shapes(shape, message):
    net = EmbeddingUNet(3, 4, widths=(4,)).train()
    with pytest.raises(ValueError, match=message):
        embed(net, np.zeros(shape, np.float32))
    assert net.training


# ---------------------------------------------------------------------- labels


@pytest.mark.parametrize("consistent", [None, True, False])
def test_objects_are_found_without_a_mask(colours, consistent):
    image, truth = picture()
    labels = segment_image(colours, image, consistent=consistent)
    assert labels.dtype == torch.int64 and labels.shape == truth.shape
    assert same_partition(labels, truth)


def test_the_foreground_is_filled_and_nothing_else(colours):
    image, truth = picture()
    assert same_partition(segment_image(colours, image, foreground=truth > 0), truth)


@pytest.mark.parametrize("size", [24, (50, 60)])
def test_through_another_size_and_back(colours, size):
    image, truth = picture()
    labels = segment_image(colours, image, size=size, foreground=truth > 0, min_size=60).numpy()
    assert labels.shape == truth.shape
    assert not labels[truth == 0].any()
    main = [np.bincount(labels[truth == k]).argmax() for k in (1, 2)]
    assert len({0, *main}) == 3
    assert all((labels[truth == k] == m).mean() > 0.9 for k, m in zip((1, 2), main))


def test_the_foreground_may_be_smaller_than_what_the_network_sees(colours):
    image, truth = picture()
    foreground = truth == 2
    foreground[15:20] = False
    labels = segment_image(colours, image, foreground=foreground).numpy()
    assert np.array_equal(labels > 0, foreground)


def test_an_empty_foreground_holds_no_object(colours):
    image, truth = picture()
    assert not segment_image(colours, image, foreground=np.zeros_like(truth)).any()


@pytest.mark.parametrize("shape", [(30, 40), (41, 30), (1, 1), (1, 30, 41)], ids=str)
def test_a_foreground_of_another_size_is_refused(colours, shape):
    with pytest.raises(ValueError, match=r"foreground: .*\(30, 41\)"):
        segment_image(colours, picture()[0], foreground=np.ones(shape, bool))


def test_f_must_agree_with_g(colours):
    """Where the two networks see different groups, consistency drops the object; without it, g decides."""
    image, truth = picture()

    class Split(Colour):
        def forward(self, images):
            split = super().forward(images).clone()
            split[..., ::2, :] += 50 * (images[:, 1:2, ::2] > images[:, 1:2].mean())  # stripes of green
            return split

    colours.f = Split()
    labels = segment_image(colours, image)
    assert same_partition(labels, torch.from_numpy(truth) == 1)
    assert same_partition(segment_image(colours, image, consistent=False), truth)


@pytest.mark.parametrize("size", [(17, 33), (1, 40), (64, 64)], ids=str)
def test_labels_have_the_size_of_the_image(size):
    pair = MomentumPair(EmbeddingUNet(3, 4, widths=(4, 8)))
    image = np.random.default_rng(0).random((3, *size))
    assert segment_image(pair, image).shape == size
    assert segment_image(pair, image, size=16, foreground=np.ones(size, bool)).shape == size


# ---------------------------------------------------------------------- resizing labels


def test_the_same_size_is_the_same_map():
    labels = torch.randint(-1, 5, (6, 7), generator=torch.Generator().manual_seed(0))
    assert torch.equal(resize_labels(labels, (6, 7)), labels)


@pytest.mark.parametrize("size", [(9, 14), (20, 11), (3, 3)], ids=str)
def test_no_label_is_invented(size):
    labels = torch.tensor([-1, 0, 3, 900])[torch.randint(0, 4, (8, 8), generator=torch.Generator().manual_seed(0))]
    resized = resize_labels(labels, size)
    assert resized.shape == size and resized.dtype == torch.int64
    assert set(resized.unique().tolist()) <= {-1, 0, 3, 900}


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("shape", [(8, 8), (4, 6, 6)], ids=["2D", "3D"])
def test_straight_outlines_stay_where_they_are(shape, factor):
    labels = torch.zeros(shape, dtype=torch.long)
    labels[..., : shape[-1] // 2] = 2
    labels[: shape[0] // 2, ..., shape[-1] // 2 :] = 5
    expected = labels
    for axis in range(len(shape)):
        expected = expected.repeat_interleave(factor, axis)
    resized = resize_labels(labels, tuple(expected.shape))
    assert (resized != expected).float().mean() < 0.02  # the point where three labels meet may round off
    halves = torch.where(labels == 2, 2, 0)
    assert torch.equal(resize_labels(halves, tuple(expected.shape)), torch.where(expected == 2, 2, 0))
