"""The figures that answer in the browser: what Python puts into them, and what they do in a real browser.

The scripts are run by the browser itself, and their numbers compared with those of the module.
"""

import html
import re

import figure_examples as examples
import numpy as np
import pytest
import torch
from browser import DARK, DESKTOP, PHONE, browser, opened  # noqa: F401
from figure_examples import CELLS, FRAMES, PLANTS, SPENT, toy

from spoco_lite import losses
from spoco_lite.clustering import WHOLE_IMAGE, consistency_clustering, mean_shift
from spoco_lite.data.annotation import plan_annotation
from spoco_lite.metrics import symmetric_best_dice
from spoco_lite.selection import GaussianKernel, soft_masks
from spoco_lite.show.figures import click_a_leaf, paint_the_budget, push_it_around, recorded_scene
from spoco_lite.show.figures.budget import minutes_of
from spoco_lite.show.figures.click import ERROR
from spoco_lite.show.figures.html import MAX_BYTES, scripts
from spoco_lite.show.figures.packing import pack, pack_embedding, unpack

DELTA_VAR, DELTA_DIST, THRESHOLD = 0.5, 2.0, 0.5
SCRIPT_BYTES = 60_000
FIGURES = tuple(FRAMES)


@pytest.fixture(scope="module")
def plant():
    return examples.plant()


@pytest.fixture(scope="module")
def made():
    return examples.made()


@pytest.fixture(scope="module")
def page_of(made, tmp_path_factory):
    """The file of a page that shows one figure."""
    folder = tmp_path_factory.mktemp("figures")

    def write(name):
        path = folder / f"{name}.html"
        examples.write_page(path, name, made[name].data)
        return path

    return write


def alive(page):
    page.wait_for_selector(".spoco-figure[data-ready]")
    return page


def ask(page, expression, argument=None):
    """What a function of the figure, ``figure => ...``, gives."""
    call = f"argument => {{ const figure = document.querySelector('.spoco-figure').spoco; return {expression} }}"
    return page.evaluate(call, argument)


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


def test_size(made):
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


# --- click a leaf


def in_python(scene, stage, pixel, delta_var, threshold):
    """Distances (2, P) to a pixel in f and g, and the soft IoU of the two masks."""
    kernel = GaussianKernel(delta_var, threshold)
    distances, masks = [], []
    for emb in map(torch.from_numpy, scene.stages[stage]):
        anchor = emb.flatten(1)[:, pixel]
        distances.append((emb.flatten(1) - anchor[:, None]).double().norm(dim=0))
        masks.append(soft_masks(emb[None], anchor[None, None], kernel)[0, 0])
    return torch.stack(distances), (torch.minimum(*masks).sum() / torch.maximum(*masks).sum()).item()


COMPUTE = """(() => {
    figure.state.pixel = argument[0];
    figure.sliders.deltaVar.value = argument[1];
    const { squared, iou } = figure.compute();
    return { distances: squared.map((s) => [...s.map(Math.sqrt)]), iou };
})()"""


@pytest.mark.browser
def test_click_agrees_with_python(browser, page_of):  # noqa: F811
    scene = recorded_scene("plant")
    with opened(browser, page_of("click")) as page:
        alive(page)
        for k, stage in enumerate(scene.stages):
            page.get_by_label(stage, exact=True).check()
            for pixel in (64 * 20 + 32, 64 * 50 + 10):
                for delta_var in (0.5, 1.2):
                    found = ask(page, COMPUTE, [pixel, delta_var])
                    distances, iou = in_python(scene, stage, pixel, delta_var, THRESHOLD)
                    assert ask(page, "figure.state.stage") == k
                    assert (torch.tensor(found["distances"]) - distances).abs().max() < DELTA_VAR / 10
                    assert abs(found["iou"] - iou) < 0.05
        kernel = GaussianKernel(0.7, 0.3)
        for squared in (0.0, 0.01, 0.49, 3.0, 1000.0):
            assert ask(page, "figure.kernel(argument, 0.7, 0.3)", squared) == pytest.approx(
                kernel(torch.tensor(squared)).item(), rel=1e-4
            )


@pytest.mark.browser
@pytest.mark.parametrize("how", [DESKTOP, PHONE], ids=["mouse", "touch"])
def test_click_by_hand(browser, page_of, how):  # noqa: F811
    scene = recorded_scene("plant")
    rows, columns = scene.truth.shape
    row, column = np.argwhere(scene.truth == 3)[5]
    with opened(browser, page_of("click"), how) as page:
        canvas = alive(page).locator("canvas").first
        box = canvas.bounding_box()
        where = {"x": (column + 0.5) / columns * box["width"], "y": (row + 0.5) / rows * box["height"]}
        (canvas.tap if how is PHONE else canvas.click)(position=where)
        assert ask(page, "figure.state.pixel") == row * columns + column
        page.wait_for_function("document.querySelector('.spoco-say').innerText.includes('leaf 3')")
        if how is DESKTOP:
            canvas.hover(position={"x": 5, "y": 5})
            page.wait_for_function("/pointer: [0-9.]+ away in f/.test(document.querySelector('.spoco-live').innerText)")


@pytest.mark.browser
def test_click_by_keyboard(browser, page_of):  # noqa: F811
    with opened(browser, page_of("click")) as page:
        canvas = alive(page).locator("canvas").first
        before = ask(page, "figure.state.pixel")
        canvas.focus()
        for _ in range(3):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Enter")
        middle = 32 * 64 + 32
        assert ask(page, "figure.state.pixel") == middle + 3 * 64 - 5 != before
        page.locator("input[type=range]").first.focus()
        page.keyboard.press("ArrowRight")
        assert ask(page, "figure.sliders.deltaVar.value") == pytest.approx(DELTA_VAR + 0.05)
        page.get_by_label("nuclei").check()
        page.wait_for_function("document.querySelector('.spoco-say').innerText.includes('nucleus')")


# --- push it around


def terms_of(f, g, labels, anchors):
    """Values of the six terms and their gradients (P, 2), by the module."""
    f = torch.tensor(f).T[None, :, None].requires_grad_()  # (1, 2, 1, P)
    g, labels = torch.tensor(g).T[None, :, None], torch.tensor(labels)[None, None]
    masks = {"delta_var": DELTA_VAR, "kernel_threshold": THRESHOLD}
    where = torch.tensor([[[0, m] for m in anchors]])
    values = {
        "pull": losses.pull_loss(f, labels, delta_var=DELTA_VAR),
        "push": losses.push_loss(f, labels, delta_dist=DELTA_DIST),
        "regularizer": losses.regularizer_loss(f, labels),
        "instance": losses.instance_loss(f, labels, **masks),
        "unlabeled_push": losses.unlabeled_push_loss(f, labels, delta_dist=DELTA_DIST),
        "consistency": losses.consistency_loss(f, g, labels, anchors=where, **masks),
    }
    slopes = {name: torch.autograd.grad(value, f, retain_graph=True)[0][0, :, 0].T for name, value in values.items()}
    return {name: value.item() for name, value in values.items()}, slopes


TERMS = """(() => {
    const { value, gradient } = figure.terms(...argument);
    const plain = Object.entries(gradient).map(([name, slopes]) => [name, [...slopes]]);
    return { value, gradient: Object.fromEntries(plain) };
})()"""


@pytest.mark.browser
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_push_agrees_with_the_module(browser, page_of, background, scale):  # noqa: F811
    f, g, labels, truth = toy()
    if background:
        labels = np.where(truth == 0, 0, labels)
    f, g = (scale * values.reshape(2, -1).T for values in (f, g))
    labels = labels.ravel()
    anchors = np.flatnonzero(labels < 0)[::15].tolist()
    values, slopes = terms_of(f, g, labels, anchors)
    with opened(browser, page_of("push")) as page:
        alive(page)
        argument = [f.ravel().tolist(), g.ravel().tolist(), labels.tolist(), anchors]
        found = ask(page, TERMS, argument)
    for name, value in values.items():
        assert found["value"][name] == pytest.approx(value, abs=1e-4), name
        gradient = torch.tensor(found["gradient"][name]).view(-1, 2)
        assert (gradient - slopes[name]).abs().max() < 1e-4, name


@pytest.mark.browser
def test_push_prints_what_the_module_says(browser, page_of):  # noqa: F811
    f, g, labels, _ = toy()
    with opened(browser, page_of("push")) as page:
        alive(page)
        anchors = ask(page, "figure.state.anchors")
        shown = page.locator(".spoco-terms > span:nth-child(4n)").all_inner_texts()
    values, _ = terms_of(*(e.reshape(2, -1).T.round(4) for e in (f, g)), labels.ravel(), anchors)
    assert [float(text) for text in shown] == pytest.approx(list(values.values()), abs=1e-4)


@pytest.mark.browser
def test_push_descends(browser, page_of):  # noqa: F811
    with opened(browser, page_of("push")) as page:
        alive(page)
        for name in ("push", "instance", "consistency", "unlabelled push", "regulariser"):
            page.get_by_label(name, exact=True).uncheck()
        before = ask(page, "figure.value.pull")
        for _ in range(5):
            page.get_by_role("button", name="Step").click()
        page.wait_for_function("document.querySelector('.spoco-figure').spoco.value.pull < 0.9 * " + str(before))
        assert ask(page, "figure.state.steps") == 5
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('.spoco-figure').spoco.state.steps > 8")
        page.get_by_role("button", name="Pause").click()
        still = ask(page, "figure.state.steps")
        page.wait_for_timeout(300)
        assert ask(page, "figure.state.steps") == still
        page.get_by_role("button", name="Start again").click()
        assert ask(page, "figure.state.steps") == 0


@pytest.mark.browser
def test_points_can_be_dragged(browser, page_of):  # noqa: F811
    with opened(browser, page_of("push")) as page:
        alive(page)
        i = ask(page, "figure.state.chosen")
        x, y = ask(page, "figure.at(argument)", i)
        page.mouse.move(x, y)
        page.mouse.down()
        chosen = ask(page, "figure.state.chosen")
        before = ask(page, "[...figure.state.f.slice(2 * argument, 2 * argument + 2)]", chosen)
        page.mouse.move(x + 40, y - 30, steps=4)
        page.mouse.up()
        after = ask(page, "[...figure.state.f.slice(2 * argument, 2 * argument + 2)]", chosen)
        assert after[0] > before[0] + 0.3 and after[1] > before[1] + 0.2
        page.mouse.move(x, y)  # let go: it stays
        assert ask(page, "[...figure.state.f.slice(2 * argument, 2 * argument + 2)]", chosen) == after
        page.locator("canvas").first.focus()
        page.keyboard.press("PageDown")
        page.keyboard.press("ArrowUp")
        assert ask(page, "figure.state.chosen") == chosen + 1


@pytest.mark.browser
def test_push_is_touched(browser, page_of):  # noqa: F811
    with opened(browser, page_of("push"), PHONE) as page:
        alive(page).locator("canvas").first.scroll_into_view_if_needed()
        x, y = ask(page, "figure.at(200)")
        page.touchscreen.tap(x, y)
        chosen = ask(page, "figure.state.chosen")
        assert np.hypot(*np.subtract(ask(page, "figure.at(argument)", chosen), (x, y))) < 24


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


def drag(page, element, start, end, how):
    """From one place to another along the middle of an element, in shares of its width, by mouse or by finger."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    places = [(box["x"] + s * box["width"], box["y"] + box["height"] / 2) for s in np.linspace(start, end, 6)]
    if how is not PHONE:
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        return page.mouse.up()
    touch = page.context.new_cdp_session(page)
    for kind, place in [("touchStart", places[0]), *(("touchMove", place) for place in places[1:]), ("touchEnd", None)]:
        points = [] if place is None else [{"x": place[0], "y": place[1]}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


# --- thirty frames a second


@pytest.mark.browser
@pytest.mark.parametrize("name", FRAMES)
def test_thirty_frames_a_second(browser, page_of, name):  # noqa: F811
    with opened(browser, page_of(name)) as page:
        assert examples.seconds_of_a_frame(alive(page), name) < 1 / 30
