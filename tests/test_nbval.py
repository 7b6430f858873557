"""The comparison behind `pytest --nbval`: what it forgives, and above all what it does not."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

CONFTEST = Path(__file__).resolve().parents[1] / "notebooks" / "conftest.py"
spec = importlib.util.spec_from_file_location("notebooks_conftest", CONFTEST)
comparison = importlib.util.module_from_spec(spec)
spec.loader.exec_module(comparison)


@pytest.mark.parametrize(
    ("committed", "computed"),
    [
        ("push 12.871", "push 12.872"),  # what chapter 1 printed on two processors
        ("0.10", "0.09"),
        ("9.99", "10.00"),
        ("-0.00", "0.00"),  # a sign that rounding leaves behind
        ("tensor([1.0000, 0.5000])", "tensor([0.9999, 0.5001])"),
        ("tensor([1., 2.])", "tensor([1.0000, 2.0000])"),
        ("[[0.1 0.2]\n [0.3 0.4]]", "[[0.1 0.2]\n [0.3 0.5]]"),
        ("52% of 40 pixels, 3.3%", "53% of 40 pixels, 3.4%"),
        ("1.00e-04", "9.99e-05"),
        ("0.1", "0.09999999"),
        ("loss 123456.789", "loss 123456.123"),  # single precision holds seven digits
        ("inf, -inf and nan, 0.5", "inf, -inf and nan, 0.5"),
        ("| SBD |  0.50 |\n| --- | --- |", "| SBD | 0.51 |\n| --- | --- |\n"),
        ("<td>0.50</td>", "<td>0.49</td>"),
        ("a     9.9\nb    10.0\n", "a    10.0\nb    10.0"),  # columns move
    ],
)
def test_rounding_is_forgiven(committed, computed):
    assert comparison.difference(committed, computed) is None
    assert comparison.difference(computed, committed) is None


@pytest.mark.parametrize(
    ("committed", "computed", "where"),
    [
        ("pull 0.5", "push 0.5", "line 1: 'pull' was committed, 'push' is printed here"),
        ("Pull 0.5", "pull 0.5", "line 1"),
        ("0.50", "0.52", "line 1: '0.50' was committed, '0.52' is printed here"),
        ("0.5", "-0.5", "line 1"),
        ("-0.01", "0.01", "line 1"),
        ("+0.5", "-0.5", "line 1"),
        ("16 leaves", "17 leaves", "line 1"),  # a count
        ("160,000 pixels", "160,001 pixels", "line 1"),
        ("DiC +1", "DiC -1", "line 1"),
        ("rosette040", "rosette041", "line 1"),  # a name
        ("torch 2.13.0", "torch 2.13.1", "line 1"),
        ("float32", "float64", "line 1"),
        ("1 to 2", "1 to 3", "line 1"),
        ("10-20", "10-21", "line 1"),
        ("a 0.5\nb 0.5", "a 0.5\nb 0.7", "line 2"),
        ("a 0.5\nb 0.5", "a 0.5 b 0.5", "line 1"),
        ("0.5 0.5", "0.5", "line 1: '0.5' was committed, nothing more is printed here"),
        ("0.5", "0.5 0.5", "line 1: nothing more was committed, '0.5' is printed here"),
        ("a: 0.5", "a: nan", "line 1"),
        ("a: inf", "a: -inf", "line 1"),
        ("a: 0.5", "a: ", "line 1"),
        ("1.00e-04", "1.00e-05", "line 1"),
        ("1e-04", "2e-04", "line 1"),  # as written, not as measured: repr rounds to what comes back
        ("tensor([1.0000, 0.5000])", "tensor([1.0000, 0.5002])", "line 1"),
        ("tensor([1., 2.])", "tensor([1., 3.])", "line 1"),
        ("tensor([1.0000, 0.5000])", "tensor([1.0000])", "line 1"),
        ("52%", "54%", "line 1"),
        ("52%", "52", "line 1"),
        ("123456.789", "123459.789", "line 1"),
        ("| SBD | 0.50 |\n| --- | --- |", "| AP | 0.50 |\n| --- | --- |", "line 1"),
        ("<td>0.50</td>", "<th>0.50</th>", "line 1"),
        ("<td>0.50</td>", "<td>0.53</td>", "line 1"),
    ],
)
def test_what_differs_is_found(committed, computed, where):
    assert comparison.difference(committed, computed).startswith(where)
    assert comparison.difference(computed, committed) is not None


def test_a_reader_needs_one_flag(tmp_path):
    """nbval with the conftest beside the notebooks, from the command line: cells that agree and cells that do not."""

    def cell(source, committed):
        return new_code_cell(source, execution_count=1, outputs=[committed])

    def stream(text):
        return new_output("stream", name="stdout", text=text)

    markdown = "from IPython.display import Markdown\nMarkdown('| a |\\n| --- |\\n| 0.53 |')"
    tables = [
        {"text/markdown": f"| a |\n| --- |\n| {n} |", "text/plain": "<IPython.core.display.Markdown object>"}
        for n in ("0.52", "0.50")
    ]
    cells = [
        cell("print('push', 12.872)", stream("push 12.871\n")),
        cell("print('push', 12.872)", stream("push 12.77\n")),
        cell("print('push', 12.872)", stream("pull 12.872\n")),
        cell(markdown, new_output("execute_result", tables[0], execution_count=1)),
        cell(markdown, new_output("execute_result", tables[1], execution_count=1)),
        cell("print('push', 12.872)", stream("push 12.872\nmore\n")),
    ]
    kernel = {"kernelspec": {"name": "no-such-kernel", "display_name": "", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "chapter.ipynb")
    shutil.copy(CONFTEST, tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-rA", "--color=no", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=120)
    outcomes = re.findall(r"^(PASSED|FAILED) chapter.ipynb::Cell (\d)", run.stdout, re.MULTILINE)
    failed = sorted(number for outcome, number in outcomes if outcome == "FAILED")
    assert len(outcomes) == len(cells) and failed == ["1", "2", "4", "5"], run.stdout
    assert "In stdout, line 1: '12.77' was committed, '12.872' is printed here" in run.stdout
    assert "In text/markdown, line 3: '0.50' was committed, '0.53' is printed here" in run.stdout
