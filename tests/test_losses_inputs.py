"""Losses of what is rare: no object, half precision, labels of any size, and what is refused."""

from functools import partial

import pytest
import torch
from test_losses import LABELS, SIZES, SUPERVISED, embed, named_labels

from spoco_lite import losses
from spoco_lite.objective import SpocoLoss
from spoco_lite.sums import blocks

# ---------------------------------------------------------------------- degenerate inputs


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("labelling", LABELS)
def test_identical_embeddings_give_no_nan(labelling, dtype):
    labels = named_labels(labelling, (3, 4))
    embeddings = torch.full((1, 4, 3, 4), 0.7, dtype=dtype, requires_grad=True)
    terms = SpocoLoss()(embeddings, embeddings.detach(), labels)
    terms.total.backward()
    assert all(t.isfinite() for t in terms)
    assert embeddings.grad.isfinite().all()
    present = labels.unique()
    pairs = sum(k >= 0 for k in present) > 1
    assert terms.push.item() == pytest.approx(16.0 if pairs else 0.0, rel=1e-5)  # (2 delta_dist)^2
    both = -1 in present and present.max() > 0
    assert terms.unlabeled_push.item() == pytest.approx(4.0 if both else 0.0, rel=1e-5)  # delta_dist^2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(dtype):
    labels = named_labels("background and unlabelled", (3, 4))
    half = embed(1, 4, (3, 4)).detach().to(dtype).requires_grad_()
    full = half.detach().float().requires_grad_()
    target = half.detach() + 0.25
    terms = SpocoLoss()(half, target, labels, generator=torch.Generator().manual_seed(0))
    expected = SpocoLoss()(full, target.float(), labels, generator=torch.Generator().manual_seed(0))
    assert terms == expected  # to the last digit
    assert all(t.dtype == torch.float32 for t in terms)
    terms.total.backward()
    expected.total.backward()
    assert half.grad.dtype == dtype
    torch.testing.assert_close(half.grad, full.grad.to(dtype))  # rounded to half precision once or twice


@pytest.mark.parametrize("term", SUPERVISED)
def test_autocast_changes_nothing(term):
    embeddings, labels = embed(1, 4, (3, 4)).float(), named_labels("background and unlabelled", (3, 4))
    outside = SUPERVISED[term](embeddings, labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(SUPERVISED[term](embeddings, labels), outside)


@pytest.fixture(params=["one block", "blocks"])
def sparse_scene(request, monkeypatch):
    """Embeddings with gradients, those of g, labels with unlabelled pixels; summed in one block or in many."""
    if request.param == "blocks":
        monkeypatch.setitem(blocks.BLOCK, "cpu", 256)
    emb_f, emb_g = (2 * torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    labels = torch.full((2, 16, 16), -1)
    labels[:, :4], labels[:, 4:8] = 1, 2
    return emb_f.requires_grad_(), emb_g, labels


def test_a_gradient_inside_autocast_is_refused(sparse_scene):
    """Products of the backward pass would be rounded to bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        terms = SpocoLoss()(*sparse_scene)
        for loss in (terms.total, terms.pull, losses.pull_loss(sparse_scene[0], sparse_scene[2])):
            with pytest.raises(RuntimeError, match="leave autocast before it"):
                loss.backward(retain_graph=True)
    terms.total.backward()
    assert sparse_scene[0].grad.abs().sum() > 0


def test_a_second_derivative_is_refused(sparse_scene):
    """The sums keep no graph of their backward pass."""
    (slope,) = torch.autograd.grad(SpocoLoss()(*sparse_scene).total, sparse_scene[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()


def test_products_are_exact_whatever_precision_is_asked_for(sparse_scene, monkeypatch):
    """On a GPU, "high" is TF32, whose three digits spoil the small distance between large embeddings."""
    seen = []

    def watched(product):
        return lambda *args, **kwargs: (seen.append(torch.get_float32_matmul_precision()), product(*args, **kwargs))[1]

    monkeypatch.setattr(torch, "bmm", watched(torch.bmm))
    torch.set_float32_matmul_precision("high")
    try:
        terms = SpocoLoss()(*sparse_scene)
        forward = len(seen)
        terms.total.backward()
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert forward and set(seen) == {"highest"}
    assert (len(seen) > forward) == (blocks.BLOCK["cpu"] == 256)  # blocks are computed again


@pytest.mark.parametrize("large", [2**31, 2**62, 2**63 - 1])
def test_labels_of_any_size_mean_the_same(large):
    embeddings, labels = embed(2, 4, (3, 4)), named_labels("one object", (3, 4)).repeat(2, 1, 1)
    labels[:, 0, 0] = 3
    as_large = labels.where(labels != labels.max(), large)
    assert as_large.max() == large
    for name, function in SUPERVISED.items():
        torch.testing.assert_close(function(embeddings, as_large), function(embeddings, labels), msg=name)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_empty_batch(size):
    embeddings = torch.zeros(0, 4, *size, requires_grad=True)
    terms = SpocoLoss()(embeddings, embeddings.detach(), torch.zeros(0, *size, dtype=torch.long))
    assert all(t == 0 for t in terms)
    terms.total.backward()
    assert embeddings.grad.shape == embeddings.shape


def test_an_image_to_which_a_term_does_not_apply_adds_zero():
    embeddings, labels = embed(2, 3, (3, 4)), named_labels("one object", (3, 4)).repeat(2, 1, 1)
    labels[1] = -1
    for name, function in SUPERVISED.items():
        torch.testing.assert_close(function(embeddings, labels) * 2, function(embeddings[:1], labels[:1]), msg=name)


def test_a_crop_without_background_loses_no_object():
    labels = named_labels("no background and no unlabelled pixel", (3, 4))
    embeddings = embed(1, 2, (3, 4))
    torch.testing.assert_close(
        losses.regularizer_loss(embeddings, labels),
        torch.stack([torch.linalg.vector_norm(embeddings[0, :, row].mean(1)) for row in range(3)]).mean(),
    )


# ---------------------------------------------------------------------- bad input

GOOD = torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 4, dtype=torch.long)


@pytest.mark.parametrize("term", SUPERVISED)
@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (GOOD[0][0], GOOD[1], r"embeddings: .*\(2, 3, 4\)"),
        (GOOD[0].long(), GOOD[1], "embeddings: .*int64"),
        (GOOD[0], GOOD[1].float(), "labels: .*float32"),
        (GOOD[0], GOOD[1].bool(), "labels: .*bool"),
        (GOOD[0], GOOD[1][:, :2], r"labels: .*\(1, 2, 4\)"),
        (GOOD[0], GOOD[1][:, None], r"labels: .*\(1, 1, 3, 4\)"),
        (GOOD[0], GOOD[1] - 2, "labels: found -2"),
    ],
)
def test_wrong_shapes_and_dtypes(term, embeddings, labels, message):
    with pytest.raises(ValueError, match=message):
        SUPERVISED[term](embeddings, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"emb_g": torch.zeros(1, 2, 3, 5)}, r"emb_f and emb_g .*\(1, 2, 3, 5\)"),
        ({"labels": torch.zeros(1, 3, 5, dtype=torch.long)}, "labels"),
        ({"labels": torch.zeros(1, 3, 4)}, "labels"),
        ({"anchors": torch.zeros(1, 2, 3, dtype=torch.long)}, "anchors"),
        ({"anchors": torch.zeros(1, 2, 2)}, "anchors.*float32"),
        ({"anchors": torch.tensor([[[3, 0]]])}, r"anchors.*\(3, 4\)"),
        ({"anchors": torch.tensor([[[0, -1]]])}, r"anchors.*\(3, 4\)"),
        ({"delta_var": 0.0}, "delta_var"),
        ({"kernel_threshold": 1.0}, "threshold"),
    ],
)
def test_consistency_refuses(change, message):
    arguments = {"emb_f": GOOD[0], "emb_g": GOOD[0], "labels": GOOD[1], "anchors": torch.tensor([[[0, 0]]])}
    losses.consistency_loss(**arguments)
    with pytest.raises(ValueError, match=message):
        losses.consistency_loss(**(arguments | change))


@pytest.mark.parametrize("make", [SpocoLoss, partial(losses.instance_loss, *GOOD)], ids=["SpocoLoss", "function"])
@pytest.mark.parametrize("option", ["reduction", "anchor"])
def test_unknown_choice(make, option):
    with pytest.raises(ValueError, match=f"{option}: found 'sum'; give one of"):
        make(**{option: "sum"})


@pytest.mark.parametrize("change", [{"max_anchors": 0}, {"coverage": 0.0}, {"coverage": 1.1}])
def test_anchors_that_cannot_be_drawn(change):
    with pytest.raises(ValueError, match="max_anchors: found .*coverage: found"):
        losses.consistency_loss(GOOD[0], GOOD[0], GOOD[1] - 1, **change)
