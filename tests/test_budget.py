"""What records spent on labels: which rows and runs are points of a budget, and with which numbers."""

import pytest

from spoco_lite.results.bench import INSIDE, WHOLE
from spoco_lite.results.budget import of_bench, of_runs
from spoco_lite.results.runs import load_run


def row(name, seeds=(0,), **settings):
    return {name: [
        {"row": name, "seed": seed, "base": "leaves", "peer": settings.get("peer"), "patch": None, "steps": 10,
         "objects": 30, "of": 90, "settings": {k: v for k, v in settings.items() if k != "peer"},
         "scores": {way: {"a": [0.5 + seed / 10, 0, 0], "b": [0.7, 0, 0]} for way in (WHOLE, INSIDE)}}
        for seed in seeds
    ]}  # fmt: skip


OURS = {"unit": [4.0, 4.0]}
BENCH = (
    row("ours", (0, 1), fraction=0.1, **OURS)
    | row("strokes", fraction=0.1, background="strokes", **OURS)
    | row("whole", fraction=0.1, annotate="images", background="all", **OURS)
    | row("everything", background="all", **OURS)
    | row("paper", fraction=0.1)
    | row("a peer", fraction=0.1, peer="three classes", **OURS)
    | row("half told", fraction=0.1, background="all", **OURS)
    | row("no ground", fraction=0.1, annotate="images", **OURS)
)


def test_rows_that_differ_in_labels_alone():
    found = {spent.name: spent for spent in of_bench(BENCH, "ours", images=72)}
    assert {name: (s.way, s.images) for name, s in found.items()} == {
        "ours": ("objects", 72),
        "strokes": ("strokes", 72),
        "whole": ("images", 7),
        "everything": ("images", 72),
    }
    assert found["ours"].scores == pytest.approx((0.6, 0.65)) and found["ours"].outlines == 30
    assert {s.name for s in of_bench(BENCH, "paper", images=72)} == {"paper"}


def test_a_row_that_is_not_recorded_is_refused():
    with pytest.raises(ValueError, match="like: 'theirs' is not recorded; recorded are: .*ours"):
        of_bench(BENCH, "theirs", images=72)


def test_runs():
    found = of_runs("cvppp")
    assert found and all(spent.long and spent.way in ("objects", "strokes", "images") for spent in found)
    for spent in found:
        record = load_run(spent.name)
        assert record["config"]["unit"] and spent.outlines == record["data"]["annotated_objects"]
        scored = record["scores"]["whole image, default decoder"]
        assert spent.scores == pytest.approx([scored["mean"]["sbd"]], abs=1e-4)
    assert of_runs("rosettes") == []
