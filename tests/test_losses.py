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
from spoco_lite.unet import EmbeddingUNet, MomentumPair

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


@pytest.mark.parametrize("term", [*SUPERVISED, "consistency"])
def test_gradcheck_in_blocks(term, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK, "cpu", 8)
    test_gradcheck(term, (2, 3))


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
