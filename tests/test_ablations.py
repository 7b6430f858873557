"""The ablations: a runner that goes on after failures, and a page whose tables are the records."""

import dataclasses
import doctest
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from spoco_lite.objective import SpocoLoss
from spoco_lite.prediction.decoders import DEFAULTS, WHOLE_IMAGE, WITH_MASK
from spoco_lite.results.runs import build_pair
from spoco_lite.training.config import Config
from spoco_lite.training.loop import train

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "book"), str(ROOT / "book" / "pages")]

import ablations  # noqa: E402
import fill as pages  # noqa: E402
import of_ablations  # noqa: E402
from ablations import AtTest, Training  # noqa: E402

PAGE = (ROOT / "book" / "ablations.md").read_text()
TINY = Config(fraction=0.4, size=32, batch=2, steps=2, validate_every=2, held_out=2, widths=(4, 8), embedding_dim=4)


def row(topic, change, whole, inside, *, at_test=False, minutes=5):
    scores = {
        way: {"sbd": sum(sbd) / len(sbd), "images": dict(zip("xy", sbd))}
        for way, sbd in ((WHOLE_IMAGE, whole), (WITH_MASK, inside))
    }
    return {"topic": topic, "change": change, "at_test": at_test, "scores": scores, "seconds": 60 * minutes,
            "device": "2-core CPU", "commit": "abc", "scored_commit": None}  # fmt: skip


RECORD = {
    "base": dataclasses.asdict(TINY),
    "decoders": {way: DEFAULTS[way] for way in ablations.WAYS},
    "rows": [
        row("Base", "nothing", (0.5, 0.6), (0.7, 0.8)),
        row("Loss", "none", (0.8, 0.92), (0.69, 0.81)),
        row("Seed", "1", (0.52, 0.62), (0.6, 0.7)),
        row("Clustering", "other", (0.5, 0.6), (0.72, 0.82), at_test=True),
        row("Loss", "less", (0.51, 0.612), (0.1, 0.8)),
    ],
}


def page(tmp_path, record):
    (tmp_path / "ablations").mkdir(exist_ok=True)
    (tmp_path / "ablations" / "cvppp.json").write_text(json.dumps(record))
    return fill(PAGE, tmp_path)


def fill(text: str, folder: Path) -> str:
    """Without the spaces that bring the cells of a column to one width."""
    return re.sub(" +", " ", pages.fill(text, folder))


def test_the_tables_are_the_records(tmp_path):
    filled = page(tmp_path, RECORD)
    rows = [line for line in filled.splitlines() if line.startswith(("| Base", "| Loss", "| Seed", "| Clustering"))]
    assert rows == [
        "| Base | nothing | 0.550 | | 0.750 | | 5 |",
        "| Loss | none | 0.860 | **+0.310 ± 0.010** | 0.750 | +0.000 ± 0.010 | 5 |",
        # Sure for these images, but less than the differences between seeds.
        "| Loss | less | 0.561 | +0.011 ± 0.001 | 0.450 | -0.300 ± 0.300 | 5 |",
        "| Seed | 1 | 0.570 | +0.020 ± 0.000 | 0.650 | -0.100 ± 0.000 | 5 |",
        "| Clustering | other | 0.550 | same | 0.770 | **+0.020 ± 0.000** |",
    ]
    assert "2 seeds of the base, the SBD differs by 0.020 (whole image) and 0.100 (inside the mask)." in filled
    assert "| Objects labelled | 40%, per image, background: none |" in filled
    assert "| Scale of the views | 1.05 to 1.25 pixels" in filled
    assert "| 2-core CPU | `abc` | not in a checkout | 5 |" in filled
    assert fill(filled, tmp_path) == filled


def test_a_page_of_few_records_says_what_is_missing(tmp_path):
    empty = fill(PAGE, tmp_path)
    assert empty.count(of_ablations.NONE) == len(of_ablations.MAKERS)
    one = page(tmp_path, RECORD | {"rows": RECORD["rows"][:2]})
    assert "not known yet" in one and "| Loss | none | 0.860 | +0.310 ± 0.010 |" in one  # without seeds nothing is bold
    without_base = page(tmp_path, RECORD | {"rows": RECORD["rows"][1:]})
    assert without_base.count(of_ablations.NONE) == 2
    assert "**" not in page(tmp_path, RECORD | {"rows": []}).split("## Changes in training")[1]


def test_no_number_of_the_page_is_typed():
    for name in (make.__name__ for make in of_ablations.MAKERS):
        assert f"<!-- {name}:begin -->\n<!-- {name}:end -->" in PAGE
    assert not any(character.isdigit() for character in PAGE)


@pytest.mark.parametrize("plan_row", [r for r in ablations.PLAN if isinstance(r, Training)], ids=lambda r: r.change)
def test_a_training_differs_from_the_base_in_one_thing_that_can_be_trained(plan_row):
    config = dataclasses.replace(ablations.BASE, **plan_row.settings)
    assert (config != ablations.BASE) == (plan_row is not ablations.REFERENCE)
    assert len(plan_row.settings) <= 1
    SpocoLoss(kernel_threshold=config.kernel_threshold, **config.loss_options)
    with torch.device("meta"):
        build_pair(dataclasses.asdict(config))
    assert config.size % 2 ** (len(config.widths) - 1) == 0


def test_the_rows_have_names_of_their_own_and_the_base_comes_first():
    names = [(r.topic, r.change) for r in ablations.PLAN]
    assert len(set(names)) == len(names) and ablations.PLAN[0] is ablations.REFERENCE


@pytest.fixture
def here(monkeypatch):
    """Trainings in this process, and the names of those that were asked for."""
    asked = []

    def trained(configs, folder):
        ((name, config),) = configs.items()
        asked.append(name)
        if config.seed == 666:
            return {}
        return {name: train(config, folder / name, device="cpu", progress=False)}

    monkeypatch.setattr(ablations, "sweep", trained)
    return asked


def test_rows_that_fail_stop_no_other_and_rows_that_are_there_are_kept(tmp_path, here, capsys):
    path = tmp_path / "data" / "rosettes.json"
    bad, good = Training("Seed", "bad", {"seed": 666}), Training("Loss", "a b, c", {"consistency": 0.0})
    plan = [ablations.REFERENCE, bad, good]
    assert ablations.ablate(plan, TINY, tmp_path, path) == 1
    assert "the training failed" in capsys.readouterr().err
    base, other = json.loads(path.read_text())["rows"]
    assert here == ["base", "seed-bad", "loss-a-b-c"] and other["settings"] == {"consistency": 0.0}
    images = base["scores"][WITH_MASK]["images"]
    assert len(images) == 2 and base["scores"][WITH_MASK]["sbd"] == pytest.approx(sum(images.values()) / 2, abs=1e-4)
    assert base["steps"] == 2 and base["device"] and not base["at_test"]

    assert ablations.ablate(plan[:1] + plan[2:], TINY, tmp_path, path) == 0
    assert len(here) == 3
    with pytest.raises(ValueError, match="its base differ in seed, steps; delete"):
        ablations.ablate(plan, dataclasses.replace(TINY, seed=5, steps=3), tmp_path, path)


def test_every_other_use_of_the_weights_runs_and_is_scored_both_ways(tmp_path, here):
    plan = [r for r in ablations.PLAN if isinstance(r, AtTest)]
    path = tmp_path / "rosettes.json"
    assert ablations.ablate(plan, TINY, tmp_path, path) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [r["change"] for r in rows] == [r.change for r in plan] and set(here) == {"base"}
    for r in rows:
        assert r["at_test"] and set(r["scores"]) == {WHOLE_IMAGE, WITH_MASK}


def test_exchanged_networks_are_exchanged_and_mirrored_ones_averaged():
    pair = build_pair(dataclasses.asdict(TINY)).eval()
    image = torch.rand(1, 3, 32, 32)
    other = ablations.exchanged(pair)
    assert other.f is pair.g and other.g is pair.f
    with torch.no_grad():
        mean = (pair.f(image) + pair.f(image.flip(-1)).flip(-1)) / 2
        assert torch.allclose(ablations.mirrored(pair, ablations.FLIPS[2]).f(image), mean)
        four = ablations.mirrored(pair, ablations.FLIPS[4]).g
        assert torch.allclose(four(image.flip(-2)), four(image).flip(-2), atol=1e-5)


def test_examples():
    result = doctest.testmod(ablations)
    assert result.attempted > 0 and result.failed == 0
