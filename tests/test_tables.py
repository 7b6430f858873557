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


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_a_record_names_its_machine_and_where_it_was_measured(path):
    record = json.loads(path.read_text())
    assert path.stem == record["device"].lower().replace(" ", "-")
    for name, result in record["results"].items():
        assert result["commit"] and result["threads"] >= 1 and result["rows"], name
    ours, *peers = record["results"]["loss"]["rows"]
    for row in peers:
        assert row["times_the_loss"] == pytest.approx(row["seconds"] / ours["seconds"], abs=0.01)


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
