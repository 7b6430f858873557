"""Gradients of the losses, where they must be and where not; and the consistency."""

import pytest
import torch
from test_losses import SIZES, SUPERVISED, WEIGHTS, embed, named_labels

from spoco_lite import losses
from spoco_lite.objective import SpocoLoss
from spoco_lite.sums import blocks
from spoco_lite.unet import EmbeddingUNet, MomentumPair

# ---------------------------------------------------------------------- consistency


@pytest.mark.parametrize("size", [(12, 10), (4, 5, 6)], ids=SIZES)
@pytest.mark.parametrize("scale", [0.0, 0.1, 5.0])
def test_equal_embeddings_are_consistent(scale, size):
    embeddings = embed(2, 4, size, scale=scale).float()
    labels = torch.full((2, *size), -1)
    assert abs(losses.consistency_loss(embeddings, embeddings, labels)) < 1e-6


def test_masks_that_fill_half_of_the_rows_are_consistent():
    """A Dice per image row would count each empty row as a disagreement."""
    embeddings = torch.zeros(1, 2, 8, 8)
    embeddings[:, :, 4:] = 9.0
    value = losses.consistency_loss(embeddings, embeddings, torch.full((1, 8, 8), -1), anchors=torch.tensor([[[0, 0]]]))
    assert abs(value) < 1e-6


def test_equal_networks_are_consistent():
    pair = MomentumPair(EmbeddingUNet(1, 4, widths=(4, 8))).train()
    emb_f, emb_g = pair(*[torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))] * 2)
    assert abs(losses.consistency_loss(emb_f, emb_g, torch.full((2, 16, 16), -1))) < 1e-6


def test_drawn_anchors_follow_the_generator():
    emb_f, emb_g = embed(2, 4, (8, 8)), embed(2, 4, (8, 8), seed=1)
    labels = torch.full((2, 8, 8), -1)

    def loss(seed):
        return losses.consistency_loss(
            emb_f, emb_g, labels, max_anchors=3, generator=torch.Generator().manual_seed(seed)
        )

    assert loss(0) == loss(0) != loss(1)


@pytest.mark.parametrize("labelling", ["no unlabelled pixel", "one object everywhere"])
def test_without_unlabelled_pixels_there_is_no_consistency(labelling):
    emb_f, emb_g = embed(1, 4, (3, 4)), embed(1, 4, (3, 4), seed=1)
    value = losses.consistency_loss(emb_f, emb_g, named_labels(labelling, (3, 4)))
    (gradient,) = torch.autograd.grad(value, emb_f)
    assert value == 0
    assert not gradient.any()


# ---------------------------------------------------------------------- gradients


@pytest.mark.parametrize("size", [(2, 3), (2, 2, 2)], ids=SIZES)
@pytest.mark.parametrize("term", [*SUPERVISED, "consistency"])
def test_gradcheck(term, size):
    embeddings = embed(2, 2, size, seed=3)
    one = torch.tensor([1, 1, 4, 4, 0, -1, -1, -1])[: embeddings[0, 0].numel()].reshape(size)
    labels = torch.stack([one, one.flip(0)])
    if term == "consistency":
        anchors = torch.tensor([[[0] * len(size), [1] * len(size)]] * 2)
        other = embed(2, 2, size, seed=4).detach() * 0.3 + embeddings.detach()
        assert torch.autograd.gradcheck(
            lambda e: losses.consistency_loss(e, other, labels, anchors=anchors, delta_var=1.5), embeddings
        )
    else:
        assert torch.autograd.gradcheck(lambda e: SUPERVISED[term](e, labels), embeddings)


# Where each term must leave a pixel alone, by its label; -1 unlabelled, 0 background, 1 and 2 objects.
UNTOUCHED = {
    "pull": {-1},
    "push": {-1},
    "regularizer": {-1},
    "instance": set(),
    "unlabeled_push": {0},
    "consistency": set(),
}


@pytest.mark.parametrize("term", [*SUPERVISED, "consistency"])
def test_gradcheck_in_blocks(term, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK, "cpu", 8)
    test_gradcheck(term, (2, 3))


@pytest.mark.parametrize("term", UNTOUCHED)
def test_gradient_is_zero_exactly_where_it_should_be(term):
    labels = torch.tensor([-1, 0, 1, 2]).repeat_interleave(4).reshape(1, 4, 4)
    emb_f = embed(1, 3, (4, 4), scale=0.6)
    weights = dict.fromkeys(WEIGHTS, 0.0) | {term: 1.0}
    terms = SpocoLoss(**weights)(emb_f, embed(1, 3, (4, 4), seed=1, scale=0.6).detach(), labels)
    terms.total.backward()
    touched = emb_f.grad.abs().sum(1)
    for label in (-1, 0, 1, 2):
        if label in UNTOUCHED[term]:
            assert not touched[labels == label].any(), label
        else:
            assert touched[labels == label].all(), label


def test_pull_without_a_margin_has_a_finite_gradient():
    embeddings = torch.zeros(1, 2, 1, 4, requires_grad=True)
    value = losses.pull_loss(embeddings, torch.ones(1, 1, 4, dtype=torch.long), delta_var=0.0)
    (gradient,) = torch.autograd.grad(value, embeddings)
    assert value < 1e-10
    assert gradient.isfinite().all()


def test_satisfied_hinges_have_no_gradient():
    embeddings = torch.zeros(1, 1, 1, 6)
    embeddings[0, 0, 0] = torch.tensor([0.0, 0.4, 5.0, 5.4, 10.0, 10.3])  # within .5 of the mean; means above 4 apart
    embeddings.requires_grad_()
    labels = torch.tensor([[[1, 1, 2, 2, -1, -1]]])
    for value in (
        losses.pull_loss(embeddings, labels),
        losses.push_loss(embeddings, labels),
        losses.unlabeled_push_loss(embeddings, labels),
    ):
        (gradient,) = torch.autograd.grad(value, embeddings)
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("term", WEIGHTS)
def test_each_term_reaches_every_parameter_of_f_and_none_of_g(term):
    torch.manual_seed(0)
    pair = MomentumPair(EmbeddingUNet(1, 4, widths=(4, 8), foreground=term == "foreground"))
    with torch.no_grad():
        pair.f.head.weight.mul_(5)  # far enough apart for the pull to act
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, 2, 1, 8, 8, generator=generator)
    labels = torch.full((2, 8, 8), -1)
    labels[:, :3], labels[:, 3:5] = 1, 2
    (emb_f, logits), (emb_g, _) = (pair.f.split(output) for output in pair(*views))
    loss = SpocoLoss(**(dict.fromkeys(WEIGHTS, 0.0) | {term: 1.0}))
    terms = loss(emb_f, emb_g, labels, logits=logits, generator=generator)
    terms.total.backward()
    for name, parameter in pair.f.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # A shift of all embeddings moves no distance, so only the regulariser sees the last bias.
        assert parameter.grad.any() or name == "head.bias", name
    assert all(p.grad is None for p in pair.g.parameters())


def test_no_gradient_flows_into_g():
    emb_f, emb_g = embed(1, 3, (4, 4)), embed(1, 3, (4, 4), seed=1)
    labels = torch.tensor([-1, -1, 1, 2]).repeat_interleave(4).reshape(1, 4, 4)
    SpocoLoss()(emb_f, emb_g, labels).total.backward()
    assert emb_f.grad.any()
    assert emb_g.grad is None
