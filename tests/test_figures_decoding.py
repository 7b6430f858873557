"""Climb, accept or reject, paint the budget, slices: in a real browser, beside the module."""

import numpy as np
import pytest
import torch
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401
from figure_examples import CELLS, PLANTS
from figure_pages import alive, ask, drag, made, page_of, plant  # noqa: F401

from spoco_lite.clustering import WHOLE_IMAGE, consistency_clustering, mean_shift
from spoco_lite.data.annotation import plan_annotation
from spoco_lite.metrics import symmetric_best_dice
from spoco_lite.show.figures.budget import minutes_of
from spoco_lite.show.figures.packing import pack, unpack

# --- climb


@pytest.mark.browser
def test_climb_agrees_with_python(browser, page_of, plant):  # noqa: F811
    scene, _, g, _ = plant
    exact = g[:2, torch.from_numpy(scene.truth > 0)]
    points = torch.from_numpy(unpack(pack(exact, error=0.01))).T.double()  # (P, 2), as they travel
    assert (points.T - exact).abs().max() < 0.011
    with opened(browser, page_of("climb")) as page:
        alive(page)
        for bandwidth in (0.5, 1.0):
            seeds = ask(page, "(figure.bandwidth.value = argument, figure.reset(), [...figure.state.seeds])", bandwidth)
            moved = ask(page, "(figure.advance(), [...figure.state.seeds])")
            squared = (torch.tensor(seeds).double().view(-1, 1, 2) - points).square().sum(-1)
            near = (squared <= bandwidth**2).double()
            expected = near @ points / near.sum(1, keepdim=True)
            assert (torch.tensor(moved).view(-1, 2) - expected).abs().max() < 1e-4
        ask(page, "figure.finish()")
        member = torch.tensor(ask(page, "[...figure.state.member]"))
        module = mean_shift(points)
    agreed = symmetric_best_dice(module.numpy() + 1, member.numpy() + 1)
    assert agreed > 0.9, agreed


@pytest.mark.browser
def test_climb_by_hand(browser, page_of):  # noqa: F811
    with opened(browser, page_of("climb")) as page:
        alive(page).get_by_role("button", name="Climb").click()
        page.wait_for_function("document.querySelector('.spoco-figure').spoco.state.still")
        found = ask(page, "figure.state.modes.length")
        assert 6 <= found <= 12
        page.get_by_role("slider", name="bandwidth").focus()
        for _ in range(8):
            page.keyboard.press("PageUp")
        page.wait_for_function(f"document.querySelector('.spoco-figure').spoco.state.modes.length < {found}")
        page.get_by_label("colour by true object").check()
        page.get_by_role("button", name="Start again").click()
        assert ask(page, "figure.state.steps") == 0


# --- accept or reject


@pytest.mark.browser
def test_accept_agrees_with_the_module(browser, page_of, plant):  # noqa: F811
    scene, f, g, candidates = plant
    with opened(browser, page_of("accept")) as page:
        alive(page)
        medians = np.array(ask(page, "figure.medians"))
        for threshold in (0.4, 0.6, 0.8):
            kept, sbd = (ask(page, f"figure.score(argument).{name}", threshold) for name in ("kept", "sbd"))
            labels = np.where(np.isin(candidates, kept), candidates, 0)
            assert symmetric_best_dice(scene.truth, labels) == pytest.approx(sbd, abs=1e-6)
            module = consistency_clustering(
                f, g, cluster=WHOLE_IMAGE, background="none", iou_threshold=threshold
            ).numpy()
            different = np.unique(candidates.numpy()[(labels > 0) != (module > 0)])
            assert (np.abs(medians[different - 1] - threshold) < 0.03).all()  # only on the edge


@pytest.mark.browser
def test_accept_by_hand(browser, page_of):  # noqa: F811
    with opened(browser, page_of("accept"), PHONE) as page:
        before = ask(alive(page), "figure.candidate.value")
        page.get_by_role("button", name="Next").tap()
        assert ask(page, "figure.candidate.value") == before + 1
        page.get_by_role("slider", name="threshold").focus()
        page.keyboard.press("End")
        page.wait_for_function("/ 0 are kept/.test(document.querySelector('.spoco-say').innerText)")
        page.keyboard.press("Home")
        page.wait_for_function("/accepted at 0.00/.test(document.querySelector('.spoco-say').innerText)")


# --- paint the budget


PLAN = """(() => {
    [figure.images.value, figure.each.value, figure.ground.value] = argument;
    return figure.plan();
})()"""


@pytest.mark.browser
def test_budget_agrees_with_the_plans(browser, page_of):  # noqa: F811
    with opened(browser, page_of("budget")) as page:
        alive(page)
        for each in (1, 2, 5, 16):
            plan = plan_annotation(PLANTS, number=each)
            found = ask(page, PLAN, [12, each, 0])
            assert (found["way"], found["outlines"]) == ("objects", plan.annotated_objects)
            assert found["minutes"] == pytest.approx(minutes_of(12, plan.annotated_objects, False, (5, 25, 10)))
        for images in (1, 5, 12):
            plan = plan_annotation(PLANTS, "images", fraction=images / 12)
            found = ask(page, PLAN, [images, 16, 2])
            assert (found["way"], found["outlines"]) == ("images", plan.annotated_objects)
        found = ask(page, PLAN, [12, 2, 1])
        assert found["way"] == "strokes"
        assert found["minutes"] == pytest.approx(minutes_of(12, found["outlines"], True, (5, 25, 10)))
        assert ask(page, PLAN, [5, 2, 0])["way"] is None  # no record is like that


@pytest.mark.browser
def test_budget_interpolates_only_inside(browser, page_of):  # noqa: F811
    with opened(browser, page_of("budget")) as page:
        alive(page)
        for outlines in (14, 15, 30, 60):
            expected = np.interp(np.log(outlines), np.log([14, 60]), [0.5, 0.7])
            assert ask(page, "figure.between('objects', argument).score", outlines) == pytest.approx(expected)
        for way, outlines in (("objects", 13), ("objects", 61), ("strokes", 23), ("images", 301), ("images", 19)):
            assert ask(page, "figure.between(...argument)", [way, outlines]) is None
        assert ask(page, "figure.between('strokes', 24).score") == pytest.approx(0.6)


@pytest.mark.browser
@pytest.mark.parametrize("how", [DESKTOP, PHONE], ids=["mouse", "touch"])
def test_budget_by_hand(browser, page_of, how):  # noqa: F811
    def says(page, words):
        page.wait_for_function("words => document.querySelector('.spoco-say').innerText.includes(words)", arg=words)

    most = max(int(sample.labels.max()) for sample in PLANTS)
    with opened(browser, page_of("budget"), how) as page:
        says(alive(page), "24 outlines in 12 images, 11 minutes. Interpolated between few (14 outlines) and more (60)")
        page.get_by_label("all of it").check()
        assert ask(page, "figure.each.value") == most  # a background is whole when all objects are outlined
        says(page, "Interpolated between a few in full (20 outlines) and everything (300)")
        page.get_by_role("slider", name="outlines in each").focus()
        page.keyboard.press("ArrowLeft")
        assert page.get_by_label("nothing").is_checked()
        slider = page.get_by_role("slider", name="images with labels")
        box = slider.bounding_box()
        press = page.touchscreen.tap if how is PHONE else page.mouse.click
        press(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert 3 < ask(page, "figure.images.value") < 10
        says(page, "Not measured: no record has labels in some of the images, unless in full.")
        page.get_by_role("slider", name="look at record").focus()
        page.keyboard.press("End")
        says(page, "Record everything: 300 outlines in 12 images, 126 minutes, SBD 0.80 (1 seed)")


# --- slices


@pytest.mark.browser
def test_slices_by_hand(browser, page_of):  # noqa: F811
    with opened(browser, page_of("slices")) as page:
        group = alive(page).get_by_role("group", name="Slices of a volume")
        group.focus()
        for key, expected in (
            ("Home", 0),
            ("ArrowUp", 1),
            ("ArrowDown", 0),
            ("PageUp", 5),
            ("End", len(CELLS.labels) - 1),
        ):
            page.keyboard.press(key)
            assert ask(page, "figure.slice.value") == expected
        for z in (0, 7, len(CELLS.labels) // 2):
            ask(page, "figure.go(argument)", z)
            assert ask(page, "figure.objects()") == len(np.unique(CELLS.labels[z][CELLS.labels[z] > 0]))
        page.get_by_role("slider", name="slice").focus()
        page.keyboard.press("ArrowRight")
        assert ask(page, "figure.slice.value") == len(CELLS.labels) // 2 + 1
        page.wait_for_function(
            "/Slice [0-9]+ of [0-9]+, [0-9.]+ .m deep/.test(document.querySelector('.spoco-say').innerText)"
        )


@pytest.mark.browser
@pytest.mark.parametrize("how", [DESKTOP, PHONE], ids=["mouse", "touch"])
def test_slices_are_dragged(browser, page_of, how):  # noqa: F811
    """The slider, and the picture itself: to the side, which turns the slices; a finger up or down scrolls the page."""
    with opened(browser, page_of("slices"), how) as page:
        slider = alive(page).get_by_role("slider", name="slice")
        drag(page, slider, 0.5, 0.95, how)
        last = ask(page, "figure.slice.value")
        assert last >= 0.85 * (len(CELLS.labels) - 1)
        picture = page.locator("canvas").first
        drag(page, picture, 0.9, 0.4, how)
        moved = ask(page, "figure.slice.value")
        expected = last - round(0.5 * picture.bounding_box()["width"] / 8)
        assert abs(moved - max(0, expected)) <= 1
        page.wait_for_function(
            "z => document.querySelector('.spoco-say').innerText.startsWith(`Slice ${z} of`)", arg=moved
        )
        assert picture.get_attribute("aria-label") == f"image, slice {moved} of {len(CELLS.labels) - 1}"
