"""Downloads that break, and go on: a server on this computer truncates, stalls, and changes its file meanwhile."""

import contextlib

import http_server
import pytest
import requests

from spoco_lite.data.fetch.download import download

RAW = bytes(range(256)) * 3000  # 768,000 bytes


@pytest.fixture
def server():
    with http_server.running() as one:
        one.files["a.h5"] = RAW
        yield one


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Download the server's file; gives its bytes."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(timeout=5.0):
        download(f"{server.url}/a.h5", tmp_path / "a.h5", part=tmp_path / "a.h5.part", timeout=timeout)
        assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
        return (tmp_path / "a.h5").read_bytes()

    return run


def test_a_whole_file(get, server):
    assert get() == RAW
    assert server.ranges == [None]


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_transfer_that_breaks_goes_on_where_it_stopped(fault, get, server):
    server.faults = [fault, fault]
    assert get(timeout=0.6) == RAW
    # half of what is missing came each time, in blocks of 65,536 bytes
    assert server.ranges == [None, "bytes=327680-", "bytes=524288-"]


def test_an_end_that_nobody_complains_about_is_noticed(get, server, monkeypatch):
    whole = requests.Response.iter_content

    def quiet(response, size):
        with contextlib.suppress(requests.RequestException):
            yield from whole(response, size)

    monkeypatch.setattr(requests.Response, "iter_content", quiet)
    server.faults = ["cut"]
    assert get() == RAW
    server.faults = ["cut"] * 3
    with pytest.raises(ConnectionError, match="589824 of 768000 bytes"):
        get()


def test_after_three_breaks_it_stops_and_the_next_call_goes_on(get, server):
    server.faults = ["cut"] * 3
    with pytest.raises(ConnectionError, match="broke 3 times.*The 589824 bytes .* kept: run the same command"):
        get()
    assert get() == RAW
    assert server.ranges[3] == "bytes=589824-"


@pytest.mark.parametrize("fault", ["ignore-range", "shift"])
def test_a_server_that_does_not_continue_at_that_place_sends_it_all_again(fault, get, server):
    server.faults = ["cut", fault]
    assert get() == RAW


@pytest.mark.parametrize("tag", ['"v2"', None, 'W/"v2"'])
@pytest.mark.parametrize("size", [len(RAW), 1000])
def test_a_file_that_changed_meanwhile_is_not_glued_to_the_old_half(tag, size, get, server):
    server.faults = ["cut"] * 3
    with pytest.raises(ConnectionError):
        get()
    server.files["a.h5"], server.tag = RAW[::-1][:size], tag
    assert get() == RAW[::-1][:size]


def test_a_server_that_says_416_begins_anew(get, server):
    server.faults = ["cut", 416]
    assert get() == RAW
    assert server.ranges[1:] == ["bytes=327680-", None]


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
def test_without_a_reliable_tag_a_broken_transfer_begins_anew(tag, get, server):
    server.tag, server.faults = tag, ["cut"]
    assert get() == RAW
    assert server.ranges == [None, None]


def test_a_server_that_never_answers_is_given_up(get, server):
    server.faults = ["late"] * 3
    with pytest.raises(ConnectionError, match="broke 3 times .no answer in 0.1 s"):
        get(timeout=0.1)


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_refusal_is_said_at_once(status, get, server):
    server.faults = [status]
    with pytest.raises(ConnectionError, match=f"the server answered {status}"):
        get()
    assert len(server.ranges) == 1
