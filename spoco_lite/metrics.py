"""How good is a segmentation? Five scores and the fate of every object, from one table of overlaps.

Everywhere `truth` and `prediction` are integer label maps of one shape, 2D or 3D, anything that
`numpy.asarray` takes. In both, k > 0 is an object and 0 is background. In `truth`, -1 is *unlabelled*: these
pixels are left out of both maps, whatever the prediction says there; a predicted object that lies wholly
there is not counted at all. Labels need not be consecutive.

Maps without any object get these values, so that no score is ever NaN:

==========================  =====================  ============  ==========
score                       neither has an object  truth only    prediction
                                                   has objects   only has
==========================  =====================  ============  ==========
symmetric best Dice         0                      0             0
difference in count         0                      -objects      +objects
average precision           1                      0             0
adapted Rand error          0                      computed      0
variation of information    0, 0                   0, computed   0, 0
==========================  =====================  ============  ==========

The 0 of the symmetric best Dice is what the script of the CVPPP leaf segmentation challenge gives. The
adapted Rand error and the variation of information look only at the pixels of the true objects, which is why
invented objects cost nothing there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import skimage.metrics
from numpy.typing import ArrayLike, NDArray

from .sums.overlaps import Overlaps, overlaps

# Written out: an IoU of 3/5 is not above 0.60, but it would be above a sum of steps of 0.05 that rounds down.
AP_THRESHOLDS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
STATUSES = ("found", "merged", "split", "missed")


def symmetric_best_dice(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Symmetric best Dice (SBD) in [0, 1], the score of the CVPPP challenge: the lower of two mean best Dice.

    For each true object the best Dice with any predicted one, averaged; the same the other way round; the
    minimum. Without smoothing. Source: Scharr et al., Leaf segmentation in plant phenotyping, Machine Vision
    and Applications 2016.

    >>> symmetric_best_dice([1, 1, 2, 2], [1, 1, 1, 1])  # best Dice 2/3 for either object
    0.6666666666666666
    """
    return _symmetric_best_dice(overlaps(truth, prediction))


def difference_in_count(truth: ArrayLike, prediction: ArrayLike) -> int:
    """Predicted minus true number of objects (DiC): negative if objects are missing. Source: as for the SBD.

    >>> difference_in_count([1, 1, 2, 2], [1, 1, 1, 1])
    -1
    """
    return _difference_in_count(overlaps(truth, prediction))


def average_precision(truth: ArrayLike, prediction: ArrayLike, *, threshold: float | Sequence[float] = 0.5) -> float:
    """TP / (TP + FP + FN), where a true and a predicted object match if their IoU is strictly above `threshold`.

    From 0.5 on an object can match one other only. For several thresholds, their mean; `AP_THRESHOLDS` are
    the usual ten. This is the score of the 2018 Data Science Bowl and of Cellpose and StarDist for one image,
    not the area under a precision-recall curve. Raises ValueError for a threshold outside [0.5, 1).

    >>> average_precision([1, 1, 2, 2], [5, 5, 0, 6])  # the second object has IoU 1/2, not above
    0.3333333333333333
    >>> average_precision([1, 1, 2, 2], [5, 5, 6, 6], threshold=AP_THRESHOLDS)
    1.0
    """
    return _average_precision(overlaps(truth, prediction), threshold)


def adapted_rand_error(truth: ArrayLike, prediction: ArrayLike) -> float:
    """1 - F score of the pairs of pixels that lie in one object, over the pixels of the true objects; 0 is perfect.

    That of `skimage.metrics.adapted_rand_error(truth, prediction, ignore_labels=(0,))`: predicted background counts
    there as one more segment. Source: Arganda-Carreras et al., Frontiers in Neuroanatomy 2015.

    >>> round(adapted_rand_error([1, 1, 2, 2], [1, 1, 1, 1]), 3)  # 4 pairs in common; 4 in truth, 12 predicted
    0.5
    """
    return _adapted_rand_error(overlaps(truth, prediction))


def variation_of_information(truth: ArrayLike, prediction: ArrayLike) -> tuple[float, float]:
    """(split, merge) in bits, over the pixels of the true objects: H(prediction | truth) and H(truth | prediction).

    That of `skimage.metrics.variation_of_information(truth, prediction, ignore_labels=(0,))`: predicted background
    counts there as one more segment. 0 is perfect. Source: Meila, Journal of Multivariate Analysis 2007.

    >>> variation_of_information([1, 1, 2, 2], [1, 1, 1, 1])
    (0.0, 1.0)
    """
    return _variation_of_information(overlaps(truth, prediction))


class Match(NamedTuple):
    """What became of one true object.

    `truth` and `size` are its label and its pixels; `prediction` is the predicted object with the highest IoU
    (0: nothing overlaps), `iou` and `dice` their agreement. `status`, the first that holds:

    * "found": the IoU is above 0.5;
    * "merged": one predicted object covers more than half of this object and more than half of another one;
    * "split": two or more predicted objects lie mostly inside it, and together cover more than half of it;
    * "missed": anything else, a very wrong outline included.
    """

    truth: int
    size: int
    prediction: int
    iou: float
    dice: float
    status: Literal["found", "merged", "split", "missed"]


@dataclass(frozen=True)
class Evaluation:
    """All scores of one image, `matches` for its true objects, and `extra`: predicted labels whose IoU with every true
    object is at most 0.5. `print` shows a table."""

    symmetric_best_dice: float
    difference_in_count: int
    ap50: float
    ap: float
    adapted_rand_error: float
    vi_split: float
    vi_merge: float
    matches: tuple[Match, ...]
    extra: tuple[int, ...]

    def count(self, status: str) -> int:
        """Number of true objects with this status."""
        return sum(match.status == status for match in self.matches)

    def __str__(self) -> str:
        rows = [
            ("symmetric best Dice", f"{self.symmetric_best_dice:.3f}"),
            ("difference in count", f"{self.difference_in_count:+d}"),
            ("AP at IoU 0.5", f"{self.ap50:.3f}"),
            ("AP, mean of IoU 0.50 to 0.95", f"{self.ap:.3f}"),
            ("adapted Rand error", f"{self.adapted_rand_error:.3f}"),
            ("variation of information, split", f"{self.vi_split:.3f}"),
            ("variation of information, merge", f"{self.vi_merge:.3f}"),
            *((f"objects {status}", str(self.count(status))) for status in STATUSES),
            ("predicted objects that match none", str(len(self.extra))),
        ]
        return "\n".join(f"{name:<34}{value:>8}" for name, value in rows)


def evaluate(truth: ArrayLike, prediction: ArrayLike) -> Evaluation:
    """All scores from one table of overlaps, and what became of each object.

    Raises ValueError as `overlaps` does.

    >>> result = evaluate([1, 1, 1, 2, 2, 0], [4, 4, 4, 4, 0, 0])
    >>> [(match.truth, match.status) for match in result.matches], result.extra
    ([(1, 'found'), (2, 'missed')], ())
    """
    table = overlaps(truth, prediction)
    split, merge = _variation_of_information(table)
    matched = np.isin(np.arange(len(table.prediction_ids)), table.column[table.iou > 0.5])
    return Evaluation(
        symmetric_best_dice=_symmetric_best_dice(table),
        difference_in_count=_difference_in_count(table),
        ap50=_average_precision(table, 0.5),
        ap=_average_precision(table, AP_THRESHOLDS),
        adapted_rand_error=_adapted_rand_error(table),
        vi_split=split,
        vi_merge=merge,
        matches=_matches(table),
        extra=tuple(table.prediction_ids[~matched].tolist()),
    )


def _symmetric_best_dice(table: Overlaps) -> float:
    return float(min(best.mean() for best in table.best_dice)) if len(table.shared) else 0.0


def _difference_in_count(table: Overlaps) -> int:
    return len(table.prediction_ids) - len(table.truth_ids)


def _average_precision(table: Overlaps, threshold: float | Sequence[float]) -> float:
    thresholds = np.atleast_1d(threshold)
    if not len(thresholds) or not np.all((thresholds >= 0.5) & (thresholds < 1)):
        raise ValueError(f"threshold must lie in [0.5, 1), found {threshold}")
    objects = len(table.truth_ids) + len(table.prediction_ids)
    if not objects:
        return 1.0
    hits = (table.iou[:, None] > thresholds).sum(axis=0)  # TP; then FP + FN = objects - 2 TP
    return float(np.mean(hits / (objects - hits)))


def _pixels_of_true_objects(table: Overlaps) -> tuple[NDArray, NDArray]:
    """True and predicted object (numbers from 0) of each pixel of a true object, (S,), in any order.

    The predicted background is one more object here, the last one.
    """
    rows = np.arange(len(table.truth_ids))
    left = table.truth_sizes - np.bincount(table.row, weights=table.shared, minlength=len(rows)).astype(np.int64)
    counts = np.concatenate([table.shared, left])
    row, column = np.append(table.row, rows), np.append(table.column, np.full(len(rows), len(table.prediction_ids)))
    return np.repeat(row, counts), np.repeat(column, counts)


def _adapted_rand_error(table: Overlaps) -> float:
    if not len(table.truth_ids):
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 where no object has two pixels
        error = skimage.metrics.adapted_rand_error(*_pixels_of_true_objects(table), ignore_labels=())[0]
    return float(np.nan_to_num(error))


def _variation_of_information(table: Overlaps) -> tuple[float, float]:
    if not len(table.truth_ids):
        return 0.0, 0.0
    split, merge = skimage.metrics.variation_of_information(*_pixels_of_true_objects(table))
    return float(split) + 0.0, float(merge) + 0.0  # 0.0, not -0.0


def _matches(table: Overlaps) -> tuple[Match, ...]:
    count, shared, row = len(table.truth_ids), table.shared, table.row
    held = shared / table.truth_sizes[row] > 0.5  # the prediction covers most of the true object
    holds = np.bincount(table.column[held], minlength=len(table.prediction_ids))
    inside = shared / table.prediction_sizes[table.column] > 0.5  # and the other way round
    merged = np.bincount(row[held & (holds[table.column] > 1)], minlength=count) > 0
    parts = np.bincount(row[inside], minlength=count)
    covered = np.bincount(row[inside], weights=shared[inside], minlength=count) > table.truth_sizes / 2
    best = np.full(count, -1)  # of the cells of each object the one with the highest IoU, the first if several have it
    order = np.lexsort((-np.arange(len(row)), table.iou, row))
    best[row[order]] = order
    none, best = best < 0, np.maximum(best, 0)
    prediction, iou, dice = (
        np.where(none, 0, values[best]) if len(values) else np.zeros(count, values.dtype)
        for values in (table.prediction_ids[table.column], table.iou, table.dice)
    )
    ways = iou > 0.5, merged, (parts > 1) & covered
    status = np.select(ways, STATUSES[:3], STATUSES[3])
    columns = (table.truth_ids, table.truth_sizes, prediction, iou, dice, status)
    return tuple(map(Match, *(column.tolist() for column in columns)))
