"""What the records say, between the markers of pages.

``<!-- name:begin -->`` and ``<!-- name:end -->`` enclose what the function ``name`` of a file ``of_...py`` here
makes of the records in ``data/``. `make book` fills the pages, `make refresh` the README.
"""

import re
from pathlib import Path

import of_bench
import of_figures
import of_own_images
import of_pictures
import of_runs
import of_sets
import of_speed

DATA = Path(__file__).resolve().parents[2] / "data"
MODULES = (of_runs, of_speed, of_bench, of_sets, of_figures, of_own_images)
MAKERS = {make.__name__: make for module in MODULES for make in module.MAKERS}
WITH_FILES = {make.__name__: make for make in (*of_pictures.MAKERS, *of_bench.WITH_FILES)}  # these write some


def fill(text: str, data: Path = DATA, *, pictures: Path | None = None) -> str:
    """The text with new content between its markers. ``pictures`` is a folder for files that a page shows or offers."""

    def content(match: re.Match) -> str:
        name = match[2]
        made = WITH_FILES[name](data, pictures) if name in WITH_FILES else MAKERS[name](data)
        return f"{match[1]}\n{made}\n\n{match[3]}"

    return re.sub(r"(<!-- (\w+):begin -->\n).*?(<!-- \2:end -->)", content, text, flags=re.DOTALL)
