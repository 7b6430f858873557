"""The built pages in a real browser: nothing goes wrong on them, they fit a phone, and axe-core audits them.

The audit is of the rules of WCAG and of good practice: controls without a label, contrast, the order of headings.
"""

import pytest
from browser import DARK, DESKTOP, PHONE, browser  # noqa: F401
from bs4 import BeautifulSoup
from test_book import HTML

PAGES = sorted(page for folder in ("book", "notebooks") for page in (HTML / folder).glob("*.html"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not PAGES, reason=f"no page in {HTML}: run `make book` first"),
]
OF_THE_THEME = {
    "Identifier 'THEBE_JS_URL' has already been declared",  # Jupyter Book 1 declares it twice; nothing uses it
    "Got invalid theme mode: . Resetting to auto.",  # on the first visit
    "region",  # its logo lies beside the landmarks
}
FRAME = "() => [...document.querySelectorAll('.spoco-figure')].every((figure) => figure.dataset.ready)"

CARDS = """() => [...document.querySelectorAll('table.folds')].filter((table) =>
    table.scrollWidth > table.clientWidth + 1 || [...table.querySelectorAll('td:not(:first-child):not(:empty)')].some(
        (cell) => !getComputedStyle(cell, '::before').content.startsWith(`"${cell.dataset.label}"`))
).map((table) => table.innerText.slice(0, 80))"""

WHERE = {  # the figures that answer, by page
    "book/intro": {"click"},
    "book/data_sets": {"slices"},
    "notebooks/02_learning_from_a_few_objects": {"click", "push"},
    "notebooks/03_from_vectors_to_objects": {"climb", "accept"},
    "notebooks/06_how_few_labels": {"budget"},
    "notebooks/07_nuclei_in_3d": {"slices"},
}


@pytest.mark.parametrize("page", WHERE)
def test_the_figures_are_on_their_pages(page):
    found = BeautifulSoup((HTML / f"{page}.html").read_text(), "html.parser")
    assert {figure["data-figure"] for figure in found.select(".spoco-figure")} == WHERE[page]


@pytest.mark.parametrize("path", PAGES, ids=lambda page: page.stem)
def test_page(browser, path):  # noqa: F811
    audit = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    context = browser.new_context(**DESKTOP)
    page = context.new_page()
    wrong, asked = set(), set()
    page.on("console", lambda message: wrong.add(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.add(str(error)))
    page.on("request", lambda request: asked.add(request.url))
    page.goto(path.as_uri())
    page.wait_for_function(FRAME, timeout=60_000)
    found = audit.Axe().run(page, options={"preload": False}).response  # it would ask for the styles once more
    context.close()
    assert wrong - OF_THE_THEME == set()
    assert {url for url in asked if not url.startswith(("file:", "data:", "blob:"))} == set()
    violations = {v["id"]: [node["html"][:120] for node in v["nodes"]] for v in found["violations"]}
    serious = [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert not serious and "heading-order" not in violations, violations
    ours = set(violations) - OF_THE_THEME
    assert len(ours) <= 0.05 * (len(found["passes"]) + len(ours)), violations


@pytest.mark.parametrize("how", [PHONE, DARK], ids=["phone", "dark"])
@pytest.mark.parametrize("path", PAGES, ids=lambda page: page.stem)
def test_page_fits_and_contrasts(browser, path, how):  # noqa: F811
    audit = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    context = browser.new_context(**how)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function(FRAME, timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= how["viewport"]["width"]
    if how is PHONE:  # wide tables are cards, and still tables to a screen reader
        assert page.evaluate(CARDS) == []
        for table in [t for t in page.locator("table.folds").all() if t.is_visible()][:3]:  # others are folded away
            said = table.aria_snapshot()
            assert all(f"- {role} " in said for role in ("row", "columnheader", "cell")), said[:300]
    if how is DARK:
        # The theme fades into the dark; halfway no colour is its own.
        page.evaluate("Promise.all(document.getAnimations().map((fading) => fading.finished))")
        only = {"preload": False, "runOnly": {"type": "rule", "values": ["color-contrast"]}}
        found = audit.Axe().run(page, options=only).response["violations"]
        assert [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in found] == []
    context.close()
