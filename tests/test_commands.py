"""Every command that a page or the README shows is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from spoco_lite.__main__ import COMMANDS, main, make_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]
SHOWN = [
    pytest.param(words, id=f"{page.name}: {words[:60]}")
    for page in PAGES
    for words in re.findall(r"-m spoco_lite ([^`#]*?)(?:\s*#.*)?$", page.read_text().replace("\\\n", " "), re.MULTILINE)
]


def test_pages_show_all_commands():
    shown = {words.values[0].split()[0] for words in SHOWN}
    assert set(COMMANDS) <= shown


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_on_a_page_can_be_given(words):
    assert make_parser().parse_args(shlex.split(words)).command in COMMANDS


def test_an_option_that_does_not_exist_is_refused(capsys):
    """The test above can fail."""
    with pytest.raises(SystemExit):
        make_parser().parse_args(["train", "runs/a", "--epochs", "3"])
    assert "--epochs" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert command in capsys.readouterr().out
