"""Annotation plans: the file that holds one, other processes, wrong options and files, and the real leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spoco_lite import data
from spoco_lite.data import Plan, Sample, plan_annotation
from spoco_lite.data.annotation import BACKGROUND, HOW


def pots():
    """Three images with much background and three, two and one object."""
    samples = []
    for name, count in (("a", 3), ('b ä"', 2), ("c", 1)):
        labels = np.zeros((90, 80), np.int64)
        for k in range(count):
            labels[20 * k + 3 : 20 * k + 20, 5:40] = 5 * k + 2
        samples.append(Sample(np.zeros((1, 90, 80), np.float32), labels, name))
    return samples


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("background", BACKGROUND)
@pytest.mark.parametrize("budget", [{"fraction": 0.4}, {"number": 2}])
def test_a_plan_survives_its_file(tmp_path, how, background, budget):
    plan = plan_annotation(pots(), how, background=background, seed=3, **budget)
    path = tmp_path / "annotation.json"
    plan.write(path)
    again = Plan.read(path)
    assert again == plan
    assert json.loads(path.read_text())["objects"] == {
        name: ids if ids is None else list(ids) for name, ids in plan.objects.items()
    }
    for s in pots():
        assert np.array_equal(again.apply(s).labels, plan.apply(s).labels)


def test_another_process_makes_the_same_file(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_annotation_file import pots\n"
        "from spoco_lite.data import plan_annotation\n"
        "plan_annotation(pots(), 'set', fraction=0.6, background='strokes').write(sys.argv[2])"
    )
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(here.parent)}
    arguments = [sys.executable, "-c", code, str(here), str(tmp_path / "there.json")]
    subprocess.run(arguments, check=True, env=environment, timeout=120)
    plan_annotation(pots(), "set", fraction=0.6, background="strokes").write(tmp_path / "here.json")
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0}, "fraction: found 0"),
        ({"fraction": -0.1}, "fraction: found -0.1"),
        ({"fraction": 1.01}, "fraction: found 1.01"),
        ({"fraction": float("nan")}, "fraction: found nan"),
        ({}, "fraction, number: found None and None; give one of the two"),
        ({"fraction": 0.1, "number": 3}, "fraction, number: found 0.1 and 3"),
        ({"number": 0}, "number: found 0"),
        ({"number": 2.0}, "number: found 2.0"),
        ({"how": "set", "number": 7}, "number: found 7; the set has 6 objects"),
        ({"how": "images", "number": 7}, "number: found 7; the set has 6 objects"),
        ({"how": "image", "number": 1}, "how: found 'image'; give one of .*'images'"),
        ({"number": 1, "background": True}, "background: found True; give one of .*'strokes'"),
        ({"number": 1, "seed": -1}, "seed: found -1"),
        ({"number": 1, "strokes": 0}, "strokes: found 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        plan_annotation(pots(), **options)


def test_wrong_samples():
    a, _, c = pots()
    empty = c._replace(labels=np.zeros((9, 9), np.int64), name="empty")
    with pytest.raises(ValueError, match="a: the name of two images"):
        plan_annotation([a, a], number=1)
    with pytest.raises(ValueError, match="empty: the image has no object"):
        plan_annotation([a, empty], fraction=0.5)
    assert plan_annotation([a, empty], "set", fraction=0.5).objects["empty"] == ()
    for samples in ([empty], []):
        with pytest.raises(ValueError, match="samples: there is no object"):
            plan_annotation(samples, "set", fraction=1.0)


def test_a_plan_of_other_samples_is_refused():
    a, b, c = pots()
    plan = plan_annotation([a, c], fraction=1.0, background="strokes")
    with pytest.raises(ValueError, match="b .*not an image of this plan"):
        plan.apply(b)
    with pytest.raises(ValueError, match="a: the plan annotates object 12, which the label map .* lacks"):
        plan.apply(b._replace(name="a"))
    with pytest.raises(ValueError, match="strokes: have 2 axes, the label map has 3"):
        plan.apply(c._replace(labels=c.labels[None]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"how": "each"}, "how: found 'each'"),
        ({"fraction": "a tenth"}, "fraction: found a tenth"),
        ({"more": 1}, "expected an object of how, fraction"),
        ({"objects": {"a": [1, 1]}}, r"objects: a has \(1, 1\)"),
        ({"objects": {"a": [0]}}, "objects: a has"),
        ({"objects": {"a": [True]}}, "objects: a has"),
        ({"objects": {"a": "12"}}, "objects: a has 12"),
        ({"objects": {"a": {}}}, "objects: a has"),
        ({"objects": ["a"]}, "not an annotation plan"),
        ({"strokes": {"z": []}}, "strokes: z has some, but is not an annotated image"),
        ({"strokes": {"a": [[[0.1, 0.2]]]}}, "strokes: one of a is no list of at least two points"),
        ({"strokes": {"a": [[[0.1, 0.2], [0.1]]]}}, "not an annotation plan"),
        ({"strokes": {"a": [[[0.1, 0.2], [0.1, 1.2]]]}}, "strokes: one of a leaves the image"),
        ({"strokes": {"a": [[[0.1, 0.2], [0.1, float("nan")]]]}}, "strokes: one of a leaves the image"),
        ({"strokes": {"a": [[[0.1, 0.2, 0.2], [0.2, 0.2, 0.2]]]}}, "strokes: one of a leaves .* its slice"),
    ],
)
def test_damaged_content_is_named(tmp_path, change, message):
    path = tmp_path / "annotation.json"
    plan_annotation(pots(), fraction=0.4).write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message) as error:
        Plan.read(path)
    assert str(path) in str(error.value)


def test_missing_or_truncated_file(tmp_path):
    path = tmp_path / "annotation.json"
    with pytest.raises(FileNotFoundError, match=r"annotation\.json: no such file"):
        Plan.read(path)
    plan_annotation(pots(), fraction=0.4).write(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"annotation\.json: not an annotation plan"):
        Plan.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"annotation\.json: not an annotation plan"):
        Plan.read(path)


# ---------------------------------------------------------------------- the recorded runs


@pytest.mark.parametrize("run", ["cvppp-10", "cvppp-100"])
def test_the_cost_of_recorded_runs_is_met(run):
    if not (Path(os.environ.get("SPOCO_DATA", "nowhere")) / "cvppp").is_dir():
        pytest.skip("the real leaves are not here (SPOCO_DATA)")
    record = json.loads((data.paths.shipped() / "runs" / run / "run.json").read_text())
    config, expected = record["config"], record["data"]
    dense = list(data.load("cvppp", "train", size=round(config["size"] * 1.25)))
    options = {option: config[option] for option in ("fraction", "seed", "background")}
    plan = plan_annotation(dense, **options)
    cost = plan.cost(dense)
    assert (cost.images, cost.objects) == (expected["images"], expected["objects"])
    assert cost.annotated_objects == expected["annotated_objects"]
    assert round(cost.annotated_pixels / cost.pixels, 4) == expected["annotated_pixels"]
