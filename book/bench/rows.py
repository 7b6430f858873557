"""The rows of the bench: which small trainings there are, and which question each of them helps to answer."""

from dataclasses import dataclass, field

SEEDS = (0, 1, 2)

# Held-out *training* images score every row; what `val` and `test` hold is never seen here. The weights of the last
# step count: nothing is chosen on the images that score.
BASES = {
    "leaves": {"dataset": "cvppp", "fraction": 0.1, "held_out": 16, "size": 160, "batch": 4, "steps": 700},
    "nuclei": {
        "dataset": "bbbc038",
        "background": "all",
        "held_out": 16,
        "size": (128, 128),
        "crop": True,
        "photometry": "microscopy",
        "batch": 4,
        "steps": 700,
    },
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting, trained with each seed.

    ``settings`` are fields of the configuration that differ from those of the ``base``; ``peer`` names something else
    than an embedding (:mod:`peers`), ``patch`` a difference of the public code (:mod:`patches`).
    """

    name: str
    words: str
    question: str
    base: str
    settings: dict = field(default_factory=dict)
    peer: str | None = None
    patch: str | None = None
