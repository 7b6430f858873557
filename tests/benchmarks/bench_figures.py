"""The figures that answer in the browser: what one drawing of each takes, in Chromium."""

import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import browser
import figure_examples as examples

from spoco_lite.data.sets.rosettes import make_rosette
from spoco_lite.results.budget import Spent
from spoco_lite.show.figures import paint_the_budget

TITLES = {
    "click": "Click a leaf",
    "push": "Push it around",
    "climb": "Climb",
    "accept": "Accept or reject",
    "budget": "Paint the budget",
    "slices": "Slices",
}


def figures() -> list[dict]:
    """Processor time of a frame; thirty frames a second leave 33 ms for each."""
    plants = [make_rosette(seed, size=48) for seed in range(72)]  # as in chapter 6
    made = examples.made() | {"budget": paint_the_budget(plants, [Spent("a", "objects", 72, 134, (0.7,))])}
    rows = []
    with browser.chromium() as running, tempfile.TemporaryDirectory() as folder:
        for name, figure in made.items():
            path = Path(folder) / f"{name}.html"
            examples.write_page(path, name, figure.data)
            with browser.opened(running, path) as page:
                page.wait_for_selector(".spoco-figure[data-ready]")
                rows.append({"what": TITLES[name], "seconds": examples.seconds_of_a_frame(page, name)})
    return rows
