"""Figures that answer in the browser, without a kernel: each function takes arrays and returns HTML.

The HTML holds all it needs: the data, the script from ``book/_static/figures/``, and a still picture that stands in
where scripts do not run. It is the same in the book, in JupyterLab and on Colab.
"""

from .accept import accept_or_reject
from .budget import paint_the_budget
from .click import Scene, click_a_leaf, recorded_scene
from .climb import climb
from .push import push_it_around
from .slices import slices

__all__ = [
    "Scene",
    "accept_or_reject",
    "click_a_leaf",
    "climb",
    "paint_the_budget",
    "push_it_around",
    "recorded_scene",
    "slices",
]
