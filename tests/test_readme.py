"""The README: its table is that of the records, and its example runs."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "pages"))

import fill as pages  # noqa: E402


def test_readme_is_up_to_date():
    readme = (ROOT / "README.md").read_text()
    assert "<!-- summary:begin -->" in readme
    assert pages.fill(readme) == readme, "run: python book/pages README.md"


def test_readme_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    assert all(parameter.grad is not None for parameter in names["pair"].f.parameters())
