"""The scores: the reference rows, naive twins written with loops, hand-computed cases, empty maps, bad input."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spoco_lite import metrics
from spoco_lite.metrics import AP_THRESHOLDS, evaluate
from spoco_lite.sums.overlaps import overlaps

REFERENCE = Path(__file__).parent / "reference"
ROWS = json.loads((REFERENCE / "expected_metrics.json").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case"])
def test_reference_rows(row):
    with np.load(REFERENCE / f"{row['case']}.npz") as case:
        truth, prediction = case["ground_truth"], case["prediction"]
    result = evaluate(truth, prediction)
    assert result.symmetric_best_dice == pytest.approx(row["symmetric_best_dice"], rel=1e-12)
    assert result.difference_in_count == row["difference_in_count"]
    assert result.ap50 == pytest.approx(row["ap50"], rel=1e-12)
    assert result.ap == pytest.approx(row["ap"], rel=1e-12)
    assert result.adapted_rand_error == pytest.approx(row["adapted_rand_error"], rel=1e-12)
    assert (result.vi_split, result.vi_merge) == pytest.approx(row["variation_of_information"], rel=1e-12)


# Naive twins, from the definitions.


def labelled(truth, prediction):
    """The pairs of labels of all pixels that are not unlabelled."""
    return [(t, p) for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True) if t >= 0]


def naive_table(truth, prediction):
    """Masks, as sets of pixel indices, of the true and of the predicted objects."""
    pairs = labelled(truth, prediction)
    true = {t: {i for i, pair in enumerate(pairs) if pair[0] == t} for t, _ in pairs if t > 0}
    predicted = {p: {i for i, pair in enumerate(pairs) if pair[1] == p} for _, p in pairs if p > 0}
    return true, predicted


def naive_best_dice(these, those):
    best = [max((2 * len(a & b) / (len(a) + len(b)) for b in those.values()), default=0.0) for a in these.values()]
    return sum(best) / len(best) if best else 0.0


def naive_sbd(truth, prediction):
    true, predicted = naive_table(truth, prediction)
    return min(naive_best_dice(true, predicted), naive_best_dice(predicted, true))


def naive_ap(truth, prediction, threshold):
    true, predicted = naive_table(truth, prediction)
    if not true and not predicted:
        return 1.0
    hit_true = [any(len(a & b) / len(a | b) > threshold for b in predicted.values()) for a in true.values()]
    hit_predicted = [any(len(a & b) / len(a | b) > threshold for a in true.values()) for b in predicted.values()]
    assert sum(hit_true) == sum(hit_predicted)  # one match at most, each way
    return sum(hit_true) / (sum(hit_true) + hit_true.count(False) + hit_predicted.count(False))


def naive_rand(truth, prediction):
    pairs = [(t, p) for t, p in labelled(truth, prediction) if t > 0]
    both = true = predicted = 0
    for (t, p), (u, q) in permutations(pairs, 2):
        true += t == u
        predicted += p == q
        both += t == u and p == q
    return 1 - 2 * both / (true + predicted) if true + predicted else 0.0


def naive_vi(truth, prediction):
    pairs = [(t, p) for t, p in labelled(truth, prediction) if t > 0]
    split = merge = 0.0
    for t, p in pairs:
        joint = pairs.count((t, p))
        split -= np.log2(joint / sum(u == t for u, _ in pairs)) / len(pairs)
        merge -= np.log2(joint / sum(q == p for _, q in pairs)) / len(pairs)
    return split, merge


@st.composite
def two_maps(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4))
    truth = draw(hnp.arrays(np.int64, shape, elements=st.sampled_from([-1, 0, 1, 2, 9])))
    prediction = draw(hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 3, 4, 70_000])))
    return truth, prediction


@settings(max_examples=60, deadline=None)
@given(two_maps())
def test_naive_twins(maps):
    result = evaluate(*maps)
    assert result.symmetric_best_dice == pytest.approx(naive_sbd(*maps), abs=1e-12)
    assert result.ap50 == pytest.approx(naive_ap(*maps, 0.5), abs=1e-12)
    assert result.ap == pytest.approx(np.mean([naive_ap(*maps, t) for t in AP_THRESHOLDS]), abs=1e-12)
    assert result.adapted_rand_error == pytest.approx(naive_rand(*maps), abs=1e-12)
    assert (result.vi_split, result.vi_merge) == pytest.approx(naive_vi(*maps), abs=1e-12)
    true, predicted = naive_table(*maps)
    assert result.difference_in_count == len(predicted) - len(true)
    assert [match.truth for match in result.matches] == sorted(true)


def random_maps(shape=(40, 50), seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 7, [-(-side // 8) for side in shape])
    truth = np.kron(coarse, np.ones([8] * len(shape), int))[tuple(slice(side) for side in shape)]
    prediction = np.roll(truth, 3, axis=0) * (rng.random(shape) > 0.1)
    return truth, prediction


@pytest.mark.parametrize("shape", [(40, 50), (16, 20, 24)])
def test_agrees_with_skimage(shape):
    truth, prediction = random_maps(shape)
    error, _, _ = skimage.metrics.adapted_rand_error(truth, prediction, ignore_labels=(0,))
    information = skimage.metrics.variation_of_information(truth, prediction, ignore_labels=(0,))
    assert metrics.adapted_rand_error(truth, prediction) == pytest.approx(error, rel=1e-12)
    assert metrics.variation_of_information(truth, prediction) == pytest.approx(tuple(information), rel=1e-12)


def test_functions_and_evaluate_agree():
    truth, prediction = random_maps()
    result = evaluate(truth, prediction)
    assert metrics.symmetric_best_dice(truth, prediction) == result.symmetric_best_dice
    assert metrics.difference_in_count(truth, prediction) == result.difference_in_count
    assert metrics.average_precision(truth, prediction) == result.ap50
    assert metrics.average_precision(truth, prediction, threshold=AP_THRESHOLDS) == result.ap
    assert metrics.adapted_rand_error(truth, prediction) == result.adapted_rand_error
    assert metrics.variation_of_information(truth, prediction) == (result.vi_split, result.vi_merge)


def scores(result):
    names = (
        "symmetric_best_dice",
        "difference_in_count",
        "ap50",
        "ap",
        "adapted_rand_error",
        "vi_split",
        "vi_merge",
    )
    return [getattr(result, name) for name in names]


def test_renumbering_and_type_change_nothing():
    truth, prediction = random_maps()
    new_number = np.array([0, 5, 90, 2, 1_000_000, 7, 4])
    expected = scores(evaluate(truth, prediction))
    assert scores(evaluate(new_number[truth], new_number[::-1].copy()[prediction - 1] * (prediction > 0))) == (
        pytest.approx(expected, rel=1e-12)
    )
    assert scores(evaluate(truth.astype(np.uint8), torch.from_numpy(prediction))) == expected


def test_pixel_order_changes_nothing():
    truth, prediction = random_maps()
    order = np.random.default_rng(1).permutation(truth.size)
    assert scores(evaluate(truth.ravel()[order], prediction.ravel()[order])) == scores(evaluate(truth, prediction))


def test_unlabelled_pixels_do_not_count():
    truth, prediction = random_maps()
    truth[:, 30:] = -1
    expected = scores(evaluate(truth[:, :30], prediction[:, :30]))
    assert scores(evaluate(truth, prediction)) == expected
    prediction[:, 30:] = 77  # whatever is said there
    assert scores(evaluate(truth, prediction)) == expected


def test_background_need_not_occur():
    """Dense tissue has no 0 anywhere, and still no object is taken for background."""
    truth = np.array([[1, 1, 2, 2]])
    assert scores(evaluate(truth, truth)) == [1.0, 0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_threshold_is_strict():
    """One object of 5 pixels, 3 of them found: IoU 0.6 exactly."""
    truth, prediction = [1] * 5, [1, 1, 1, 0, 0]
    assert metrics.average_precision(truth, prediction, threshold=0.6) == 0.0
    assert metrics.average_precision(truth, prediction, threshold=0.59) == 1.0
    assert metrics.average_precision(truth, prediction, threshold=AP_THRESHOLDS) == pytest.approx(0.2)  # .50, .55


def test_no_smoothing_in_dice():
    truth, prediction = np.zeros((2, 25), int), np.zeros((2, 25), int)
    truth[0], prediction[1] = 1, 1
    assert metrics.symmetric_best_dice(truth, prediction) == 0.0


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [  # SBD, DiC, AP50, AP, ARE, split, merge
        ([0, 0, 0, 0], [0, 0, 0, 0], [0.0, 0, 1.0, 1.0, 0.0, 0.0, 0.0]),
        ([-1, -1, -1, -1], [1, 1, 0, 0], [0.0, 0, 1.0, 1.0, 0.0, 0.0, 0.0]),
        ([0, 0, 0, 0], [1, 1, 2, 0], [0.0, 2, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ([1, 1, 2, 2], [0, 0, 0, 0], [0.0, -2, 0.0, 0.0, 0.5, 0.0, 1.0]),
        ([], [], [0.0, 0, 1.0, 1.0, 0.0, 0.0, 0.0]),
    ],
    ids=["neither", "all unlabelled", "empty truth", "empty prediction", "no pixels"],
)
def test_empty_maps(truth, prediction, expected):
    result = evaluate(np.array(truth, dtype=int), np.array(prediction, dtype=int))
    assert scores(result) == pytest.approx(expected)
    assert all(isinstance(score, int if i == 1 else float) for i, score in enumerate(scores(result)))


def test_what_became_of_each_object():
    truth = np.array([1] * 10 + [2] * 10 + [3] * 10 + [4] * 10 + [5] * 10 + [0] * 10)
    prediction = np.array([11] * 9 + [0] + [12] * 20 + [13] * 5 + [14] * 5 + [0] * 10 + [15] * 10)
    result = evaluate(truth, prediction)
    assert [match.status for match in result.matches] == ["found", "merged", "merged", "split", "missed"]
    assert [match.prediction for match in result.matches] == [11, 12, 12, 13, 0]
    assert result.matches[0].iou == pytest.approx(0.9)
    assert result.matches[0].dice == pytest.approx(18 / 19)
    assert [match.size for match in result.matches] == [10] * 5
    assert result.extra == (12, 13, 14, 15)
    assert [result.count(status) for status in metrics.STATUSES] == [1, 2, 1, 1]


def test_a_found_object_stays_found_beside_a_merged_one():
    result = evaluate([1] * 10 + [2] * 3, [1] * 13)
    assert [match.status for match in result.matches] == ["found", "merged"]
    assert result.extra == ()


def test_print_shows_every_score():
    lines = str(evaluate([1, 1, 2, 2], [1, 1, 1, 1])).splitlines()
    assert len({len(line) for line in lines}) == 1  # a table: all lines equally long
    assert lines[0].split() == ["symmetric", "best", "Dice", "0.667"]
    assert lines[1].endswith("-1")
    assert any(line.startswith("objects merged") and line.endswith("2") for line in lines)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([[1, 2]], [1, 2], r"truth \(1, 2\) and prediction \(2,\)"),
        ([1.0, 2.0], [1, 2], "truth must hold integer labels, found float64"),
        ([1, 2], [0.5, 2.0], "prediction must hold integer labels"),
        ([-2, 2], [1, 2], "truth holds the label -2; the lowest allowed is -1"),
        ([1, 2], [-1, 2], "prediction holds the label -1; the lowest allowed is 0"),
        ([2**40], [2**40], "renumber"),
    ],
)
def test_bad_maps(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        overlaps(truth, prediction)


@pytest.mark.parametrize("threshold", [0.49, 1.0, float("nan"), (), (0.5, 1.5)])
def test_bad_threshold(threshold):
    with pytest.raises(ValueError, match="threshold must lie in"):
        metrics.average_precision([1], [1], threshold=threshold)
