"""The network takes images of any size; its momentum average moves when it is told to, and only then."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spoco_lite.unet import EmbeddingUNet, MomentumPair


def unet(**options):
    torch.manual_seed(0)
    return EmbeddingUNet(2, 5, **({"widths": (4, 8, 12)} | options))


def images(*size, n=2, channels=2, seed=0):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- the network


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 9), (7, 5), (33, 18), (8, 8, 8), (1, 1, 1), (3, 9, 6)], ids=str)
def test_any_size(size, norm):
    embeddings = unet(ndim=len(size), norm=norm).eval()(images(*size))
    assert embeddings.shape == (2, 5, *size)
    assert embeddings.dtype == torch.float32
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("size", [(7, 5), (9, 16), (3, 9, 6)], ids=str)
def test_padding_repeats_the_border_and_is_cropped(size):
    net = unet(ndim=len(size)).eval()
    padding = [p for s in reversed(size) for p in (0, -s % 4)]
    by_hand = net(F.pad(images(*size), padding, mode="replicate"))[(..., *map(slice, size))]
    torch.testing.assert_close(net(images(*size)), by_hand)


def test_one_level_is_a_network_too():
    assert unet(widths=(4,))(images(7, 5)).shape == (2, 5, 7, 5)


def test_group_norm_sees_one_image_and_batch_norm_the_batch():
    batch = images(8, 8)
    for norm, alone in (("group", True), ("batch", False)):
        net = unet(norm=norm).train()
        assert torch.allclose(net(batch)[:1], net(batch[:1]), atol=1e-5) is alone
        net.eval()
        torch.testing.assert_close(net(batch)[:1], net(batch[:1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("widths", [(4, 8), (6, 10), (7, 13)])
def test_group_norm_with_any_width(widths):
    assert unet(widths=widths, norm="group")(images(8, 8)).isfinite().all()


def test_every_parameter_gets_a_gradient():
    net = unet()
    net(images(8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_under_autocast_embeddings_stay_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        assert unet()(images(8, 8)).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ndim": 1}, "ndim: found 1"),
        ({"norm": "layer"}, "norm: found 'layer'"),
        ({"widths": ()}, "widths"),
        ({"widths": (4, 0)}, "widths"),
        ({"in_channels": 0}, "in_channels"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"view": (64,)}, r"view: found \(64,\) for 2 axes"),
        ({"view": (64, 0)}, "view: found"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingUNet(**options)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (images(8, 8, channels=3), r"C = 2, found shape \(2, 3, 8, 8\)"),
        (images(8, 8)[0], r"found shape \(2, 8, 8\)"),
        (images(8, 8, 8), r"found shape \(2, 2, 8, 8, 8\)"),
        (images(8, 8).mul(255).byte(), "images: .*uint8"),
    ],
)
def test_images_are_checked(batch, message):
    with pytest.raises(ValueError, match=message):
        unet()(batch)


# ---------------------------------------------------------------------- the momentum pair


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def pair():
    return MomentumPair(unet(), momentum=0.9)


def move_f(pair, seed):
    """What an optimiser step and a forward pass in training mode would do to f: all that is in it changes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in pair.f.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    pair.f.train()(3 * images(8, 8, seed=seed))


def test_g_starts_as_a_copy_of_f(pair):
    assert same(state(pair.f), state(pair.g))
    assert not {p.data_ptr() for p in pair.f.parameters()} & {p.data_ptr() for p in pair.g.parameters()}
    pair.eval()
    emb_f, emb_g = pair(images(8, 8), images(8, 8))
    assert torch.equal(emb_f, emb_g)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_forward_pass_leaves_g_alone(pair, mode):
    move_f(pair, 0)
    before = state(pair.g)
    getattr(pair, mode)()
    for seed in range(3):
        pair(images(8, 8), 5 * images(8, 8, seed=seed) - 2)
    assert same(before, state(pair.g))  # BatchNorm's statistics and its count of batches included


def test_in_training_g_normalises_by_the_batch_and_in_evaluation_by_its_statistics(pair):
    twin = copy.deepcopy(pair.g)
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats = True
    view = 5 * images(8, 8) - 2
    assert torch.equal(pair.eval()(view, view)[1], twin.eval()(view))
    assert torch.equal(pair.train()(view, view)[1], twin.train()(view))
    assert not torch.equal(twin.train()(view), twin.eval()(view))


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.999])
def test_update_is_torchs_moving_average(momentum):
    pair = MomentumPair(unet(), momentum=momentum)
    torchs = AveragedModel(pair.f, multi_avg_fn=get_ema_multi_avg_fn(momentum), use_buffers=True)
    torchs.update_parameters(pair.f)  # the first call copies
    for seed in range(4):
        move_f(pair, seed)
        pair.update()
        torchs.update_parameters(pair.f)
    expected = torchs.module.state_dict()
    for name, value in pair.g.state_dict().items():
        if value.is_floating_point():  # parameters and running statistics
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7, msg=name)
        else:
            assert value == pair.f.state_dict()[name], name


def test_update_takes_another_momentum_for_one_step(pair):
    move_f(pair, 0)
    before = state(pair)
    pair.update(1.0)
    assert all(torch.equal(v, before[k]) for k, v in state(pair).items() if v.is_floating_point())
    pair.update(0.0)
    assert same(state(pair.f), state(pair.g))
    assert same(state(pair.f), {k.removeprefix("f."): v for k, v in before.items() if k.startswith("f.")})
    assert pair.momentum == 0.9


def test_g_has_no_gradient(pair):
    emb_f, emb_g = pair(images(8, 8), images(8, 8, seed=1))
    assert emb_f.requires_grad and not emb_g.requires_grad
    assert not any(p.requires_grad for p in pair.g.parameters())
    assert all(p.requires_grad for p in pair.f.parameters())


@pytest.mark.parametrize("momentum", [-0.1, 1.5, float("nan")])
def test_momentum_is_checked(momentum):
    with pytest.raises(ValueError, match="momentum: found"):
        MomentumPair(unet(), momentum=momentum)
