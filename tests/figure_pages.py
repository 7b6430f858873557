"""What the tests of the figures share: the figures and their pages, and hands that ask, wait and drag."""

import figure_examples as examples
import numpy as np
import pytest
from browser import DARK, DESKTOP, PHONE, browser, opened  # noqa: F401


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
