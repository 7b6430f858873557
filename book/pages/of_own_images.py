"""What a few labelled objects reach, on the pages about one's own images; from data/own_images."""

from pathlib import Path

import numpy as np
import pandas as pd
from tables import markdown

from spoco_lite.results.bench import best_of, sparse_path, sparse_table


def _table(images: str, data: Path) -> str:
    header, *rows = sparse_table(images, data)
    return markdown(pd.DataFrame(rows, columns=header))


def sparse_cells(data: Path) -> str:
    return _table("cells", data)


def sparse_nuclei(data: Path) -> str:
    return _table("nuclei", data)


def sparse_start(data: Path) -> str:
    """What the weights of another run are worth, in a sentence."""
    found = sparse_path("cells", data)
    start = next(start for start, _ in found if start)
    as_it_is = np.mean([entry["symmetric_best_dice"] for entry in found[start, 0]])
    (nothing, minutes), (best, along) = best_of("cells", None, data), best_of("cells", start, data)
    return (
        f"On drawn cells, ten labelled in each of eight images, the best recorded training from nothing reaches an SBD "
        f"of {nothing:.2f} in {minutes:.1f} minutes of one core. `{start}`, which is about nuclei, has {as_it_is:.2f} "
        f"before any training, and {best:.2f} after {along:.1f} minutes on those labels."
    )


MAKERS = [sparse_cells, sparse_nuclei, sparse_start]
