"""Wide tables fold into cards on a phone: what the extension of the book makes of a table."""

import doctest
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

sys.path.append(str(Path(__file__).resolve().parents[1] / "book" / "extensions"))

import folding  # noqa: E402


def table(*rows, head):
    cells = "".join("<tr>" + "".join(f"<td><p>{text}</p></td>" for text in row) + "</tr>" for row in rows)
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<table class="table"><thead><tr>{titles}</tr></thead><tbody>{cells}</tbody></table>'


def test_doctests():
    assert doctest.testmod(folding).failed == 0


def test_cells_say_their_column_and_everything_its_role():
    text = table(["a", "a", ""], ["b", "c", "d"], head=["Run", "SBD,\nwhole", "AP"])
    made = folding.fold(f"<p>before</p>{text}after")
    assert made.startswith("<p>before</p><table") and made.endswith("</table>after")
    found = BeautifulSoup(made, "html.parser")
    assert [cell["data-label"] for cell in found.find_all("td")] == ["Run", "SBD, whole", "AP"] * 2  # equal cells, too
    roles = [element["role"] for element in found.table.find_all(True) if element.name not in ("p",)]
    assert roles.count("row") == 3 and roles.count("cell") == 6 and roles.count("columnheader") == 3
    assert found.find_all("td")[2].contents == []


@pytest.mark.parametrize(
    ("rows", "head", "folds"),
    [
        ([["0.5", "0.6", "0.7"]], ["SBD", "AP", "DiC"], False),
        ([["a word " * 30, "b"]], ["what", "why"], False),  # two columns stay a table
        ([["a word " * 30, "b", "c"]], ["what", "why", "when"], True),
        ([["bbbc038-10-strokes-ours", "the paper's", "0.5", "0.6"]], ["Run", "Recipe", "SBD, whole image", "AP"], True),
        ([["0.5", "0.6", "0.7" * 30]], ["", "", ""], False),  # nothing that could stand before a cell
    ],
)
def test_what_is_too_wide_folds(rows, head, folds):
    found = BeautifulSoup(folding.fold(table(*rows, head=head)), "html.parser")
    assert ("folds" in found.table["class"]) == folds


def test_a_table_without_a_head_or_with_joined_cells_is_left():
    bare = '<table><tr><td colspan="2">a</td></tr><tr><td>b</td><td>c</td></tr></table>'
    found = BeautifulSoup(folding.fold(bare), "html.parser")
    assert "class" not in found.table.attrs and not found.find_all(attrs={"data-label": True})


def test_an_empty_title_is_no_title():
    found = BeautifulSoup(folding.fold(table(["a", "b"], head=["", ""])), "html.parser")
    assert found.thead is None and [cell.text for cell in found.find_all("td")] == ["a", "b"]
    found = BeautifulSoup(folding.fold(table(["a", "b"], head=["", "one"])), "html.parser")
    assert [cell["role"] for cell in found.thead.find_all(["td", "th"])] == ["cell", "columnheader"]
