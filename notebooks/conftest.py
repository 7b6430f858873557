"""How `pytest --nbval` compares what a cell prints here with what it printed when the notebook was committed.

Words must be equal. So must whole numbers: a count, an index or a name is right or wrong. A number with decimals or a
percent sign is a *measurement*, and two processors round it differently: it may differ by one unit of the last digit
that both print, or by `RELATIVE` of its size, if it shows more digits than single precision holds. How many blanks
stand between two words means nothing; a line break does.
"""

import re
from decimal import Decimal

RELATIVE = Decimal("1e-5")

# Digits behind a letter or before a point and a digit belong to a name: float32, rosette040, 2.13.0.
NUMBER = r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?!\d|\.\d)%?"
TOKEN = re.compile(rf"(?P<number>{NUMBER})|[^\W\d_]+|\n|\S")


def measured(number: str) -> bool:
    """
    >>> [number for number in ("12", "12.", "1e-05", "-12.5", "12%", "1.2e-05") if measured(number)]
    ['-12.5', '12%', '1.2e-05']
    """
    return re.search(r"\.\d|%", number) is not None


def agree(committed: re.Match, computed: re.Match) -> bool:
    """Whether two tokens, each a match of TOKEN, say the same."""
    a, b = committed["number"], computed["number"]
    if a is None or b is None or not (measured(a) or measured(b)) or a.endswith("%") != b.endswith("%"):
        return committed[0] == computed[0]
    x, y = (Decimal(number.rstrip("%")) for number in (a, b))
    unit = Decimal(1).scaleb(min(x.as_tuple().exponent, y.as_tuple().exponent))  # 0.01 for 12.87, 1 for 52%
    return abs(x - y) <= max(unit, RELATIVE * abs(x))


def difference(committed: str, computed: str) -> str | None:
    """The first difference that counts, in words; None if there is none.

    >>> difference("pull 5.466, push 12.871", "pull 5.466, push 12.872")
    >>> difference("pull 5.466, push 12.871", "pull 5.466, push 12.873")
    "line 1: '12.871' was committed, '12.873' is printed here"
    >>> difference("16 leaves", "17 leaves")
    "line 1: '16' was committed, '17' is printed here"
    """
    line = 1
    left, right = (list(TOKEN.finditer(text.strip())) for text in (committed, computed))
    for a, b in zip(left, right):
        if not agree(a, b):
            return f"line {line}: {a[0]!r} was committed, {b[0]!r} is printed here"
        line += a[0] == "\n"
    if len(left) > len(right):
        return f"line {line}: {left[len(right)][0]!r} was committed, nothing more is printed here"
    if len(right) > len(left):
        return f"line {line}: nothing more was committed, {right[len(left)][0]!r} is printed here"
    return None


class Printed(str):
    """What a cell printed; equal to another text if `difference` finds none."""

    __hash__ = None

    def __eq__(self, other):
        return isinstance(other, str) and difference(self, other) is None

    def __ne__(self, other):
        return not self == other


def pytest_configure(config):
    """The kernel is the Python that runs pytest, whatever kernels are installed, unless the command line names one."""
    if config.getoption("nbval_kernel_name", None) is None:
        config.option.nbval_current_env = True


def pytest_itemcollected(item):
    """nbval sanitizes each text, compares two by `!=`, and describes the first pair that differs: we step in there."""
    if not hasattr(item, "format_output_compare"):  # a doctest of this file
        return
    sanitize, describe = item.sanitize, item.format_output_compare

    def as_printed(output):
        output = sanitize(output)
        return Printed(output) if isinstance(output, str) else output

    def described(key, committed, computed):
        describe(key, committed, computed)
        if isinstance(committed, Printed):
            item.comparison_traceback.append(f"In {key}, {difference(committed, computed)}")

    item.sanitize, item.format_output_compare = as_printed, described
