"""The figures that answer in the browser: what Python puts into them, and what holds for each of them."""

import html
import re

import figure_examples as examples
import numpy as np
import pytest
import torch
from browser import DARK, PHONE, browser, opened  # noqa: F401
from figure_examples import FRAMES, PLANTS, SPENT, toy
from figure_pages import alive, made, page_of, plant  # noqa: F401

from spoco_lite.show.figures import click_a_leaf, paint_the_budget, push_it_around, recorded_scene
from spoco_lite.show.figures.click import ERROR
from spoco_lite.show.figures.html import MAX_BYTES, scripts
from spoco_lite.show.figures.packing import pack, pack_embedding, unpack

DELTA_VAR = 0.5
SCRIPT_BYTES = 60_000
FIGURES = tuple(FRAMES)


# --- what Python puts in


def test_packing_keeps_its_promise():
    rng = np.random.default_rng(0)
    for shape, error in (((3, 7, 9), 0.01), ((5,), 0.3), ((2, 64), 1e-3)):
        values = 4 * rng.normal(size=shape)
        assert np.abs(unpack(pack(values, error=error)) - values).max() <= error * 1.001
    whole = rng.integers(-1, 300, (40, 50))
    assert (unpack(pack(whole, error=0.5)) == whole).all()


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.array([1.0, np.nan]), np.array([0.0, 1e9])])
def test_packing_refuses(bad):
    with pytest.raises(ValueError, match="values:|error:"):
        pack(bad, error=0.01)


@pytest.mark.parametrize("name", ["plant", "nuclei"])
def test_distances_are_kept_to_a_tenth_of_delta_var(name):
    for emb in (e for pair in recorded_scene(name).stages.values() for e in pair):
        points = torch.from_numpy(emb).flatten(1).T
        sent = torch.from_numpy(unpack(pack_embedding(emb, error=ERROR * DELTA_VAR))).flatten(1).T
        some = torch.arange(0, len(points), 37)
        off = torch.cdist(sent[some].double(), sent.double()) - torch.cdist(points[some].double(), points.double())
        assert off.abs().max() < DELTA_VAR / 10


def test_size(made):  # noqa: F811
    assert sum(file.stat().st_size for file in scripts().iterdir()) < SCRIPT_BYTES
    assert all(len(figure.data) <= MAX_BYTES for figure in made.values())
    scene = recorded_scene("plant")
    noise = np.random.default_rng(0).normal(size=(16, 64, 64))
    with pytest.raises(ValueError, match="click: .* bytes, more than"):
        click_a_leaf([scene._replace(stages={str(k): (noise, noise) for k in range(5)})])


def test_the_scripts_load_nothing():
    for file in scripts().iterdir():
        assert not re.search(r"https?:|fetch\(|import\s|XMLHttp|eval\(", file.read_text()), file.name


def test_shapes_that_do_not_fit_are_refused():
    scene, (f, g, labels, truth) = recorded_scene("plant"), toy()
    with pytest.raises(ValueError, match="stages.*expected"):
        click_a_leaf([scene._replace(truth=scene.truth[:-1])])
    with pytest.raises(ValueError, match="expected emb_f and emb_g"):
        push_it_around(f, g[:, :-1], labels, truth)
    with pytest.raises(ValueError, match="samples: expected full rows of 5"):
        paint_the_budget(PLANTS, SPENT, columns=5)
    with pytest.raises(ValueError, match="spent: found .'more'.*give records of 8 images"):
        paint_the_budget(PLANTS[:8], SPENT[:1], columns=4)
    with pytest.raises(ValueError, match="spent: found nothing"):
        paint_the_budget(PLANTS, [], columns=4)


# --- every figure


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
def test_without_scripts_a_picture_stands_in(browser, page_of, name):  # noqa: F811
    with opened(browser, page_of(name), java_script_enabled=False) as page:
        picture = page.locator("figure img")
        assert picture.is_visible() and len(picture.get_attribute("alt").split()) > 5
        assert picture.bounding_box()["width"] > 300


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("how", [PHONE, DARK], ids=["phone", "dark"])
def test_it_fits_and_is_named(browser, page_of, name, how):  # noqa: F811
    with opened(browser, page_of(name), how) as page:
        alive(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= how["viewport"]["width"]
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('input, button, select, [tabindex], canvas')].filter((e) =>
                !(e.getAttribute('aria-label') || e.innerText || [...(e.labels || [])].some((l) => l.innerText.trim())))
                .map((e) => e.outerHTML)"""
        )
        assert nameless == []


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
def test_it_works_in_a_frame_that_may_do_nothing_but_run_scripts(browser, made, tmp_path, name):  # noqa: F811
    """As Colab shows what a cell returns: in a frame of an origin of its own."""
    path = tmp_path / "page.html"
    size = 'width="900" height="800"'
    frame = f'<iframe title="output" sandbox="allow-scripts" {size} srcdoc="{html.escape(made[name].data)}"></iframe>'
    path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>frame</title>{frame}</html>')
    with opened(browser, path) as page:
        inside = page.frame_locator("iframe")
        inside.locator(".spoco-figure[data-ready]").wait_for()
        before = inside.locator(".spoco-live").inner_text()
        slider = inside.get_by_role("slider").first
        slider.focus()
        slider.press("Home")
        slider.press("ArrowRight")
        assert inside.locator(".spoco-live").inner_text() != before


# --- thirty frames a second


@pytest.mark.browser
@pytest.mark.parametrize("name", FRAMES)
def test_thirty_frames_a_second(browser, page_of, name):  # noqa: F811
    with opened(browser, page_of(name)) as page:
        assert examples.seconds_of_a_frame(alive(page), name) < 1 / 30
