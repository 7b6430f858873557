"""Which label map belongs to which image: the same name, or that name with what tools append to it."""

from collections.abc import Collection
from pathlib import Path

APPENDED = "_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg", "_segmentation", "-labels", "-mask", "-masks"


def by_image(files: dict[str, Path], images: Collection[str]) -> dict[str, Path]:
    """Label files by the name of their image; those of no image keep their own name.

    ValueError if an image has two.

    >>> sorted(by_image({"a_cp_masks": Path("a_cp_masks.tif"), "b": Path("b.png")}, ["a", "b"]))
    ['a', 'b']
    """
    found: dict[str, Path] = {}
    for name, path in files.items():
        shorter = (name.removesuffix(end) for end in APPENDED if name.endswith(end))
        image = name if name in images else next((one for one in shorter if one in images), name)
        if image in found:
            raise ValueError(f"{path}: belongs to {image}, and so does {found[image]}; move one of the two away")
        found[image] = path
    return found
