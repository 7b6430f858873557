"""The module's docstrings: every public function and class has an example that runs, and stands on book/api.md.

The doctests themselves run with the unit tests (``--doctest-modules``); here it is checked that they are there.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import spoco_lite

PAGE = (Path(__file__).parents[1] / "book" / "api.md").read_text(encoding="utf-8")

# What only other files of the module call; a reader meets it there. None: the whole file.
INNER = {
    "__main__": None,  # the command line, with its own --help
    "commands.data": None,
    "training.checkpoint": None,  # what the loop of training is made of
    "training.interrupts": None,
    "training.processes": None,
    "prediction.tile_labels": None,  # how the labels of tiles are joined
    "commands.check_folder": None,
    "commands.evaluate": None,
    "commands.predict": None,
    "commands.show": None,
    "commands.train": None,
    "commands.sweep": None,
    "data.fetch.sources": None,  # what fetching is made of
    "data.sets.scenery": None,  # what synthetic plants are drawn with
    "data.strokes": None,  # what annotation plans draw with
    "commands.export": None,
    "commands.export_labels": None,
    "commands.each": None,
    "commands.import_labels": None,
    "data.outlines": None,  # what `data import` reads
    "data.names": None,  # how label maps find their images
    "data.survey": None,  # what `data check` looks at, and what it advises
    "data.traps": None,
    "training.advice": None,
    "training.start": None,  # the weights it begins with
    "training.sound": None,  # what is said of a loss that is not finite
    "training.pictures": None,  # what a run draws of itself
    "show.progress": None,
    "data.sets.bbbc038": {"read_nuclei"},  # one sample of read()
    "data.sets.bbbc050": {"read_embryo"},
    "data.sets.cvppp": {"read_plant"},
    "data.sets.ovules": {"read_crop"},
    "data.sets.vnc": {"read_slab"},
    "data.folder": {"splits_of", "pairs_of", "empty_lists"},
    "data.fetch": {"target", "source", "advice", "changed", "unpack"},
    "augment": {
        "draw_windows",
        "look_through",
        "grid_of",
        "look_at_labels",
        "showing_objects",
        "colour",
        "microscopy",
    },
    "prediction.stream": {"blocks"},
    "unet": {"within"},
    "selection": {"mass_of", "draw_object_pixels", "embeddings_at", "pixel_numbers"},
    "sums.terms": None,  # how those of the loss are run together
    "losses": {"pull_term", "instance_term", "unlabeled_push_term"},
    "sums.regions": {"in_full", "lifted_distances", "membership", "full_precision", "check_batch", "consecutive"},
    "sums.points": None,  # what clusterers are made of
    "training.config": {"option"},
    "training.batches": {"Batch", "check_sample", "renumbered", "seed_of"},
    "training.material": {"Material"},
    "training.sweep": {"kept_score", "minutes"},
    "data.writing": None,
    "data.label_files": None,
    "data.voxels": None,  # what files say about the size of a pixel
    "data.formats": None,  # what reading files is made of
    "training.typed": None,
    "results.runs": {"provenance", "peak_memory_mb", "of_today"},
    "show.figures.html": None,  # what figures that answer are made of
    "show.figures.packing": None,
}
# On the page without an example of their own.
NO_EXAMPLE = {
    "the example of the function that returns it shows it": {
        "data.annotation": {"Cost", "Plan"},
        "training.diagnostics": {"Diagnostics"},
        "objective": {"LossTerms"},
        "metrics": {"Match", "Evaluation"},
        "sums.overlaps": {"Overlaps"},
        "sums.regions": {"Regions"},
        "show.figures.click": {"Scene"},
    },
    "needs data that have to be fetched, a network, or a training": {
        **{f"data.sets.{name}": {"read"} for name in ("bbbc038", "bbbc050", "cvppp", "ovules", "vnc")},
        "data.fetch": {"fetch"},
        "prediction.evaluate": {"evaluate_run", "draw_examples", "score_all"},
        "training.loop": {"train"},
    },
    "writes what ships, and takes a while": {"data.sets.rosettes": {"write"}, "data.sets.cells3d": {"write"}},
    "the example of read_array opens a file with it": {"data.files": {"open_array"}},
}


def public(module: str) -> dict:
    """Functions and classes that a file defines, without a leading underscore."""
    names = vars(importlib.import_module(f"spoco_lite.{module}"))
    return {
        name: value
        for name, value in names.items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == f"spoco_lite.{module}"
        and not name.startswith("_")
    }


MODULES = [
    info.name.removeprefix("spoco_lite.")
    for info in pkgutil.walk_packages(spoco_lite.__path__, "spoco_lite.")
    if INNER.get(info.name.removeprefix("spoco_lite."), ()) is not None
]
MODULES = [module for module in MODULES if public(module)]  # a room's own file only says what the room is for


def on_page(module: str) -> set[str]:
    """Names that the page's ``automodule`` block of a file shows."""
    block = re.search(rf"^\.\. automodule:: spoco_lite\.{re.escape(module)}\n((?: +:.*\n)*)", PAGE, re.MULTILINE)
    assert block, f"book/api.md has no block for spoco_lite.{module}"
    members = re.search(r":members:(.*)", block[1])[1].replace(",", " ").split()
    return set(members) or set(public(module))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_the_page(module):
    assert on_page(module) == set(public(module)) - INNER.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_an_example(module):
    without = {name for name in on_page(module) if ">>> " not in (public(module)[name].__doc__ or "")}
    assert without == set().union(*(names.get(module, set()) for names in NO_EXAMPLE.values()))


def test_exceptions_name_what_exists():
    for listed in (INNER, *NO_EXAMPLE.values()):
        for module, names in listed.items():
            assert (names or set()) <= set(public(module)), f"{module}: of these, some are gone: {names}"


def test_the_page_begins_with_every_name_that_a_user_imports():
    by_task = PAGE.split("## By task")[1].split("\n## ")[0]
    links = dict(re.findall(r"`(\w+) <spoco_lite\.([\w.]+)>`", by_task))
    assert set(links) == set(dir(spoco_lite))
    for name, place in links.items():
        assert getattr(spoco_lite, name).__module__ + f".{name}" == f"spoco_lite.{place}"
