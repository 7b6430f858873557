"""The checks of the built book, and for each check a proof that it can fail.

A check is a function that returns a list of problems, one sentence each. The tests marked ``built`` apply them to
build/book (`make check` builds it first); the others feed them a bad page made on the spot.
"""

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from notebook_checks import MAX_BYTES, MAX_LINES, notebook_problems

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "book"
HTML = BUILD / "_build" / "html"
COLAB = "https://colab.research.google.com/github/spoco-lite/spoco-lite/blob/main/"


# --- checks of the table of contents


def toc_files(toc: Path) -> list[str]:
    """All documents that _toc.yml names, in its order, without suffix."""
    return re.findall(r"^\s*(?:- file|root): *(\S+)", toc.read_text(), re.MULTILINE)


def toc_problems(root: Path) -> list[str]:
    """Chapters and pages against the table of contents, both ways."""
    pages = [*root.glob("notebooks/*.ipynb"), *root.glob("book/*.md")]
    there = {str(page.relative_to(root).with_suffix("")) for page in pages}
    listed = toc_files(root / "_toc.yml")
    problems = [f"{name}: missing from _toc.yml" for name in sorted(there - set(listed))]
    return problems + [f"{name}: in _toc.yml, but there is no such file" for name in listed if name not in there]


def navigation_problems(html: Path, documents: list[str]) -> list[str]:
    """Every document of the table of contents is built, and the welcome page leads to it."""
    welcome = html / f"{documents[0]}.html"
    reached = {target for target, _ in internal_links(welcome)}
    pages = {name: (html / f"{name}.html").resolve() for name in documents}
    lost = [name for name in documents[1:] if pages[name].is_file() and pages[name] not in reached]
    unbuilt = [f"{name}: not built" for name in documents if not pages[name].is_file()]
    return [f"{name}: not linked from {documents[0]}" for name in lost] + unbuilt


# --- checks of pages


@cache
def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


@cache
def anchors(page: Path) -> set[str]:
    return {tag[key] for key in ("id", "name") for tag in parsed(page).find_all(attrs={key: True})}


def internal_links(page: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of everything that a page links to or loads from its own site."""
    links = []
    for url in (urlsplit(tag[key]) for key in ("href", "src") for tag in parsed(page).find_all(attrs={key: True})):
        if not (url.scheme or url.netloc) and (url.path or url.fragment):
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            links.append((target, unquote(url.fragment)))
    return links


def link_problems(page: Path) -> list[str]:
    problems = []
    for target, anchor in internal_links(page):
        if not target.is_file():
            problems.append(f"{page.name}: link to {target.name}, which does not exist ({target})")
        elif anchor and target.suffix == ".html" and anchor not in anchors(target):
            problems.append(f"{page.name}: link to #{anchor}, which {target.name} does not have")
    return problems


def alt_problems(page: Path) -> list[str]:
    """Images without words for those who do not see them. The default for a figure is its file name, a hash."""
    problems = []
    for image in parsed(page).find_all("img"):
        alt = (image.get("alt") or "").strip()
        if len(alt.split()) < 2 or re.search(r"\.(png|svg|jpe?g|gif)$|[0-9a-f]{16}", alt):
            problems.append(f"{page.name}: image {image.get('src', '')[:60]} has the alternative text {alt!r}")
    return problems


def traceback_problems(page: Path) -> list[str]:
    found = "Traceback (most recent call last)" in parsed(page).get_text()
    return [f"{page.name}: shows a traceback"] if found else []


def table_problems(page: Path) -> list[str]:
    """Tables that a cell displayed as Markdown and that arrived as a paragraph of bars and dashes."""
    raw = [p for p in parsed(page).find_all("p") if re.search(r"\|\s*(—|-{3,})\s*\|", p.get_text())]
    return [f"{page.name}: a table is not rendered: {p.get_text()[:60]!r}" for p in raw]


def launch_problems(page: Path, document: str) -> list[str]:
    """A chapter opens on Colab from the place where it is committed."""
    wanted = f"{COLAB}{document}.ipynb"
    found = [a["href"] for a in parsed(page).find_all("a", href=True) if "colab.research" in a["href"]]
    return [] if wanted in found else [f"{page.name}: no button to {wanted}, found {found}"]


# --- the book


@pytest.fixture
def pages() -> list[Path]:
    found = sorted(HTML.rglob("*.html"))
    assert found, f"no page in {HTML}: run `make book` first"
    return [page for page in found if "_static" not in page.parts]


def test_contents_are_complete():
    assert toc_problems(ROOT) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_committed_notebook(path):
    assert notebook_problems(path) == []
    assert not any("execution" in cell["metadata"] for cell in json.loads(path.read_text())["cells"]), "holds times"


@pytest.mark.built
def test_executed_notebooks():
    names = {path.name for path in ROOT.glob("notebooks/*.ipynb")}
    executed = sorted(BUILD.glob("notebooks/*.ipynb"))
    assert {path.name for path in executed} == names
    assert [problem for path in executed for problem in notebook_problems(path)] == []


@pytest.mark.built
def test_navigation(pages):
    assert navigation_problems(HTML, toc_files(ROOT / "_toc.yml")) == []


@pytest.mark.built
@pytest.mark.parametrize("check", [link_problems, alt_problems, traceback_problems, table_problems])
def test_pages(pages, check):
    assert [problem for page in pages for problem in check(page)] == []


@pytest.mark.built
def test_launch_buttons(pages):
    chapters = [name for name in toc_files(ROOT / "_toc.yml") if name.startswith("notebooks/")]
    assert [problem for name in chapters for problem in launch_problems(HTML / f"{name}.html", name)] == []


# --- proofs that the checks can fail


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def notebook(
    path: Path, source: str = "1 + 1", *, executed: bool = True, outputs: tuple = (), metadata: dict | None = None
) -> Path:
    count = 1 if executed else None
    cell = {"cell_type": "code", "source": source, "execution_count": count, "outputs": list(outputs)}
    cell["metadata"] = metadata or {}
    return write(path, json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def test_toc_files_are_all_files_of_the_toc():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert toc_files(ROOT / "_toc.yml") == [toc["root"], *chapters]


def test_toc_problems_finds_what_differs(tmp_path):
    write(
        tmp_path / "_toc.yml",
        "root: book/intro\nchapters:\n- file: notebooks/01_a\n- file: notebooks/03_gone\n",
    )
    write(tmp_path / "book/intro.md", "# Welcome")
    notebook(tmp_path / "notebooks/01_a.ipynb")
    notebook(tmp_path / "notebooks/02_b.ipynb")
    assert toc_problems(tmp_path) == [
        "notebooks/02_b: missing from _toc.yml",
        "notebooks/03_gone: in _toc.yml, but there is no such file",
    ]


def test_navigation_problems_finds_lost_pages(tmp_path):
    write(tmp_path / "intro.html", '<a href="good.html">good</a>')
    write(tmp_path / "good.html", "")
    write(tmp_path / "island.html", "")
    problems = navigation_problems(tmp_path, ["intro", "good", "island", "unbuilt"])
    assert problems == ["island: not linked from intro", "unbuilt: not built"]


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
PICTURE = {"output_type": "display_data", "data": {"image/png": "", "text/plain": "<Figure>"}, "metadata": {}}
TEXT = {"output_type": "stream", "name": "stdout", "text": "a"}
IGNORED = {"tags": ["nbval-ignore-output"], "ignored": {"because": "it is a training", "asserted": "score > 0.8"}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"executed": False}, "not executed"),
        ({"outputs": (ERROR,)}, "ended in an error"),
        ({"source": "x = 1\n" * (MAX_LINES + 1)}, f"{MAX_LINES + 1} lines"),
        ({"source": "'" + "x" * MAX_BYTES + "'"}, "bytes, more than"),
        ({"metadata": {"tags": ["nbval-ignore-output"]}}, "come together"),
        ({"metadata": {"ignored": IGNORED["ignored"]}}, "come together"),
        ({"metadata": IGNORED | {"ignored": {"because": "it is a training"}}}, "needs `because`"),
        ({"metadata": IGNORED, "source": "assert score > 0.7"}, "no cell asserts 'score > 0.8'"),
        ({"metadata": IGNORED, "source": "score > 0.8"}, "no cell asserts"),
        ({"outputs": (PICTURE, PICTURE)}, "only draws"),
    ],
)
def test_notebook_problems_finds(tmp_path, content, problem):
    (found,) = notebook_problems(notebook(tmp_path / "bad.ipynb", **content))
    assert problem in found


@pytest.mark.parametrize(
    "content",
    [
        {"source": "x = 1\n" * MAX_LINES},
        {"source": "assert score > 0.8, score", "metadata": IGNORED},
        {"outputs": (PICTURE,), "metadata": {"tags": ["hide-input"]}},
        {"outputs": (TEXT, PICTURE)},
    ],
)
def test_notebook_problems_lets_pass(tmp_path, content):
    assert notebook_problems(notebook(tmp_path / "good.ipynb", **content)) == []


def test_what_comes_before_the_parameters_is_folded(tmp_path):
    path = notebook(tmp_path / "bad.ipynb", metadata={"tags": ["parameters"]})
    content = json.loads(path.read_text())
    content["cells"].insert(0, content["cells"][0] | {"source": "import torch", "metadata": {}})
    path.write_text(json.dumps(content))
    (found,) = notebook_problems(path)
    assert "code cell 1: comes before the parameters" in found


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (link_problems, '<a href="gone.html">x</a>', '<a href="https://example.org/gone.html">x</a>'),
        (link_problems, '<img src="gone.png" alt="A leaf">', '<a href="bad.html?q=1">x</a>'),
        (link_problems, '<a href="#gone">x</a>', '<a href="#here">x</a><p id="here"></p>'),
        (link_problems, '<a href="bad.html#gone">x</a>', '<a href="good.html#a%20b">x</a><p id="a b"></p>'),
        (alt_problems, "<img src='x.png'>", "<img src='x.png' alt='A red leaf'>"),
        (alt_problems, "<img src='x.png' alt=''>", "<p>no image</p>"),
        (
            alt_problems,
            "<img src='x.png' alt='_images/0123456789abcdef.png'>",
            "<img alt='Loss against step'>",
        ),
        (alt_problems, "<img src='x.png' alt='my figure.svg'>", "<img alt='Two views of a plant'>"),
        (table_problems, "<p>| a | b | | — | — | | 1 | 2 |</p>", "<p>a | b --- c</p>"),
        (
            traceback_problems,
            "<pre><b>Traceback</b> (most recent call last)</pre>",
            "<p>no traceback here</p>",
        ),
    ],
)
def test_page_check_finds(tmp_path, check, bad, good):
    assert len(check(write(tmp_path / "bad.html", bad))) == 1
    assert check(write(tmp_path / "good.html", good)) == []


def test_launch_problems_finds_a_wrong_path(tmp_path):
    bad = write(tmp_path / "bad.html", f'<a href="{COLAB}book/notebooks/01_a.ipynb">Colab</a>')
    good = write(tmp_path / "good.html", f'<a href="{COLAB}notebooks/01_a.ipynb">Colab</a>')
    assert len(launch_problems(bad, "notebooks/01_a")) == 1
    assert launch_problems(good, "notebooks/01_a") == []
