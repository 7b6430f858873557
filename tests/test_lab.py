"""A figure in JupyterLab: a still picture until the notebook is trusted, and alive once its cell has run."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from browser import DESKTOP, browser  # noqa: F401
from nbformat.v4 import new_code_cell, new_notebook, new_output

from spoco_lite.show.figures import click_a_leaf, recorded_scene

PATIENCE = 120  # seconds, on a busy computer
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):  # noqa: F811
    """The address of a JupyterLab with a notebook ``figure.ipynb``, and with settings of its own."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    home = tmp_path_factory.mktemp("lab")
    (home / "notebooks").mkdir()
    figure = click_a_leaf([recorded_scene("plant", stages=[0, 2000])], caption="A plant.").data
    (home / "notebooks" / "figure.html").write_text(figure)
    shown = new_output("execute_result", {"text/html": figure, "text/plain": ""}, execution_count=1)
    source = 'from IPython.display import HTML\nHTML(open("figure.html").read())'
    notebook = new_notebook(cells=[new_code_cell(source, outputs=[shown], execution_count=1)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, home / "notebooks" / "figure.ipynb")
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"  # no question whether it may fetch news
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    own = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    own |= {f"JUPYTERLAB_{kind}_DIR": str(home / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=")
    options += (f"--ServerApp.root_dir={home / 'notebooks'}", "--LabServerApp.extension_manager=readonly")
    log = (home / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options], env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
    )
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, (home / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def test_a_figure_in_jupyterlab(browser, lab):  # noqa: F811
    context = browser.new_context(**DESKTOP)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    wrong, asked = [], set()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.add(request.url))
    page.goto(f"{lab}/lab/tree/figure.ipynb?reset")
    still = page.locator(".jp-OutputArea-output figure img")
    still.wait_for()
    assert still.evaluate("picture => picture.complete && picture.naturalWidth > 300")
    assert page.locator(".jp-OutputArea-output script, .jp-OutputArea-output canvas").count() == 0  # not trusted yet
    page.get_by_text("| Idle").wait_for()
    page.locator(".jp-InputArea-editor").first.click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".spoco-figure[data-ready]")
    canvas = page.locator(".spoco-figure canvas").first
    before = page.locator(".spoco-say").inner_text()
    canvas.click(position={"x": 10, "y": 10})
    page.wait_for_function("before => document.querySelector('.spoco-say').innerText !== before", arg=before)
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith((lab, "data:", "blob:"))] == []
