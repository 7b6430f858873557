"""Tables that pages get from records: benchmarks (each ratio that of its own two times), and data sets."""

import doctest
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book"))

import make_sets  # noqa: E402
import make_speed  # noqa: E402

RECORDS = sorted((ROOT / "data" / "benchmarks").glob("*.json"))


def test_every_table_of_the_page_is_filled():
    page = make_speed.fill((ROOT / "book" / "speed.md").read_text())
    assert "Not measured yet" not in page
    for name in (*make_speed.TABLES, "training", "machine"):
        content = page.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]
        assert content.count("\n|") >= 3, name


def test_a_table_that_was_not_measured_says_so(tmp_path, monkeypatch):
    """A record of another machine may hold some of the benchmarks only."""
    record = json.loads(RECORDS[0].read_text())
    record["results"] = {"metrics": record["results"]["metrics"]}
    (tmp_path / "other.json").write_text(json.dumps(record))
    monkeypatch.setattr(make_speed, "BENCHMARKS", tmp_path)
    page = make_speed.fill((ROOT / "book" / "speed.md").read_text())
    assert page.count("Not measured yet") == len(make_speed.TABLES) - 1
    assert "| evaluate, " in page


STEP = {"what": "leaves", "dataset": "cvppp", "batch": 4, "size": [256, 256], "seconds": 0.5, "peak_memory_mb": 1536}
PARTS = {"data": 0.1, "network": 0.3, "loss": 0.1}


def test_parts_of_a_step_are_shares_of_it():
    assert make_speed.step([STEP | {"parts": PARTS}]).splitlines()[2] == (
        "| leaves (cvppp) | 4 x 256 x 256 | 0.50 s | 20% | 60% | 20% | 1.5 GiB |"
    )
    on_gpu = STEP | {"parts": PARTS, "host_waits": 0, "busy": 0.95}
    assert make_speed.step([on_gpu]).splitlines()[2].endswith("| 1.5 GiB | 0 | 95% |")


def test_cost_of_a_run_recorded_before_some_fields_existed():
    old = {"name": "leaves", "device": "2-core CPU", "seconds": 3600, "steps": 1800, "config": {"batch": 4}}
    old["peak_memory_mb"] = 1536
    row = "| 60 | 1,800 | 2.00 s | 2.0 | 1.5 GiB |"
    lines = make_speed.training([old, old | {"processes": 2}]).splitlines()[2:]
    assert lines == [f"| `leaves` | 2-core CPU {row}", f"| `leaves` | 2 processes, 2-core CPU {row}"]


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_a_record_names_its_machine_and_where_it_was_measured(path):
    record = json.loads(path.read_text())
    assert path.stem == record["device"].lower().replace(" ", "-")
    for name, result in record["results"].items():
        assert result["commit"] and result["threads"] >= 1 and result["rows"], name
    ours, *peers = record["results"]["loss"]["rows"]
    for row in peers:
        assert row["times_the_loss"] == pytest.approx(row["seconds"] / ours["seconds"], abs=0.01)
    for row in record["results"].get("step", {"rows": []})["rows"]:
        assert sum(row["parts"].values()) == pytest.approx(row["seconds"], rel=0.15), row["what"]


def test_the_table_of_data_sets_has_a_row_for_every_set():
    cards = json.loads(make_sets.CARDS.read_text())
    rows = make_sets.sets(cards).splitlines()[2:]
    assert len(rows) == len(cards)
    for row, splits in zip(rows, cards.values()):
        assert all(f"{split} {card['samples']}" in row for split, card in splits.items())
    assert "<!-- sets:begin -->" in (ROOT / "book" / "data_sets.md").read_text()


@pytest.mark.parametrize("module", [make_sets, make_speed], ids=lambda m: m.__name__)
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
