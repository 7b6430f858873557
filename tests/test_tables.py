"""Tables that pages get from records: benchmarks (each ratio that of its own two times), and data sets."""

import doctest
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "pages"))

import fill as pages  # noqa: E402
import of_sets  # noqa: E402
import of_speed  # noqa: E402
import tables  # noqa: E402

RECORDS = sorted((ROOT / "data" / "benchmarks").glob("*.json"))


def test_every_table_of_the_page_is_filled():
    page = pages.fill((ROOT / "book" / "speed.md").read_text())
    assert "Not measured yet" not in page
    for name in (*of_speed.BENCHMARKS, "training", "machine"):
        content = page.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]
        assert content.count("\n|") >= 3, name


def recorded(folder: Path, **results: dict) -> Path:
    """A folder of data with one record of benchmarks."""
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "other.json").write_text(json.dumps({"device": "other", "results": results}))
    return folder


def lines(text: str) -> list[str]:
    """The rows of a table, without its header and without the spaces that bring the cells to one width."""
    return [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("|")][2:]


def test_a_table_that_was_not_measured_says_so(tmp_path):
    """A record of another machine may hold some of the benchmarks only."""
    metrics = json.loads(RECORDS[0].read_text())["results"]["metrics"]
    page = pages.fill((ROOT / "book" / "speed.md").read_text(), recorded(tmp_path, metrics=metrics))
    assert page.count("Not measured yet") == len(of_speed.BENCHMARKS) - 1 + 1  # and no run
    assert "| evaluate, " in page


def test_the_kills_stand_on_the_page_on_troubleshooting(tmp_path):
    rows = [{"what": "training", "kills": 100, "ends": 7, "equal": 7}]
    soak = {"date": "2026-01-01", "commit": None, "versions": {}, "threads": 1, "rows": rows}
    page = pages.fill((ROOT / "book" / "troubleshooting.md").read_text(), recorded(tmp_path, soak=soak))
    assert "| training | 100 | 7 | 7 |" in re.sub(" +", " ", page)
    for row in json.loads(RECORDS[0].read_text())["results"]["soak"]["rows"]:
        assert row["equal"] == row["ends"] > 0 and row["kills"] >= 10, row


STEP = {"what": "leaves", "dataset": "cvppp", "batch": 4, "size": [256, 256], "seconds": 0.5, "peak_memory_mb": 1536}
PARTS = {"data": 0.1, "network": 0.3, "loss": 0.1}


def test_parts_of_a_step_are_shares_of_it(tmp_path):
    on_gpu = STEP | {"parts": PARTS, "host_waits": 0, "busy": 0.95}
    step = next(make for make in of_speed.MAKERS if make.__name__ == "step")
    folder = recorded(tmp_path, step={"rows": [STEP | {"parts": PARTS}, on_gpu]})
    row = "| leaves (cvppp) | 4 x 256 x 256 | 0.50 s | 20% | 60% | 20% | 0% | 1.67 | 1.5 GiB |"
    assert lines(step(folder)) == [f"{row} | |", f"{row} 0 | 95% |"]
    (folder / "benchmarks/other.json").write_text((folder / "benchmarks/other.json").read_text().replace("busy", "x"))
    assert "GPU busy" not in step(folder), "no row has it"


def test_cost_of_a_run_recorded_before_some_fields_existed(tmp_path):
    old = json.loads((ROOT / "data" / "runs" / "cvppp-10" / "run.json").read_text())
    old |= {"name": "leaves", "device": "2-core CPU", "seconds": 3600, "steps": 1800, "peak_memory_mb": 1536}
    old["config"]["batch"] = 4
    old.pop("processes", None)
    for name, record in {"a": old, "b": old | {"processes": 2}}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps(record))
    row = "| 60 | 1,800 | 2.00 s | 2.0 | 1.5 GiB |"
    found = lines(of_speed.training(tmp_path))
    assert found == [f"| `leaves` | 2-core CPU {row}", f"| `leaves` | 2 processes, 2-core CPU {row}"]


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_a_record_names_its_machine_and_where_it_was_measured(path):
    record = json.loads(path.read_text())
    assert path.stem == record["device"].lower().replace(" ", "-")
    for name, result in record["results"].items():
        assert result["commit"] and result["threads"] >= 1 and result["rows"], name
    ours, *peers = record["results"].get("loss", {"rows": [{}]})["rows"]
    for row in peers:
        assert row["times_the_loss"] == pytest.approx(row["seconds"] / ours["seconds"], abs=0.01)
    for row in record["results"].get("step", {"rows": []})["rows"]:
        assert sum(row["parts"].values()) == pytest.approx(row["seconds"], rel=0.15), row["what"]


def test_the_table_of_data_sets_has_a_row_for_every_set():
    cards = json.loads((ROOT / "data" / "cards" / "cards.json").read_text())
    rows = of_sets.sets(ROOT / "data").splitlines()[2:]
    assert len(rows) == len(cards)
    for row, splits in zip(rows, cards.values()):
        assert all(f"{split} {card['samples']}" in row for split, card in splits.items())
    assert "<!-- sets:begin -->" in (ROOT / "book" / "data_sets.md").read_text()


@pytest.mark.parametrize("module", [of_sets, tables], ids=lambda m: m.__name__)
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
