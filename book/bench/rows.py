"""The rows of the bench: which small trainings there are, and which question each of them helps to answer."""

from dataclasses import dataclass, field

SEEDS = (0, 1, 2)

# Held-out *training* images score every row; what `val` and `test` hold is never seen here. The weights of the last
# step count: nothing is chosen on the images that score.
_COMMON = {"held_out": 16, "batch": 2, "steps": 1000, "loss_stride": 2, "log_every": 100}
BASES = {
    "leaves": _COMMON | {"dataset": "cvppp", "size": 160},
    "nuclei": _COMMON | {"dataset": "bbbc038", "size": (128, 128), "crop": True, "photometry": "microscopy"},
}
PAPER: dict = {}  # the paper's terms with the public code's constants, as the configuration has them by default
# The weight of the foreground is the one thing that leaves and nuclei ask for differently: see the rows named after it.
OURS = {"unit": (4.0, 4.0), "foreground": 1.0}
OURS_OF_NUCLEI = OURS | {"foreground": 10.0}
CLIPPED = {"clip_norm": 0.5}
# Its step is cheaper, so that it gets more of them: about as many minutes.
CLASSES = {"steps": 1500, "loss_stride": 1}
ALL, STROKES = {"background": "all"}, {"background": "strokes"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting, trained with each seed.

    ``settings`` are fields of the configuration that differ from those of the ``base``; ``peer`` names something else
    than an embedding (:mod:`peers`), ``patch`` what it does otherwise than the module (:mod:`patches`).
    """

    name: str
    base: str
    settings: dict = field(default_factory=dict)
    peer: str | None = None
    patch: str | None = None


def _leaves(name: str, settings: dict, **more) -> Row:
    return Row(name=f"leaves-{name}", base="leaves", settings=settings, **more)


def _nuclei(name: str, settings: dict, **more) -> Row:
    return Row(name=f"nuclei-{name}", base="nuclei", settings=settings, **more)


def _share(percent: int) -> dict:
    return {"fraction": percent / 100}


ROWS = [
    # What each part of our recipe brings, at a tenth of the leaves and nothing else labelled.
    _leaves("10-ours", _share(10) | OURS),
    _leaves("10-paper", _share(10)),
    _nuclei("100-all-ours", ALL | OURS_OF_NUCLEI),
    _nuclei("100-all-classes", ALL | CLASSES, peer="three classes"),
    _nuclei("10-strokes-ours", _share(10) | STROKES | OURS_OF_NUCLEI),
    _nuclei("10-strokes-classes", _share(10) | STROKES | CLASSES, peer="three classes"),
    _nuclei("100-all-paper", ALL),
    _nuclei("threshold", {}, peer="threshold"),
    _leaves("threshold", {}, peer="threshold"),
    _leaves("10-ours-without-consistency", _share(10) | OURS | {"consistency": 0.0}),
    _leaves("10-paper-without-consistency", _share(10) | {"consistency": 0.0}),
    _leaves("10-unit-alone", _share(10) | {"unit": (4.0, 4.0)}),
    _leaves("10-foreground-alone", _share(10) | {"foreground": 1.0}),
    # How few labels? No background is labelled, but in the last two.
    *(
        _leaves(f"{percent}-{name}", _share(percent) | recipe)
        for percent in (40, 100, 20, 5, 80, 60)
        for name, recipe in (("ours", OURS), ("paper", PAPER))
    ),
    _leaves("100-all-ours", ALL | OURS),
    _leaves("100-all-paper", ALL),
    # Against the same network with three classes, and the same labels.
    _leaves("10-strokes-ours", _share(10) | STROKES | OURS),
    _leaves("10-strokes-classes", _share(10) | STROKES | CLASSES, peer="three classes"),
    _leaves("100-all-classes", ALL | CLASSES, peer="three classes"),
    *(_leaves(f"{percent}-classes", _share(percent) | CLASSES, peer="three classes") for percent in (10, 40, 5)),
    *(
        of("10-images-classes", _share(10) | {"annotate": "images"} | ALL | CLASSES, peer="three classes")
        for of in (_leaves, _nuclei)
    ),
    *(
        row
        for percent in (40, 5)
        for row in (
            _nuclei(f"{percent}-strokes-ours", _share(percent) | STROKES | OURS_OF_NUCLEI),
            _nuclei(f"{percent}-strokes-classes", _share(percent) | STROKES | CLASSES, peer="three classes"),
        )
    ),
    # and given that the outside of the few objects is told to the three classes as it is to our foreground?
    *(
        of(f"10-{name}-with-rims", _share(10) | labels | CLASSES, peer="three classes", patch="classes with rims")
        for of, name, labels in (
            (_leaves, "classes", {}),
            (_nuclei, "classes", {}),
            (_nuclei, "strokes-classes", STROKES),
        )
    ),
    # Where most images have no label, what do they teach? (Those of 10% are the same budget, spent in whole images.)
    *(
        of(f"{name}{without}", labels | recipe | change)
        for without, change in (("", {}), ("-without-consistency", {"consistency": 0.0}))
        for of, name, labels, recipe in (
            (_leaves, "2-set-ours", _share(2) | {"annotate": "set"}, OURS),
            (_leaves, "10-images-ours", _share(10) | {"annotate": "images"} | ALL, OURS),
            (_nuclei, "10-images-ours", _share(10) | {"annotate": "images"} | ALL, OURS_OF_NUCLEI),
        )
    ),
    # and what if batches are drawn from all images alike, so that most show no label?
    _leaves("2-set-ours-images-alike", _share(2) | {"annotate": "set"} | OURS, patch="images alike"),
    _leaves("10-images-ours-images-alike", _share(10) | {"annotate": "images"} | ALL | OURS, patch="images alike"),
    _nuclei(
        "10-images-ours-images-alike",
        _share(10) | {"annotate": "images"} | ALL | OURS_OF_NUCLEI,
        patch="images alike",
    ),
    # What if objects have no rims, and stand against all that is unlabelled, with strokes too?
    *(
        of(f"10-{name}ours-all-the-rest", _share(10) | strokes | recipe, patch="all the rest")
        for of, recipe in ((_leaves, OURS), (_nuclei, OURS_OF_NUCLEI))
        for name, strokes in (("", {}), ("strokes-", STROKES))
    ),
    _nuclei("10-strokes-ours-all-the-rest-foreground-1", _share(10) | STROKES | OURS, patch="all the rest"),
    _nuclei("10-strokes-ours-bounded-rest", _share(10) | STROKES | OURS_OF_NUCLEI, patch="bounded rest"),
    _leaves("10-strokes-ours-bounded-rest", _share(10) | STROKES | OURS, patch="bounded rest"),
    _nuclei("10-ours", _share(10) | OURS_OF_NUCLEI),
    # Which term earns its place?
    *(
        _leaves(f"{percent}-ours-{name}", _share(percent) | OURS | change)
        for percent in (10, 40)
        for name, change in (
            ("without-consistency", {"consistency": 0.0}),
            ("without-unlabeled-push", {"unlabeled_push": 0.0}),
            ("without-instance", {"loss_options": {"instance": 0.0}}),
            ("pull-and-push", {"consistency": 0.0, "unlabeled_push": 0.0, "loss_options": {"instance": 0.0}}),
            ("pixel-anchors", {"loss_options": {"anchor": "pixel"}}),
        )
        if (percent, name) != (10, "without-consistency")
    ),
    # What do the public code's differences do?
    _leaves("10-paper-pooled-dice", _share(10), patch="pooled dice"),
    _leaves("10-paper-dice-by-rows", _share(10), patch="dice by rows"),
    _leaves("10-paper-sum-over-the-batch", _share(10), patch="sum over the batch"),
    _leaves("10-paper-momentum-while-evaluating", _share(10), patch="momentum while evaluating"),
    # With more labels the paper's recipe is steadier: what does its consistency bring there?
    *(
        _leaves(f"{percent}-paper-without-consistency", _share(percent) | {"consistency": 0.0})
        for percent in (40, 20, 100)
    ),
    # Some gradients are many times as long as others. What if all have one length, shorter than any?
    _leaves("10-ours-clipped", _share(10) | OURS | CLIPPED | {"foreground": 3.0}),
    _nuclei("10-strokes-ours-clipped", _share(10) | STROKES | OURS_OF_NUCLEI | CLIPPED),
    # Other settings of our recipe.
    *(
        _leaves(f"10-ours-{name}", _share(10) | OURS | change)
        for name, change in (
            ("foreground-10", {"foreground": 10.0}),
            ("unit-8", {"unit": (8.0, 8.0)}),
            ("threshold-75", {"kernel_threshold": 0.75}),
            ("group-norm", {"norm": "group"}),
            ("batch-4", {"batch": 4, "steps": 500}),
            ("3000-steps", {"steps": 3000}),
            ("loss-stride-1", {"loss_stride": 1}),
            ("8-components", {"embedding_dim": 8}),
        )
    ),
    *(
        _nuclei(f"100-all-ours-{name}", ALL | OURS_OF_NUCLEI | change)
        for name, change in (
            ("foreground-1", {"foreground": 1.0}),
            ("loss-stride-1", {"loss_stride": 1}),
            ("group-norm", {"norm": "group"}),
            ("3000-steps", {"steps": 3000}),
        )
    ),
]
