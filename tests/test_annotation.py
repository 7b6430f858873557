"""Annotation plans: budgets, nesting, cost, the file, and strokes on the background."""

import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.ndimage import binary_dilation, label

from spoco_lite.data import Cost, Sample, Samples, plan_annotation, resize
from spoco_lite.data.annotation import HOW
from spoco_lite.data.strokes import draw_strokes, painted


def sample(*objects, name="plant", shape=(12, 10)):
    """An image whose pixels belong in turn to the background and to the given objects."""
    labels = np.resize([0, *objects], shape).astype(np.int64)
    return Sample(np.zeros((3, *shape), np.float32), labels, name)


def pot(name="pot", shape=(160, 120)):
    """Two large objects, an unlabelled corner, much background; in a volume only slices 1 and 2 have background."""
    labels = np.zeros(shape, np.int64)
    labels[..., 20:60, 20:50], labels[..., 90:140, 70:110], labels[..., :15, :15] = 4, 9, -1
    if len(shape) == 3:
        labels[0], labels[3:] = 4, 9
    return Sample(np.zeros((1, *shape), np.float32), labels, name)


@st.composite
def sets(draw):
    """One to six images of different names with 1 to 12 objects each, ids not consecutive."""
    ids = st.lists(st.integers(1, 500), min_size=1, max_size=12, unique=True)
    images = draw(st.lists(ids, min_size=1, max_size=6))
    return [sample(*objects, name=f"image{i}") for i, objects in enumerate(images)]


def size(s):
    return len(np.unique(s.labels[s.labels > 0]))


def check(*, examples=40):
    return settings(max_examples=examples, deadline=None, derandomize=True)


fractions = st.floats(0.001, 1)


# ---------------------------------------------------------------------- what is chosen


@check()
@given(sets(), fractions, st.integers(0, 9))
def test_budgets_of_fractions(samples, fraction, seed):
    def chosen(how):
        return plan_annotation(samples, how, fraction=fraction, seed=seed).objects

    for s in samples:
        assert len(chosen("per image")[s.name]) == max(1, round(fraction * size(s)))
    total = sum(map(size, samples))
    assert sum(map(len, chosen("set").values())) == max(1, round(fraction * total))
    whole = {name: ids for name, ids in chosen("images").items() if ids is not None}
    assert len(whole) == max(1, round(fraction * len(samples)))
    assert all(set(whole[s.name]) == set(s.labels[s.labels > 0]) for s in samples if s.name in whole)


@check()
@given(sets(), st.integers(1, 72))
def test_budgets_of_numbers(samples, number):
    total, sizes = sum(map(size, samples)), {s.name: size(s) for s in samples}
    each = plan_annotation(samples, number=number).objects
    assert {name: len(ids) for name, ids in each.items()} == {k: min(n, number) for k, n in sizes.items()}
    number = min(number, total)
    assert plan_annotation(samples, "set", number=number).annotated_objects == number
    images = plan_annotation(samples, "images", number=number)
    order = [plan_annotation(samples, "images", fraction=k / len(samples)) for k in range(1, len(samples) + 1)]
    misses = [abs(plan.annotated_objects - number) for plan in order]
    assert images.objects == order[misses.index(min(misses))].objects  # the nearest, the first of equals


@check()
@given(sets(), st.sampled_from(HOW), st.tuples(fractions, fractions).map(sorted), st.integers(0, 9))
def test_more_holds_all_of_less(samples, how, pair, seed):
    few, more = (plan_annotation(samples, how, fraction=f, seed=seed).objects for f in pair)
    assert all(set(few[name] or ()) <= set(more[name] or ()) for name in few)
    total = sum(map(size, samples))
    few, more = (plan_annotation(samples, how, number=max(1, round(f * total)), seed=seed) for f in pair)
    assert all(set(few.objects[name] or ()) <= set(more.objects[name] or ()) for name in few.objects)


@check()
@given(sets(), st.sampled_from(HOW), fractions, st.randoms(use_true_random=False))
def test_order_of_images_and_repetition_change_nothing(samples, how, fraction, random):
    first = plan_annotation(samples, how, fraction=fraction)
    random.shuffle(samples)
    again = plan_annotation(
        Samples([s.name for s in samples], {s.name: s for s in samples}.get), how, fraction=fraction
    )
    assert again == first and list(again.objects) == list(first.objects)


@check()
@given(sets(), fractions, st.integers(0, 9))
def test_per_image_is_what_recorded_runs_were_trained_on(samples, fraction, seed):
    plan = plan_annotation(samples, fraction=fraction, seed=seed)
    for s in samples:
        objects = np.unique(s.labels[s.labels > 0])
        order = np.random.default_rng([seed, zlib.crc32(s.name.encode())]).permutation(len(objects))
        assert set(plan.objects[s.name]) == set(objects[order[: max(1, round(fraction * len(objects)))]])


@check()
@given(sets(), st.sampled_from(HOW), fractions)
def test_renumbering_that_keeps_the_order_keeps_the_choice(samples, how, fraction):
    def renumbered(s):
        return s._replace(labels=np.where(s.labels > 0, 3 * s.labels + 100, s.labels))

    plan = plan_annotation(samples, how, fraction=fraction)
    other = plan_annotation([renumbered(s) for s in samples], how, fraction=fraction)
    for s in samples:
        assert np.array_equal(renumbered(plan.apply(s)).labels, other.apply(renumbered(s)).labels)


def test_seeds_and_names_choose_differently():
    plans = [plan_annotation([sample(*range(1, 21), name=n) for n in "ab"], fraction=0.3, seed=s) for s in (0, 1)]
    assert len({ids for plan in plans for ids in plan.objects.values()}) == 4


@pytest.mark.parametrize(("how", "trials"), [("per image", 1000), ("set", 1000), ("images", 1000)])
def test_every_object_is_as_likely(how, trials):
    samples = [sample(1, 2, 3, 4, 5, name=name) for name in ("a", "b")]
    plans = [plan_annotation(samples, how, fraction=0.5, seed=seed) for seed in range(trials)]
    counts = [sum(k in (p.objects[name] or ()) for p in plans) for name in "ab" for k in range(1, 6)]
    share = {"per image": 2, "set": 2.5, "images": 2.5}[how] / 5  # round(2.5) is 2, of 5 and of 10
    assert counts == pytest.approx([share * trials] * 10, abs=4 * np.sqrt(trials * share * (1 - share)))


# ---------------------------------------------------------------------- what stays of the labels, and its cost


@pytest.mark.parametrize("background", ["none", "all"])
def test_only_the_labels_of_chosen_objects_stay(background):
    s = sample(3, 9, 40)
    s.labels[0, :4] = -1
    before = s.labels.copy()
    plan = plan_annotation([s], fraction=0.34, background=background)
    sparse = plan.apply(s)
    (k,) = plan.objects["plant"]
    assert np.array_equal(sparse.labels, np.where((before == k) | ((background == "all") & (before == 0)), before, -1))
    assert sparse.labels.dtype == np.int64 and np.array_equal(s.labels, before)  # the given one is not touched
    assert sparse.image is s.image and sparse.name == s.name


def test_all_objects_and_the_background_are_the_dense_labels():
    s = pot()
    assert np.array_equal(plan_annotation([s], fraction=1, background="all").apply(s).labels, s.labels)


@pytest.mark.parametrize("background", ["all", "strokes"])
def test_images_without_annotation_are_unlabelled(background):
    samples = [pot("a"), pot("b")]
    plan = plan_annotation(samples, "images", fraction=0.5, background=background)
    annotated = [(plan.apply(s).labels >= 0).any() for s in samples]
    assert sorted(annotated) == [False, True] and [plan.objects[n] is not None for n in "ab"] == annotated


@check()
@given(sets(), st.sampled_from(HOW), fractions, st.sampled_from(["none", "all"]))
def test_cost_is_what_counting_gives(samples, how, fraction, background):
    samples[0].labels[0, :3] = -1
    if not size(samples[0]):
        return
    plan = plan_annotation(samples, how, fraction=fraction, background=background)
    counted = Cost(0, 0, 0, 0, 0, 0)
    for s in samples:
        ids, pixels = plan.objects[s.name], 0
        for value in s.labels.ravel().tolist():
            pixels += ids is not None and (value in ids or (value == 0 and background == "all"))
        here = (1, pixels > 0, size(s), len(ids or ()), s.labels.size, pixels)
        counted = Cost(*(a + b for a, b in zip(counted, here)))
    assert plan.cost(samples) == counted
    assert plan.annotated_objects == counted.annotated_objects


# ---------------------------------------------------------------------- strokes


@pytest.mark.parametrize("shape", [(160, 120), (5, 160, 120)])
def test_strokes_lie_on_background_away_from_all_else(shape):
    s = pot(shape=shape)
    plan = plan_annotation([s], number=1, background="strokes", strokes=4)
    sparse = plan.apply(s).labels
    stroked = sparse == 0
    pieces = [painted((stroke,), shape) for stroke in plan.strokes["pot"]]
    assert len(pieces) == 4 and np.array_equal(stroked, np.any(pieces, axis=0))
    brush = np.ones((1,) * (len(shape) - 2) + (5, 5))  # two pixels to each side, within the slice
    assert not (binary_dilation(stroked, brush) & (s.labels != 0)).any()
    for piece in pieces:
        assert label(piece)[1] == 1 and 30 < piece.sum() < 100  # 21 pixels long, 3 wide, or a little less
        if len(shape) == 3:
            (z,) = np.unique(np.nonzero(piece)[0])
            assert z in (1, 2)


def test_few_strokes_are_the_first_of_many_and_of_every_fraction():
    samples = [pot("a"), pot("b")]
    two, many = (plan_annotation(samples, number=1, background="strokes", strokes=k).strokes for k in (2, 5))
    assert all(two[n] == many[n][:2] and len(many[n]) == 5 for n in "ab") and two["a"] != two["b"]
    assert plan_annotation(samples, "set", fraction=1, background="strokes", strokes=2).strokes == two
    assert plan_annotation(samples, number=1, seed=1, background="strokes", strokes=2).strokes != two


def test_strokes_follow_another_size_and_never_cover_an_object():
    s = pot()
    plan = plan_annotation([s], number=1, background="strokes")
    for other in ((80, 60), (240, 400)):
        small = resize(s, other)
        stroked = plan.apply(small).labels == 0
        assert stroked.any() and (small.labels[stroked] == 0).all()
        grown = np.kron(plan.apply(s).labels == 0, np.ones((3, 10))) > 0  # both on one fine grid: 480 x 1200
        there = np.kron(stroked, np.ones((480 // other[0], 1200 // other[1]))) > 0
        assert (grown & there).sum() > 0.4 * min(grown.sum(), there.sum())


def test_a_stroke_annotates_nothing_of_an_object_that_it_meets():
    """As where the label map has been corrected since the plan was made: a leaf that nobody saw lies under a stroke."""
    s = pot()
    plan = plan_annotation([s], number=1, background="strokes")
    under = painted(plan.strokes["pot"][:1], s.labels.shape)
    corrected = s._replace(labels=np.where(under, 77, s.labels))
    sparse = plan.apply(corrected).labels
    assert (sparse[under] == -1).all() and (sparse == 0).any()
    assert np.array_equal(sparse[~under], plan.apply(s).labels[~under])


def test_no_room_no_stroke():
    full = pot("full")._replace(labels=np.full((40, 40), 7))
    assert draw_strokes(full.labels, 3, np.random.default_rng(0)) == ()
    assert set(plan_annotation([full, pot()], fraction=1, background="strokes").strokes) == {"pot"}
    with pytest.raises(ValueError, match="background: no image has room for a stroke"):
        plan_annotation([full], fraction=1, background="strokes")
