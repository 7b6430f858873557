"""The contingency table of two label maps: which true object shares how many pixels with which predicted one.

In both maps k > 0 is an object and 0 is background. In `truth`, -1 is *unlabelled*: these pixels are left out
of both maps.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Overlaps:
    """The contingency table of two label maps, without its empty cells.

    `truth_ids` (T,) and `prediction_ids` (P,) are the labels of the objects, `truth_sizes` and
    `prediction_sizes` their pixels. Cell m says that objects `row[m]` and `column[m]` (indices into the two)
    share `shared[m]` > 0 pixels.
    """

    truth_ids: NDArray[np.int64]
    truth_sizes: NDArray[np.int64]
    prediction_ids: NDArray[np.int64]
    prediction_sizes: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    shared: NDArray[np.int64]

    @cached_property
    def union(self) -> NDArray[np.int64]:
        """Pixels in either object of each cell, (M,)."""
        return self.truth_sizes[self.row] + self.prediction_sizes[self.column] - self.shared

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each cell, (M,)."""
        return self.shared / self.union

    @cached_property
    def dice(self) -> NDArray[np.float64]:
        """``Dice = 2 |A and B| / (|A| + |B|)`` of each cell, (M,)."""
        return 2 * self.shared / (self.union + self.shared)

    @cached_property
    def best_dice(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The highest Dice of each true object, (T,), and of each predicted one, (P,); 0 where nothing overlaps."""
        best = np.zeros(len(self.truth_ids)), np.zeros(len(self.prediction_ids))
        for of_object, index in zip(best, (self.row, self.column)):
            np.maximum.at(of_object, index, self.dice)
        return best


def overlaps(truth: ArrayLike, prediction: ArrayLike) -> Overlaps:
    """Count how many pixels each true object shares with each predicted one.

    Raises ValueError for shapes that differ, labels that are not integers, and negative labels other than -1
    in `truth`.

    >>> table = overlaps([[1, 1, 0], [2, 2, -1]], [[7, 7, 7], [7, 0, 5]])
    >>> table.truth_ids.tolist(), table.prediction_ids.tolist(), table.shared.tolist()
    ([1, 2], [7], [2, 1])
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} must have the same shape")
    for name, labels, lowest in (("truth", truth, -1), ("prediction", prediction, 0)):
        if labels.dtype.kind not in "iub":
            raise ValueError(f"{name} must hold integer labels, found {labels.dtype}")
        if labels.size and labels.min() < lowest:
            raise ValueError(f"{name} holds the label {labels.min()}; the lowest allowed is {lowest}")
        if labels.size and int(labels.max()) >= 2**63:
            raise ValueError(f"{name} holds the label {labels.max()}; the largest allowed is 2**63 - 1")
    known = truth >= 0
    t, p = truth[known].astype(np.int64), prediction[known].astype(np.int64)
    width = int(p.max(initial=0)) + 1
    if (int(t.max(initial=0)) + 1) * width >= 2**63:
        raise ValueError(f"labels up to {t.max()} and {width - 1} are too large together; renumber them first")
    cells, count = np.unique(t * width + p, return_counts=True)  # one integer for each pair of labels
    t, p = cells // width, cells % width

    truth_ids, row = np.unique(t, return_inverse=True)
    prediction_ids, column = np.unique(p, return_inverse=True)
    truth_sizes = np.bincount(row, weights=count).astype(np.int64)
    prediction_sizes = np.bincount(column, weights=count).astype(np.int64)
    t0, p0 = int(0 in truth_ids), int(0 in prediction_ids)  # background comes first, if there is any
    objects = (t > 0) & (p > 0)
    return Overlaps(
        truth_ids=truth_ids[t0:],
        truth_sizes=truth_sizes[t0:],
        prediction_ids=prediction_ids[p0:],
        prediction_sizes=prediction_sizes[p0:],
        row=row[objects] - t0,
        column=column[objects] - p0,
        shared=count[objects],
    )
