"""The losses agree with their looped twins (naive.py), and have the properties that the equations promise."""

from functools import partial

import hypothesis.strategies as st
import naive
import pytest
import torch
from hypothesis import given, settings

from spoco_lite import losses
from spoco_lite.objective import LossTerms, SpocoLoss
from spoco_lite.sums import blocks

KERNEL = {"delta_var": 0.5, "kernel_threshold": 0.5}
TERMS = {  # the module's function, its twin, options
    "pull": (losses.pull_loss, naive.pull, {"delta_var": 0.5}),
    "push": (losses.push_loss, naive.push, {"delta_dist": 2.0}),
    "regularizer": (losses.regularizer_loss, naive.regularizer, {}),
    "instance": (losses.instance_loss, naive.instance, KERNEL),
    "instance_pooled": (losses.instance_loss, naive.instance, KERNEL | {"reduction": "pooled"}),
    "instance_wide": (losses.instance_loss, naive.instance, {"delta_var": 1.5, "kernel_threshold": 0.9}),
    "unlabeled_push": (losses.unlabeled_push_loss, naive.unlabeled_push, {"delta_dist": 2.0}),
}
SUPERVISED = {name: partial(function, **options) for name, (function, _, options) in TERMS.items()}
WEIGHTS = LossTerms._fields[1:]

LABELS = {  # one image of 3 x 4 pixels, or of 2 x 2 x 3 voxels
    "one object": [5, 5, -1, -1, 5, -1, -1, -1, -1, -1, -1, -1],
    "one object everywhere": [1] * 12,
    "no object": [0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0],
    "no unlabelled pixel": [0, 0, 1, 1, 2, 2, 2, 0, 0, 0, 3, 3],
    "no background and no unlabelled pixel": [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3],
    "only unlabelled": [-1] * 12,
    "background and unlabelled": [0, 0, -1, -1, 1, 1, 2, 2, -1, 0, 2, 2],
    "not consecutive": [900, 900, 7, 7, -1, -1, 31, 31, 31, 0, 0, 7],
    "one pixel per object": list(range(1, 13)),
}
SIZES = {"2D": (3, 4), "3D": (2, 2, 3)}


def embed(n, e, size, *, seed=0, scale=1.5):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(n, e, *size, generator=generator, dtype=torch.float64)).requires_grad_()


def named_labels(name, size):
    return torch.tensor(LABELS[name]).reshape(1, *size)


@st.composite
def batches(draw):
    """Embeddings and labels of 1 to 3 images, 2D or 3D, of up to 18 pixels, with any mixture of labels."""
    size = draw(st.sampled_from([(1, 1), (1, 7), (3, 3), (4, 4), (1, 2, 3), (2, 3, 3)]))
    n, e = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    palettes = [draw(st.lists(st.sampled_from([-1, 0, 1, 2, 7, 500]), min_size=1, max_size=4)) for _ in range(n)]
    seed = draw(st.integers(0, 2**16))
    generator = torch.Generator().manual_seed(seed)
    labels = [torch.tensor(p)[torch.randint(len(p), size, generator=generator)] for p in palettes]
    return embed(n, e, size, seed=seed, scale=draw(st.sampled_from([0.2, 1.0, 3.0]))), torch.stack(labels)


def agree(value, expected, *inputs):
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-10)
    gradients = [torch.autograd.grad(v, inputs, allow_unused=True, materialize_grads=True) for v in (value, expected)]
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


# ---------------------------------------------------------------------- the twins


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("labelling", LABELS)
def test_twin(term, labelling, size):
    function, twin, options = TERMS[term]
    embeddings, labels = embed(1, 2, size), named_labels(labelling, size)
    agree(function(embeddings, labels, **options), twin(embeddings, labels, **options), embeddings)


@pytest.mark.parametrize("term", TERMS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(batch=batches())
def test_twin_on_generated_batches(term, batch):
    function, twin, options = TERMS[term]
    agree(function(*batch, **options), twin(*batch, **options), batch[0])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(batch=batches(), data=st.data())
def test_consistency_twin_on_generated_batches(batch, data):
    emb_f, size = batch[0], batch[1].shape[1:]
    emb_g = emb_f.detach() + 0.3 * embed(*emb_f.shape[:2], size, seed=1)
    place = st.tuples(*(st.integers(0, s - 1) for s in size))
    count = data.draw(st.integers(1, 4))
    anchors = [data.draw(st.lists(place, min_size=count, max_size=count)) for _ in emb_f]
    ours = losses.consistency_loss(*(emb_f, emb_g, batch[1]), anchors=torch.tensor(anchors), **KERNEL)
    agree(ours, naive.consistency(emb_f, emb_g, anchors, **KERNEL), emb_f)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_sampled_pixels_as_anchors_twin(size, monkeypatch):
    embeddings, labels = embed(1, 2, size), named_labels("not consecutive", size)
    options = KERNEL | {"anchor": "pixel"}
    drawn = []
    draw = losses.draw_object_pixels
    monkeypatch.setattr(losses, "draw_object_pixels", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1])
    ours = losses.instance_loss(embeddings, labels, generator=torch.Generator().manual_seed(3), **options)
    places = [torch.unravel_index(pixel, size) for pixel in drawn[0][0, 1:]]  # the first is the background's
    anchors = dict(zip(naive.objects(labels[0]), places))
    assert all(labels[0][place] == k for k, place in anchors.items())
    agree(ours, naive.instance(embeddings, labels, anchors=anchors, **KERNEL), embeddings)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(batch=batches())
def test_blocks_of_pixels_change_nothing(batch):
    """Cut into blocks of very few pixels, all terms and all gradients stay what they are in one piece."""
    embeddings, labels = batch
    weights = dict(zip(WEIGHTS, (1.0, 2.0, 3.0, 5.0, 7.0, 11.0)))  # a term that went astray would not cancel
    for options in ({}, {"anchor": "pixel", "reduction": "pooled"}):
        loss, found = SpocoLoss(**weights, **options), []
        for entries in (8, 1 << 20):
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(blocks.BLOCK, "cpu", entries)
                terms = loss(embeddings, embeddings.detach() * 1.1, labels, generator=torch.Generator().manual_seed(0))
                (gradient,) = torch.autograd.grad(terms.total, embeddings)
            found.append((*(t.detach() for t in terms), gradient))
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("term", ["pull", "regularizer", "instance", "unlabeled_push"])
def test_hundreds_of_objects_are_the_mean_of_each_alone(term):
    labels = torch.arange(-40, 300).clamp_min(-1).reshape(1, 17, 20)
    labels[labels == 0] = -1
    embeddings = embed(1, 3, (17, 20))
    alone = [SUPERVISED[term](embeddings, torch.where(labels == k, k, -1)) for k in labels.unique() if k > 0]
    if term == "unlabeled_push":  # its unlabelled pixels must stay the same ones: give the other objects background
        alone = [
            SUPERVISED[term](embeddings, torch.where((labels == k) | (labels < 0), labels, 0))
            for k in labels.unique()
            if k > 0
        ]
    assert len(alone) == 299
    torch.testing.assert_close(SUPERVISED[term](embeddings, labels), torch.stack(alone).mean())


# ---------------------------------------------------------------------- invariances


@settings(max_examples=20, deadline=None, derandomize=True)
@given(batch=batches(), seed=st.integers(0, 99))
def test_numbers_of_objects_and_places_of_pixels_do_not_matter(batch, seed):
    embeddings, labels = batch
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randperm(600, generator=generator) + 1
    renumbered = torch.where(labels > 0, numbers[labels.clamp_min(0)], labels)
    order = torch.randperm(labels[0].numel(), generator=generator)
    shuffled = [x.flatten(-labels.ndim + 1)[..., order].unflatten(-1, labels.shape[1:]) for x in (embeddings, labels)]
    for name, function in SUPERVISED.items():
        value = function(embeddings, labels)
        torch.testing.assert_close(function(embeddings, renumbered), value, rtol=1e-9, atol=1e-12, msg=name)
        torch.testing.assert_close(function(*shuffled), value, rtol=1e-9, atol=1e-12, msg=name)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(batch=batches())
def test_a_batch_is_the_mean_of_its_images(batch):
    embeddings, labels = batch
    anchors = torch.zeros(len(labels), 2, labels.ndim - 1, dtype=torch.long)
    anchors[:, 1, -1] = labels.shape[-1] - 1

    def consistency(e, y):
        return losses.consistency_loss(e, e.detach() * 1.1, y, anchors=anchors[: len(y)])

    for name, function in {**SUPERVISED, "consistency": consistency}.items():
        value = function(embeddings, labels)
        each = [function(embeddings[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
        torch.testing.assert_close(value, torch.stack(each).mean(), rtol=1e-9, atol=1e-12, msg=name)
        torch.testing.assert_close(function(embeddings.flip(0), labels.flip(0)), value, rtol=1e-9, atol=1e-12, msg=name)


def test_small_and_large_objects_count_the_same():
    """Pixels of object 1 select it wholly, pixels of object 2 half: the mean is of objects, not of pixels."""
    labels = torch.ones(1, 10, 10, dtype=torch.long)
    labels[:, 0, :2] = 2
    embeddings = torch.zeros(1, 1, 10, 10)
    embeddings[0, 0, 0, :2] = torch.tensor([40.0, 60.0])  # the mean, 50, selects none of the two
    assert losses.instance_loss(embeddings, labels).item() == pytest.approx(0.5)
    assert losses.instance_loss(embeddings, labels, reduction="pooled").item() < 0.02


# ---------------------------------------------------------------------- the sum


@pytest.fixture(scope="module")
def scene():
    labels = torch.tensor([[-1, -1, 1, 2], [-1, 0, 9, 9]]).repeat_interleave(4, 1).reshape(2, 4, 4)
    return embed(2, 3, (4, 4)).detach(), embed(2, 3, (4, 4), seed=1).detach(), labels


def total(scene, **options):
    return SpocoLoss(**options)(*scene, generator=torch.Generator().manual_seed(0))


def test_the_terms_are_those_of_the_functions(scene):
    terms = total(scene)
    for name in {*SUPERVISED} & {*WEIGHTS}:
        assert torch.equal(getattr(terms, name), SUPERVISED[name](*scene[::2])), name
    consistency = losses.consistency_loss(*scene, generator=torch.Generator().manual_seed(0))
    assert torch.equal(terms.consistency, consistency)
    pooled = total(scene, reduction="pooled", delta_var=0.8, kernel_threshold=0.9)
    assert pooled.instance == losses.instance_loss(*scene[::2], reduction="pooled", delta_var=0.8, kernel_threshold=0.9)
    assert total(scene, max_anchors=1).consistency != terms.consistency


@pytest.mark.parametrize("term", WEIGHTS[:-1])  # the foreground's: in test_foreground.py
def test_a_weight_reaches_its_term(scene, term):
    without, seven = total(scene, **{term: 0.0}), total(scene, **{term: 7.0})
    value = getattr(seven, term)
    assert value > 0.01
    assert getattr(without, term) == 0
    torch.testing.assert_close(seven.total - without.total, 7 * value)


@pytest.mark.parametrize("max_objects", [2, 9])
def test_given_bound_equals_counting(scene, max_objects):
    emb_f, emb_g, labels = scene
    labels = torch.where(labels == 9, 1, labels)
    torch.testing.assert_close(
        tuple(total((emb_f, emb_g, labels), max_objects=max_objects)), tuple(total((emb_f, emb_g, labels)))
    )
