"""From data and a still picture to the HTML of a figure."""

import base64
import html
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image

from ..plot import PALETTE

MAX_BYTES = 400_000
_HERE = Path(__file__).resolve().parent


def scripts() -> Path:
    """The folder of the scripts: in a checkout below ``book/``, in an installed package beside this file.

    >>> (scripts() / "core.js").is_file()
    True
    """
    checkout = _HERE.parents[2] / "book" / "_static" / "figures"
    return checkout if checkout.is_dir() else _HERE / "scripts"


def build(name: str, data: Mapping[str, Any], *, still: Figure, alt: str, caption: str) -> HTML:
    """The figure ``name`` as HTML that needs nothing else: still picture, data, script.

    Parameters
    ----------
    name
        of the script ``name.js``.
    data
        what the script gets, as JSON can hold it; the colours of the objects are added.
    still
        stands in where scripts do not run.
    alt
        says the still picture in words.
    caption
        stands below; plain text.

    Raises
    ------
    ValueError
        the figure has more than ``MAX_BYTES``.
    """
    content = json.dumps({"palette": PALETTE, **data}, separators=(",", ":")).replace("</", "<\\/")
    code = "\n".join((scripts() / f"{file}.js").read_text() for file in ("core", "drawing", name))
    code = re.sub(r"^ +", "", code, flags=re.MULTILINE)  # a page needs no indentation
    picture = data_url(drawn(still), quality=60)
    text = (
        f'<figure class="spoco-figure" data-figure="{name}">'
        f'<img class="spoco-still" src="{picture}" alt="{html.escape(alt)}">'
        f"<figcaption>{html.escape(caption)}</figcaption>"
        f'<script type="application/json">{content}</script>'
        f"<script>{code}\nspoco.start();</script></figure>"
    )
    if len(text) > MAX_BYTES:
        raise ValueError(f"{name}: {len(text)} bytes, more than {MAX_BYTES}; give fewer or smaller arrays")
    return HTML(text)


def drawn(figure: Figure) -> np.ndarray:
    """The pixels (Y, X, 3) of a matplotlib figure, in [0, 1]."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=75, facecolor="white")
    return np.asarray(Image.open(file).convert("RGB")) / 255


def data_url(picture: Any, *, quality: int = 85) -> str:
    """Colours (Y, X, 3) in [0, 1], or grey values (Y, X), as a JPEG that an image element can show.

    >>> data_url(np.zeros((8, 8, 3)))[:23]
    'data:image/jpeg;base64,'
    """
    pixels = np.rint(np.asarray(picture, dtype=np.float64).clip(0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="jpeg", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
