"""The layout of the module: the method alone on the first floor, and no room imports from one above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spoco_lite

HOUSE = Path(spoco_lite.__file__).parent
METHOD = {"unet", "selection", "losses", "objective", "clusterers", "clustering", "metrics", "augment"}
# From the ground up: a file may import from its own room and from those before it.
FLOORS = ["sums", "method", "data", "show", "results", "prediction", "training", "commands", "__main__"]
FILES = sorted(path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py"))
BOOK = Path(__file__).parents[1] / "book"  # its scripts, where the module is a checkout's
SCRIPTS = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.py"))


def room(dotted: str) -> str:
    """The room of a module, named without the package: ``"losses"`` is of the method.

    >>> room("losses"), room("data.sets.cvppp")
    ('method', 'data')
    """
    first = dotted.split(".")[0]
    return "method" if first in METHOD else first


def imported(path: Path) -> set[str]:
    """What a file imports from the package, dotted, without the package's name; a module or a name in it."""
    package = path.relative_to(HOUSE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = node.module or ""
            if not node.level:
                if module.partition(".")[0] != "spoco_lite":
                    continue
                module = module.partition(".")[2]
            start = ".".join([*base, *filter(None, [module])])
            found |= {f"{start}.{alias.name}".strip(".") for alias in node.names}
    return found


def test_the_method_is_alone_on_the_first_floor():
    assert {path.stem for path in HOUSE.glob("*.py")} == METHOD | {"__init__", "__main__"}


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_nothing_imports_from_above(file):
    own = FLOORS.index(room(file.removesuffix(".py").replace("/", ".")))
    above = {name for name in imported(HOUSE / file) if FLOORS.index(room(name)) > own}
    assert above == set(), f"{file} belongs to {FLOORS[own]}"


@pytest.mark.parametrize("file", [*FILES, *SCRIPTS])
def test_a_file_is_read_in_one_sitting(file):
    path = HOUSE / file if file in FILES else BOOK / file
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_names_are_loaded_when_asked_for():
    """The package itself costs nothing, and shows what a user imports."""
    code = "import sys, spoco_lite; assert 'torch' not in sys.modules; print(*dir(spoco_lite))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"EmbeddingUNet", "MomentumPair", "SpocoLoss", "segment", "train", "load_run"} <= set(shown)
    assert all(callable(getattr(spoco_lite, name)) for name in shown)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="SpocoLos.*SpocoLoss"):
        spoco_lite.SpocoLos  # noqa: B018
