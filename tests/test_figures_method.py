"""Click a leaf, push it around: the figures of the method, in a real browser, beside the module."""

import numpy as np
import pytest
import torch
from browser import DESKTOP, PHONE, browser, opened  # noqa: F401
from figure_examples import toy
from figure_pages import alive, ask, made, page_of, plant  # noqa: F401

from spoco_lite import losses
from spoco_lite.selection import GaussianKernel, soft_masks
from spoco_lite.show.figures import recorded_scene

DELTA_VAR, DELTA_DIST, THRESHOLD = 0.5, 2.0, 0.5


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
