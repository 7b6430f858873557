"""Click a leaf: the soft mask of any pixel, in f and in g, at several moments of a training."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure

from ...data.paths import shipped
from ...selection import GaussianKernel
from ..plot import PALETTE, _array, _picture, label_colours
from .html import build, data_url
from .packing import pack, pack_embedding


class Scene(NamedTuple):
    """An image, and what networks make of it."""

    title: str  # of the image, such as "a plant"
    image: Any  # (C, Y', X') in [0, 1]; may be larger than the embeddings
    truth: Any  # (Y, X) int: 0 background, 1..K objects, for the colours and the words
    stages: Mapping[str, tuple[Any, Any]]  # what a moment is called -> embeddings (E, Y, X) by f and by g
    start: tuple[int, int]  # row and column of the pixel that is clicked first
    thing: str = "leaf"  # what an object is called
    ground: str = "soil"  # what lies between objects


ERROR = 0.08
WORDS = {"plant": ("a plant", "leaf", "soil"), "nuclei": ("nuclei", "nucleus", "background")}


def recorded_scene(name: str, *, stages: Sequence[int] | None = None) -> Scene:
    """A scene that ships with the project, "plant" or "nuclei", of a training by ``book/make_figures.py``.

    ``stages`` are some of its steps; by default all that were kept.

    >>> list(recorded_scene("plant", stages=[0, 2000]).stages)
    ['0 steps', '2000 steps']
    """
    with np.load(shipped() / "figures" / f"{name}.npz") as kept:
        steps = sorted(int(key[1:]) for key in kept if key[0] == "f" and key[1:].isdigit())
        emb = {s: tuple(kept[f"{net}{s}"].astype(np.float32) for net in "fg") for s in stages or steps}
        image, truth = kept["image"].astype(np.float32) / 255, kept["truth"].astype(np.int64)
    title, thing, ground = WORDS[name]
    places = np.argwhere(truth == np.bincount(truth[truth > 0]).argmax())  # of the largest object
    row, column = places[np.linalg.norm(places - places.mean(0), axis=1).argmin()].tolist()
    return Scene(title, image, truth, {f"{s} steps": emb[s] for s in emb}, (row, column), thing, ground)


def click_a_leaf(scenes: Sequence[Scene], *, delta_var: float = 0.5, threshold: float = 0.5, caption: str = "") -> HTML:
    """A figure: click a pixel, and see which others it selects in f and in g.

    Each pixel travels to within ``ERROR * delta_var`` of its embedding, so that distances are off by less than a tenth
    of ``delta_var``. ValueError if a shape does not fit, or if the figure gets too large.

    >>> emb = np.random.default_rng(0).normal(size=(4, 8, 8))
    >>> scene = Scene("noise", np.zeros((3, 16, 16)), np.eye(8, dtype=int), {"at the end": (emb, emb)}, (3, 3))
    >>> "spoco-figure" in click_a_leaf([scene]).data
    True
    """
    return build(
        "click",
        {
            "scenes": [_content(scene, ERROR * delta_var) for scene in scenes],
            "deltaVar": delta_var,
            "threshold": threshold,
        },
        still=_still(scenes[0], GaussianKernel(delta_var, threshold)),
        alt=f"{scenes[0].title}, the soft masks of one of its pixels in f and in g, and the kernel's curve with a dot "
        "for every pixel.",
        caption=caption,
    )


def _content(scene: Scene, error: float) -> dict:
    truth = _array(scene.truth)
    stages = []
    for name, pair in scene.stages.items():
        for emb in map(_array, pair):
            if emb.ndim != 3 or emb.shape[1:] != truth.shape:
                raise ValueError(f"stages[{name!r}]: expected (E, {truth.shape}), found shape {emb.shape}")
        stages.append([name, *(pack_embedding(_array(emb), error=error) for emb in pair)])
    row, column = scene.start
    return {
        "title": scene.title,
        "thing": scene.thing,
        "ground": scene.ground,
        "image": data_url(_picture(scene.image)),
        "truth": pack(truth, error=0.5),
        "stages": stages,
        "start": row * truth.shape[1] + column,
    }


def _still(scene: Scene, kernel: GaussianKernel) -> Figure:
    """The figure as it starts, drawn once."""
    truth, picture = _array(scene.truth), _picture(scene.image)
    row, column = scene.start
    figure = Figure(figsize=(9, 3.1), layout="constrained")
    *pictures, curve = figure.subplots(1, 3)
    extent = (-0.5, truth.shape[1] - 0.5, truth.shape[0] - 0.5, -0.5)
    colour = label_colours(np.array([[max(1, truth[row, column])]]))[0, 0]
    for ax, name, emb in zip(pictures, "fg", list(scene.stages.values())[-1]):
        emb = torch.as_tensor(_array(emb), dtype=torch.float32)
        squared = (emb - emb[:, row, column, None, None]).square().sum(0)
        mask = kernel(squared).numpy()
        veil = np.concatenate([mask[..., None] * colour, (0.5 + 0.2 * mask)[..., None]], -1)
        ax.imshow(picture, extent=extent)
        ax.imshow(veil, interpolation="bilinear")
        ax.plot(column, row, "o", mfc="none", mec="white", ms=8, mew=2)
        ax.set(xticks=[], yticks=[], title=f"soft mask in {name}")
        if name == "f":
            distance = np.linspace(0, 4, 201)
            curve.plot(distance, kernel(torch.from_numpy(distance**2)), color="#444444")
            shown = squared.sqrt().clamp_max(4)
            for objects, size in ((truth == 0, 4), (truth > 0, 12)):
                colours = ["#8a8f98" if k == 0 else PALETTE[(k - 1) % len(PALETTE)] for k in truth[objects]]
                curve.scatter(shown[objects], kernel(shown[objects] ** 2), s=size, c=colours, linewidth=0)
    curve.set(xlabel="distance to the clicked pixel", ylabel="membership", title="membership of every pixel, in f")
    curve.spines[["top", "right"]].set_visible(False)
    return figure
