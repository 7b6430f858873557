"""A real browser for the tests: Chromium, driven by Playwright. Without one, tests that ask for it skip themselves."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"viewport": {"width": 1000, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
DARK = DESKTOP | {"color_scheme": "dark"}


@contextlib.contextmanager
def chromium() -> Iterator:
    """A running browser. FileNotFoundError if Playwright or Chromium is not installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise FileNotFoundError(
            f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)"
        )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise FileNotFoundError("no browser: playwright is not installed (pip install playwright)") from error
    with sync_playwright() as p:
        running = p.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def browser():
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(chromium())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield running


@contextlib.contextmanager
def opened(browser, path: Path, how: dict = DESKTOP, **more) -> Iterator:
    """A file as a page. When it is left, nothing may have gone wrong on it, and no request may have left it."""
    context = browser.new_context(**how, **more)
    context.set_default_timeout(60_000)
    page = context.new_page()
    wrong, asked = [], []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
