"""Records -> DataFrame -> Markdown: the one way to a table."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd


def frame(records: Iterable[Mapping], columns: Mapping[str, str | Callable]) -> pd.DataFrame:
    """A row for each record. A column is a template, ``"{mib} MiB"``, or a function from a record to a text or None.

    >>> frame([{"mib": 5, "voxels": "8 x 8"}], {"Voxels": "{voxels}", "Twice": lambda r: 2 * r["mib"]}).values.tolist()
    [['8 x 8', 10]]
    """
    make = {title: column if callable(column) else column.format_map for title, column in columns.items()}
    return pd.DataFrame([{title: one(record) for title, one in make.items()} for record in records], dtype=object)


def markdown(table: pd.DataFrame, *, none: str = "Not measured yet.") -> str:
    """The table as Markdown, with empty cells where there is nothing; ``none`` where there is no row.

    >>> print(markdown(pd.DataFrame({"Run": ["a"], "SBD": [None]})))
    | Run   | SBD   |
    |:------|:------|
    | a     |       |
    """
    return table.fillna("").to_markdown(index=False, disable_numparse=True) if len(table) else none


def seconds(value: float) -> str:
    """Three digits, in the unit that reads best.

    >>> seconds(0.0228), seconds(0.758), seconds(21.6787)
    ('23 ms', '0.76 s', '22 s')
    """
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def gibibytes(mebibytes: float) -> str:
    return f"{mebibytes / 1024:.1f} GiB"


def count(number: int, thing: str) -> str:
    """
    >>> count(1, "image"), count(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {thing}" + "s" * (number != 1)


def commit(name: str | None) -> str:
    return f"`{name}`" if name else "not in a checkout"


def difference(ours: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[float, float]:
    """Mean over the images of our score less theirs, each compared with itself, and its standard error.

    >>> [round(number, 6) for number in difference({"x": 0.5, "y": 0.9}, {"y": 0.6, "x": 0.4})]
    [0.2, 0.1]
    """
    each = pd.Series(ours)[list(theirs)] - pd.Series(theirs)
    return float(each.mean()), float(each.sem())
