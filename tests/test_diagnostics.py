"""The diagnostics, beside naive twins that look at one pixel and one pair at a time."""

import itertools

import pytest
import torch

from spoco_lite.selection import draw_anchors
from spoco_lite.training.diagnostics import diagnose


def scene(size, images=3, objects=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, objects + 1, (images, *size), generator=generator)
    centres = 4 * torch.randn(images, objects + 2, 5, generator=generator)
    embeddings = torch.stack([c[one + 1].movedim(-1, 0) for c, one in zip(centres, labels)])
    return embeddings + 0.25 * torch.randn(embeddings.shape, generator=generator), labels


def twin(embeddings, labels, delta_var, delta_dist):
    within, apart, norms = [], [], []
    for emb, lab in zip(embeddings.flatten(2), labels.flatten(1)):
        means = {int(k): emb[:, lab == k].mean(1) for k in lab.unique() if k > 0}
        near = [(emb[:, i] - means[int(k)]).norm() <= delta_var for i, k in enumerate(lab) if k > 0]
        pairs = [(a - b).norm() >= 2 * delta_dist for a, b in itertools.combinations(means.values(), 2)]
        within.append(sum(near) / max(1, len(near)))
        apart.append(sum(pairs) / len(pairs) if pairs else 1.0)
        norms.append(sum(m.norm() for m in means.values()) / max(1, len(means)))
    return [float(sum(values) / len(values)) for values in (within, apart, norms)]


@pytest.mark.parametrize("size", [(12, 10), (4, 6, 5)], ids=["2D", "3D"])
@pytest.mark.parametrize("deltas", [(0.5, 2.0), (0.6, 3.0)])
@pytest.mark.parametrize("max_objects", [None, 4, 9])
def test_agrees_with_the_twin(size, deltas, max_objects):
    embeddings, labels = scene(size)
    found = diagnose(embeddings, embeddings, labels, delta_var=deltas[0], delta_dist=deltas[1], max_objects=max_objects)
    expected = twin(embeddings, labels, *deltas)
    assert [float(x) for x in found[:3]] == pytest.approx(expected, abs=1e-5)
    assert 0 < expected[0] < 1 and 0 < expected[1] <= 1  # the scene is neither perfect nor hopeless


def test_anchors_are_as_many_as_the_loss_draws():
    embeddings, labels = scene((12, 10))
    drawn = draw_anchors(embeddings, embeddings, labels, max_anchors=7, generator=torch.Generator().manual_seed(3))
    found = diagnose(embeddings, embeddings, labels, max_anchors=7, generator=torch.Generator().manual_seed(3))
    assert float(found.anchors) == pytest.approx(float(drawn[1].float().sum(1).mean()))


@pytest.mark.parametrize("value", [-1, 0])
def test_an_image_without_objects(value):
    embeddings = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    found = diagnose(embeddings, embeddings, torch.full((2, 6, 6), value))
    assert [float(x) for x in found[:3]] == [0.0, 1.0, 0.0]
    assert all(x.isfinite() for x in found)


def test_half_precision_counts_like_single():
    embeddings, labels = scene((12, 10))
    rounded = embeddings.bfloat16()
    single, half = (diagnose(e, e, labels) for e in (rounded.float(), rounded))
    assert [float(x) for x in half[:3]] == pytest.approx([float(x) for x in single[:3]], abs=1e-4)
