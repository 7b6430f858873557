"""The learning rate of each step, as a function of the step: nothing to save, nothing to restore."""

import math


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate in a step, 0 to ``steps - 1``.

    Linear warm-up over the first 2% of the steps, then half a cosine to 0 (Loshchilov and Hutter 2017). The public code
    lowers its rate on a plateau of the validation score instead.

    >>> [round(schedule(t, 100), 2) for t in (0, 2, 51, 99)]
    [0.5, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(0.02 * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, steps - rising))
