"""Tables say what they are, so that the style can fold a wide one into cards on a phone (custom.css).

A Sphinx extension. Every table of a page gets the roles that a table has by itself: a browser forgets them when the
style shows it as blocks. Each cell gets the title of its column as ``data-label``, and a table that is too wide for a
phone the class ``folds``.
"""

import re

from bs4 import BeautifulSoup

ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
WIDTH = 39  # characters that fit beside each other on a phone, with the space between columns
PROSE = 110  # characters of a row, above which narrow columns get too tall


def fold(body: str) -> str:
    """The HTML of a page, with its tables changed.

    >>> fold("<p>a<table><tr><td>b</td></tr></table>")
    '<p>a<table role="table"><tr role="row"><td role="cell">b</td></tr></table>'
    """
    return re.sub(r"<table\b.*?</table>", lambda found: _one(found[0]), body, flags=re.DOTALL)


def _one(text: str) -> str:
    soup = BeautifulSoup(text, "html.parser")
    head = soup.thead.find_all("tr")[-1].find_all(["th", "td"]) if soup.thead else []
    titles = [" ".join(cell.get_text(" ").split()) for cell in head]
    if head and not any(titles):  # Markdown asks for a head where a table needs none
        soup.thead.decompose()
    rows = [row.find_all(["td", "th"], recursive=False) for row in soup.find_all("tr")]
    for row in rows:
        for place, cell in enumerate(row):
            if not cell.get_text(strip=True) and not cell.find("img"):
                cell.clear()  # so that the style sees that it is empty
                cell.name = "td"  # an empty cell is no title
            if cell.name == "th":
                cell["role"] = "columnheader" if cell.find_parent("thead") else "rowheader"
            elif len(row) == len(titles) and not cell.find_parent("thead"):
                cell["data-label"] = titles[place]
    for name, role in ROLES.items():
        for element in soup.find_all(name):
            element["role"] = role
    if any(titles) and all(len(row) == len(titles) for row in rows) and _wide(rows):
        soup.table["class"] = [*soup.table.get("class", []), "folds"]
    return str(soup)


def _wide(rows: list[list]) -> bool:
    texts = [[cell.get_text(" ", strip=True) for cell in row] for row in rows]
    longest = [max(len(word) for text in column for word in [*text.split(), ""]) for column in zip(*texts)]
    prose = sum(len(text) for row in texts for text in row) / len(texts)
    return len(longest) > 2 and (sum(longest) + 2 * len(longest) > WIDTH or prose > PROSE)


def setup(app) -> dict:
    def change(app, page, template, context, doctree):
        if context.get("body"):
            context["body"] = fold(context["body"])

    app.connect("html-page-context", change)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
