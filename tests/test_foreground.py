"""The foreground's channel: its loss against a naive twin, and why it needs no class prior."""

import math

import pytest
import torch

from spoco_lite import data, losses
from spoco_lite.losses import foreground_loss
from spoco_lite.objective import SpocoLoss
from spoco_lite.prediction.decoders import OWN_MASK, way_of
from spoco_lite.prediction.image import look, segment_image
from spoco_lite.results.runs import load_model
from spoco_lite.training.config import Config
from spoco_lite.training.loop import train
from spoco_lite.unet import EmbeddingUNet

LABELLINGS = {
    "sparse": [[-1, 1, 1, 5, -1], [-1, -1, 5, 5, -1]],
    "strokes": [[0, 1, 1, 5, -1], [-1, -1, 5, 5, 0]],
    "strokes, and pixels far from both": [[-1, -1, -1, -1, 1], [0, -1, -1, -1, -1]],
    "dense": [[0, 1, 1, 5, 0], [0, 0, 5, 5, 0]],
    "dense, and a border": [[-1, 1, 1, 5, 0], [-1, 0, 5, 5, 0]],
    "no object": [[-1, -1, -1, -1, 0], [-1, -1, 0, -1, -1]],
    "objects alone": [[2, 2, 2, 1, 1], [2, 2, 1, 1, 1]],
    "nothing": [[-1, -1, -1, -1, -1], [-1, -1, -1, -1, -1]],
}


def naive(logits, labels):
    """The equation, pixel by pixel."""
    total = 0.0
    for z, of_image in zip(logits.tolist(), labels.tolist()):
        pixels = [(v, k) for line, row in zip(z, of_image) for v, k in zip(line, row)]
        places = [(y, x) for y, row in enumerate(of_image) for x in range(len(row))]
        losses = [math.log1p(math.exp(-v if k > 0 else v)) for v, k in pixels]
        known = [loss for loss, (_, k) in zip(losses, pixels) if k >= 0]
        if len(known) == len(pixels) or sum(k == 0 for _, k in pixels) > len(pixels) - len(known):
            total += 2 * sum(known) / len(known) / len(logits)
            continue
        objects = {k for _, k in pixels if k > 0}
        for k in objects:
            own = [loss for loss, (_, other) in zip(losses, pixels) if other == k]
            total += sum(own) / len(own) / len(objects) / len(logits)
        background = [loss for loss, (_, k) in zip(losses, pixels) if k == 0]
        unlabelled = [(loss, place) for loss, (_, k), place in zip(losses, pixels, places) if k < 0]
        drawn = [place for (_, k), place in zip(pixels, places) if k > 0]
        rims = [loss for loss, (y, x) in unlabelled if any(max(abs(y - v), abs(x - w)) <= 2 for v, w in drawn)]
        rest = background or [loss for loss, _ in unlabelled if objects]
        total += (sum(rims) / max(1, len(rims)) + sum(rest) / max(1, len(rest))) / len(logits)
    return total


@pytest.mark.parametrize("name", LABELLINGS)
@pytest.mark.parametrize("max_objects", [None, 5, 9])
def test_it_is_what_the_equation_says(name, max_objects):
    labels = torch.tensor([LABELLINGS[name], LABELLINGS["sparse"]])
    logits = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    value = foreground_loss(logits, labels, max_objects=max_objects)
    assert value.item() == pytest.approx(naive(logits, labels), rel=1e-12)
    assert torch.autograd.gradcheck(lambda z: foreground_loss(z, labels), logits)


def test_with_strokes_only_unlabelled_pixels_near_an_annotated_object_count():
    """In two dimensions and in three: a window of two pixels around the object, cut off by the border."""
    for shape, place in (((9, 11), (1, 5)), ((7, 9, 11), (3, 1, 5))):
        labels = torch.full(shape, -1)
        labels[place], labels[(-1,) * len(shape)] = 4, 0
        logits = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        foreground_loss(logits[None], labels[None]).backward()
        near = torch.zeros(shape, dtype=torch.bool)
        near[tuple(slice(max(0, p - 2), p + 3) for p in place)] = True
        assert torch.equal(logits.grad != 0, near | (labels == 0))


def test_large_logits_stay_finite():
    logits = torch.tensor([[[1e4, -1e4, 1e4, -1e4]]], requires_grad=True)
    value = foreground_loss(logits, torch.tensor([[[1, 1, -1, -1]]]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


def best_logits(looks, labels):
    """Of each kind of looks, a number from 0, the logit that makes the loss least. ``(P,)`` both, pixels in a row."""
    logit = torch.zeros(int(looks.max()) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=50)

    def closure():
        optimizer.zero_grad()
        value = foreground_loss(logit[looks].view(1, 1, -1), labels.view(1, 1, -1))
        value.backward()
        return value

    for _ in range(5):
        optimizer.step(closure)
    return logit.detach()


@pytest.mark.parametrize("share_labelled", [0.05, 0.3, 0.9])
def test_what_separates_labelled_from_unlabelled_separates_objects_from_background(share_labelled):
    """Pixels of two kinds: of an object, looks 1; of the background, looks 0. A share of the objects is labelled.

    The best logit of an object's looks is above 0 and that of the background's below, whatever the share.
    """
    drawn = round(400 * share_labelled)
    looks = torch.tensor([1] * drawn + [0] * 600 + [1] * (400 - drawn))  # at its rim is background
    soil, leaf = best_logits(looks, torch.where(torch.arange(1000) < drawn, 1, -1)).tolist()
    # Odds of an object's looks: all labelled pixels have them, and this share of the unlabelled.
    expected = math.log((1000 - drawn) / (400 - drawn))
    assert leaf == pytest.approx(expected, rel=1e-3) and expected > 0
    assert soil < -5


def test_rims_show_where_an_object_ends(monkeypatch):
    """The last pixel of an object and the first beyond it look the same, 2. Neither counts as found.

    In the unlabelled pixels alone such looks are rare, and without the rims both would.
    """
    row = torch.tensor([0] * 99 + [2] + [2] + [1] * 8 + [2] + [2] + [0] * 99)
    labels = torch.full_like(row, -1)
    labels[100:110] = 1
    soil, leaf, edge = best_logits(row, labels).tolist()
    assert edge == pytest.approx(math.log((2 / 10) / (2 / 4 + 2 / 200)), rel=1e-3) and edge < 0
    assert leaf > 5 and soil < -5
    monkeypatch.setattr(losses, "_near_objects", lambda labels: torch.zeros_like(labels, dtype=torch.bool))
    assert best_logits(row, labels)[2].item() == pytest.approx(math.log((2 / 10) / (2 / 200)), rel=1e-3)


def test_with_a_foreground_annotated_background_is_no_region():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(1, 3, 2, 5, generator=generator)
    dense, sparse = (torch.tensor([LABELLINGS[name]]) for name in ("dense", "sparse"))
    logits = torch.randn(1, 2, 5, generator=generator)
    of_dense = SpocoLoss(foreground=1.0)(embeddings, embeddings, dense, logits=logits)
    of_sparse = SpocoLoss(foreground=1.0)(embeddings, embeddings, sparse, logits=logits)
    for term in ("pull", "push", "regularizer", "instance", "unlabeled_push"):
        assert getattr(of_dense, term) == getattr(of_sparse, term), term
    assert of_dense.consistency == 0  # no unlabelled pixel to draw an anchor from
    assert torch.equal(of_dense.foreground, foreground_loss(logits, dense))
    tripled = SpocoLoss(foreground=3.0)(embeddings, embeddings, dense, logits=logits)
    torch.testing.assert_close(tripled.total - of_dense.total, 2 * of_dense.foreground)


def test_a_foreground_without_logits_is_an_error():
    embeddings = torch.zeros(1, 3, 2, 5)
    with pytest.raises(ValueError, match="logits: found None"):
        SpocoLoss(foreground=1.0)(embeddings, embeddings, torch.tensor([LABELLINGS["dense"]]))


@pytest.mark.parametrize(
    ("ndim", "unit", "expected"), [(2, (4.0, 4.0), (0.25, 0.25)), (3, (1.0, 4.0, 8.0), (1, 0.25, 0.125))]
)
def test_places_are_added_to_the_first_components(ndim, unit, expected):
    torch.manual_seed(0)
    plain = EmbeddingUNet(1, 5, widths=(4, 8), ndim=ndim, foreground=True).eval()
    placed = EmbeddingUNet(1, 5, widths=(4, 8), ndim=ndim, unit=unit, foreground=True).eval()
    placed.load_state_dict(plain.state_dict())
    image = torch.randn(2, 1, *(8, 9, 10)[:ndim])
    with torch.no_grad():
        added = placed(image) - plain(image)
    assert not added[:, ndim:].any()  # neither the other components nor the logit
    for axis, step in enumerate(expected):
        differences = added[:, axis].diff(dim=1 + axis)
        torch.testing.assert_close(differences, torch.full_like(differences, step), atol=1e-5, rtol=1e-5)
        assert added[:, axis].mean().abs() < 1e-5  # seen from the middle of the image
        others = [a for a in range(ndim) if a != axis]
        assert all(added[:, axis].diff(dim=1 + a).abs().max() < 1e-5 for a in others)


@pytest.mark.parametrize("unit", [(0.0, 4.0), (-1.0, -1.0), (4.0,), (1.0, 2.0, 3.0)])
def test_a_unit_that_is_none_is_refused(unit):
    with pytest.raises(ValueError, match="unit: found"):
        EmbeddingUNet(1, 4, widths=(4,), unit=unit)


def test_training_with_a_foreground_predicts_inside_it(tmp_path):
    """The whole way: loss, weights on disk, decoder."""
    config = Config(size=32, batch=2, steps=4, widths=(4, 8), unit=(4.0, 4.0), foreground=1.0, fraction=0.3)
    record = train(config, tmp_path, progress=False)
    assert record["curve"][-1]["foreground"] > 0
    pair = load_model(tmp_path)
    assert pair.g.foreground
    assert pair.g.unit == (4.0, 4.0)
    sample = data.load("rosettes", "val", size=32)[0]
    assert way_of(pair, masked=False) == OWN_MASK
    _, seen = look(pair.g, sample.image)
    labels = segment_image(pair, sample.image, min_size=1)
    assert not (labels > 0)[~seen].any()
    assert (labels > 0)[seen].all()  # each pixel of it belongs to an object
