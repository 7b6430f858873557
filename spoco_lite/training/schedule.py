"""The learning rate of each step, as a function of the step: nothing to save, nothing to restore."""

import math


def schedule(step: int, steps: int, *, kind: str = "cosine") -> float:
    """Factor of the learning rate in a step, 0 to ``steps - 1``.

    ``"cosine"``: linear warm-up over the first 2% of the steps, then half a cosine to 0. ``"one-cycle"``: half a
    cosine up from 1/25 over 30% of the steps, and another one down to 4e-6, with the defaults of PyTorch's
    OneCycleLR (Smith and Topin 2017). The public code lowers its rate on a plateau of the validation score instead.

    >>> [round(schedule(t, 100), 2) for t in (0, 2, 51, 99)]
    [0.5, 1.0, 0.5, 0.0]
    >>> [round(schedule(t, 100, kind="one-cycle"), 2) for t in (0, 29, 64, 99)]
    [0.04, 1.0, 0.5, 0.0]
    """
    if kind == "one-cycle":
        peak, last = 0.3 * steps - 1, steps - 1
        if step <= peak:
            return _half_cosine(1 / 25, 1, step / peak if peak > 0 else 1)
        return _half_cosine(1, 1 / 25e4, (step - peak) / (last - peak))
    rising = max(1, round(0.02 * steps))
    if step < rising:
        return (step + 1) / rising
    return _half_cosine(1, 0, (step - rising) / max(1, steps - rising))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (0.5 + 0.5 * math.cos(math.pi * share))
