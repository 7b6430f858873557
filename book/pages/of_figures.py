"""Figures that answer in the browser, for pages that are no notebooks."""

from pathlib import Path

from spoco_lite.show.figures import click_a_leaf, recorded_scene

CAPTION = (
    "Click or touch any pixel, or move with the arrow keys and press Enter. The plant is a drawn one, the nuclei are "
    "real (BBBC038, CC0); no training saw either. A fifth of the objects were labelled, in our recipe; f learns, g is "
    "its slow average."
)


def click(data: Path) -> str:
    """*Click a leaf*, as raw HTML."""
    figure = click_a_leaf([recorded_scene("plant"), recorded_scene("nuclei")], caption=CAPTION)
    return f"``````{{raw}} html\n{figure.data}\n``````"


MAKERS = (click,)
