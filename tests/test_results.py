"""The README: its tables come from the records and are up to date, and its example runs."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("make_results", ROOT / "book" / "make_results.py")
make_results = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_results)

TEXT = "before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n"
MEAN = {"sbd": 0.75, "dic": -1.25, "abs_dic": 2.25, "ap50": 0.5}
RECORD = {
    "name": "leaves-10",
    "config": {"fraction": 0.1, "size": 256, "batch": 4, "seed": 0},
    "data": {"dataset": "cvppp", "split": "train", "images": 88, "objects": 1400, "annotated_objects": 160,
             "checksum": "0123456789abcdef"},
    "commit": None, "scored_commit": None,
    "device": "2-core CPU", "versions": {"torch": "2.13.0"}, "parameters": 1234567, "seconds": 3600,
    "steps": 2000, "changes": [{"at_step": 800, "steps_before": 3500, "steps_after": 2000}],
    "peak_memory_mb": 1536, "curve": [],
    "scores": {"in the mask": {"split": "val", "mean": MEAN, "images": [{}, {}]}},
}  # fmt: skip


@pytest.fixture
def runs(tmp_path) -> Path:
    for name, record in {"scored": RECORD, "unscored": RECORD | {"name": "fresh", "scores": {}}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(record))
    return tmp_path


def test_readme_is_up_to_date():
    readme = (ROOT / "README.md").read_text()
    assert "<!-- results:begin -->" in readme
    assert make_results.fill(readme) == readme, "run: python book/make_results.py README.md"


def test_readme_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    assert all(parameter.grad is not None for parameter in names["pair"].f.parameters())


def test_fill_replaces_what_lies_between_the_markers(runs):
    filled = make_results.fill(TEXT, runs)
    assert filled.startswith("before\n") and filled.endswith("after\n") and "old" not in filled
    assert "**cvppp, split val, 2 images**" in filled
    assert "| `leaves-10` | 160 of 1400 | in the mask | 0.750 | -1.2 | 2.2 | 0.500 |" in filled
    assert "fresh" not in filled
    assert make_results.fill(filled, runs) == filled


def test_fill_without_records_says_so(tmp_path):
    assert make_results.NONE in make_results.fill(TEXT, tmp_path)


def test_provenance_has_a_column_per_run(runs):
    filled = make_results.fill(TEXT.replace("results:", "provenance:"), runs)
    assert "| Steps | 2000; 3500 were planned until step 800 |" in filled
    for row in ("|  | `leaves-10` |", "| Time | 60 min |", "| Peak memory | 1.5 GiB |"):
        assert row in filled
