"""Figures that answer in the browser, for pages that are no notebooks."""

from pathlib import Path

from IPython.display import HTML

from spoco_lite import data as sets
from spoco_lite.show.figures import click_a_leaf, recorded_scene, slices

CLICK = (
    "Click or touch any pixel, or move with the arrow keys and press Enter. The plant is a drawn one, the nuclei are "
    "real (BBBC038, CC0); no training saw either. A fifth of the objects were labelled, in our recipe; f learns, g is "
    "its slow average."
)
CELLS = (
    "A volume of the validation split, slice by slice: move the slider, drag a picture to the side, or use the arrow "
    "keys. A nucleus keeps its colour from slice to slice."
)


def raw(figure: HTML) -> str:
    return f"``````{{raw}} html\n{figure.data}\n``````"


def click(data: Path) -> str:
    """*Click a leaf*, on the welcome page."""
    return raw(click_a_leaf([recorded_scene("plant"), recorded_scene("nuclei")], caption=CLICK))


def cells(data: Path) -> str:
    """*Slices* of a drawn volume, on the page of the data sets."""
    sample = sets.load("cells3d", "val")[0]
    return raw(slices(sample.image, sample.labels, spacing=sample.voxel_size[0], caption=CELLS))


MAKERS = (click, cells)
