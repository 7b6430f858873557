"""What a notebook must be: small, executed, folded where it only draws; each a list of problems, one sentence each."""

import json
import re
from pathlib import Path

MAX_BYTES = 1_000_000
MAX_LINES = 40


def notebook_problems(path: Path) -> list[str]:
    """Size, cell length, unexecuted cells and errors of one notebook."""
    problems = []
    if path.stat().st_size > MAX_BYTES:
        problems.append(f"{path.name}: {path.stat().st_size} bytes, more than {MAX_BYTES}")
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        where = f"{path.name}, code cell {number}"
        if len(source.splitlines()) > MAX_LINES:
            problems.append(f"{where}: {len(source.splitlines())} lines, more than {MAX_LINES}")
        if source.strip() and cell["execution_count"] is None:
            problems.append(f"{where}: not executed")
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            problems.append(f"{where}: ended in an error")
    return problems + ignored_problems(path.name, cells) + folding_problems(path.name, cells)


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def ignored_problems(name: str, cells: list[dict]) -> list[str]:
    """A cell whose output is not compared says why in its metadata, and which assertion stands for it."""
    asserts = re.findall(r"^ *assert (.*)", "\n".join("".join(cell["source"]) for cell in cells), re.MULTILINE)
    problems = []
    for number, cell in enumerate(cells, start=1):
        said = cell["metadata"].get("ignored", {})
        where = f"{name}, code cell {number}"
        if ("nbval-ignore-output" in tags(cell)) != bool(said):
            problems.append(f"{where}: the tag nbval-ignore-output and the metadata `ignored` come together")
        elif said and not (said.get("because") and said.get("asserted")):
            problems.append(f"{where}: `ignored` needs `because`, a reason, and `asserted`, what holds nevertheless")
        elif said and not any(line.startswith(said["asserted"]) for line in asserts):
            problems.append(f"{where}: no cell asserts {said['asserted']!r}")
    return problems


def folding_problems(name: str, cells: list[dict]) -> list[str]:
    """Code that is no method, that is imports and pure drawing, is folded on the page."""
    problems = []
    parameters = next((k for k, cell in enumerate(cells) if "parameters" in tags(cell)), 0)
    for number, cell in enumerate(cells, start=1):
        kinds = [set(output.get("data", {"text": ""})) for output in cell["outputs"]]
        draws = bool(kinds) and all(kind & {"image/png", "image/jpeg"} for kind in kinds)
        if (number <= parameters or draws) and not {"hide-input", "hide-cell"} & set(tags(cell)):
            what = "only draws" if draws else "comes before the parameters"
            problems.append(f"{name}, code cell {number}: {what}; give it the tag hide-input")
    return problems
