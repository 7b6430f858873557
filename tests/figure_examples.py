"""One of each figure that answers in the browser, for tests and the benchmark: the figure, its page, and its speed."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from IPython.display import HTML

from spoco_lite.clustering import WHOLE_IMAGE, segment
from spoco_lite.data.sets.cells3d import make_cells
from spoco_lite.data.sets.rosettes import make_rosette
from spoco_lite.results.budget import Spent
from spoco_lite.show.figures import (
    accept_or_reject,
    click_a_leaf,
    climb,
    paint_the_budget,
    push_it_around,
    recorded_scene,
    slices,
)

CELLS = make_cells(0)
PLANTS = [make_rosette(seed, size=32) for seed in range(12)]
SPENT = [
    Spent("more", "objects", 12, 60, (0.7,)),
    Spent("few", "objects", 12, 14, (0.4, 0.6)),
    Spent("some with strokes", "strokes", 12, 24, (0.6,)),
    Spent("a few in full", "images", 2, 20, (0.5, 0.6)),
    Spent("everything", "images", 12, 300, (0.8,)),
    Spent("a long run", "objects", 14, 30, (0.75,), long=True),
]


def toy() -> tuple[np.ndarray, ...]:
    """Of chapter 2: embeddings (2, Y, X) by f and g, labels and truth (Y, X)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :20]
    truth = np.zeros((12, 20), dtype=np.int64)
    for k, (cy, cx) in enumerate([(3.5, 3.5), (7.5, 9.5), (3.5, 15.5)], start=1):
        truth[((y - cy) / 3) ** 2 + ((x - cx) / 3.4) ** 2 <= 1] = k
    centres = np.array([[0.2, -0.4], [-1.1, 0.6], [0.9, 0.9], [1.6, -1.0]])[truth]
    f, g = (np.moveaxis(centres + rng.normal(0, spread, (12, 20, 2)), -1, 0) for spread in (0.55, 0.2))
    return f, g, np.where(np.isin(truth, (1, 2)), truth, -1), truth


@cache
def plant() -> tuple:
    """The recorded plant: its scene, its embeddings by f and g at the end (E, Y, X), and the candidates of f (Y, X)."""
    scene = recorded_scene("plant")
    f, g = map(torch.from_numpy, scene.stages["2000 steps"])
    return scene, f, g, segment(f, cluster=WHOLE_IMAGE, background="none")


def made() -> dict[str, HTML]:
    """Each figure, by the name of its script."""
    scene, _, g, candidates = plant()
    volume = np.indices(CELLS.labels.shape) / 10.0
    return {
        "click": click_a_leaf([scene, recorded_scene("nuclei")], caption="A plant."),
        "push": push_it_around(*toy(), caption="A toy."),
        "climb": climb(g, scene.image, scene.truth, scene.truth > 0, caption="Seeds."),
        "accept": accept_or_reject(candidates, g, scene.image, scene.truth, caption="Candidates."),
        "budget": paint_the_budget(PLANTS, SPENT, columns=4, caption="Plants."),
        "slices": slices(CELLS.image, CELLS.labels, volume, spacing=1.75, caption="A volume."),
    }


def write_page(path: Path, title: str, body: str) -> None:
    """A page with nothing else on it, in the colours that the browser likes."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    style = ":root { color-scheme: light dark } body { margin: 1rem; font-family: sans-serif }"
    head += f"<title>{title}</title><style>{style}</style>"
    body = f"<main><h1>{title}</h1>{body}</main>"
    path.write_text(f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>')


FRAMES = {  # what changes from one frame to the next
    "click": "figure.state.pixel = (figure.state.pixel + 67) % 4096",
    "push": "figure.descend()",
    "climb": "figure.state.still ? figure.reset() : figure.advance()",
    "accept": "figure.candidate.value = 1 + (figure.candidate.value % figure.medians.length)",
    "budget": "figure.each.value = 1 + (figure.each.value % 12)",
    "slices": "figure.go((figure.slice.value + 1) % 20)",
}


def seconds_of_a_frame(page, name: str, *, frames: int = 40) -> float:
    """The processor time of a page for one drawing of its figure, which other programs do not lengthen much."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        return {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}["TaskDuration"]

    start = spent()
    page.evaluate(
        """([frames, change]) => new Promise((done) => {
            const figure = document.querySelector('.spoco-figure').spoco, next = new Function('figure', change);
            const frame = () => {
                if (!frames--) return done();
                next(figure); figure.draw(); requestAnimationFrame(frame);
            };
            requestAnimationFrame(frame);
        })""",
        [frames, FRAMES[name]],
    )
    return (spent() - start) / frames
