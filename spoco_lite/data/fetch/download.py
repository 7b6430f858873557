"""A download that goes on where it stopped, as a downloader for pooch, whose own begins anew each time."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

ATTEMPTS = 3
_BLOCK = 1 << 16


class _Broken(Exception):
    """The transfer ended early; asking again may help."""


def download(url: str, output_file: str, pooch: object = None, *, part: Path, timeout: float = 30.0) -> None:
    """Download to ``part``, going on if it is there from an earlier attempt, and move it to ``output_file`` when whole.

    What has arrived is continued only if the server says that its file is still the same (``If-Range`` with its ETag
    or date, which is kept in ``<part>.tag``); otherwise the download begins anew.

    Parameters
    ----------
    output_file, pooch : as pooch gives them; bind the others with :func:`functools.partial`.
    timeout : seconds without a byte after which the connection counts as broken.

    Raises
    ------
    ConnectionError
        no connection (at once), the server's refusal (at once), or a transfer that broke ``ATTEMPTS`` times; what has
        arrived stays in ``part``.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _transfer(url, part, timeout)
            break
        except _Broken as error:
            if attempt == ATTEMPTS:
                have = part.stat().st_size if part.exists() else 0
                raise ConnectionError(
                    f"{url}: the transfer broke {ATTEMPTS} times ({error}). The {have} bytes that have arrived are "
                    "kept: run the same command again to go on."
                ) from error
    _tag(part).unlink(missing_ok=True)
    os.replace(part, output_file)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _transfer(url: str, part: Path, timeout: float) -> None:
    """One request, appended to ``part`` where the server continues it."""
    have = part.stat().st_size if part.exists() and _tag(part).exists() else 0
    headers = {"Accept-Encoding": "identity"}  # so that lengths count the file's bytes
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": _tag(part).read_text()}
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=(min(10, timeout), timeout))
    except requests.ReadTimeout as error:
        raise _Broken(f"no answer in {timeout:g} s") from error
    except requests.RequestException as error:
        raise ConnectionError(
            f"{url}: no connection to {urlsplit(url).netloc}. Check the network and the proxy; without a network, "
            f"download it elsewhere (book, page Data sets). Reason: {error}"
        ) from error
    with response:
        continued = response.status_code == 206
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _tag(part).unlink(missing_ok=True)
            raise _Broken("the server continued at another place")
        if response.status_code == 416:  # the file is now shorter than what has arrived
            _tag(part).unlink(missing_ok=True)
            raise _Broken("the server's file has changed")
        if response.status_code not in (200, 206):
            raise ConnectionError(f"{url}: the server answered {response.status_code} {response.reason}; try later")
        start = have if continued else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if not continued:
            _begin(response, part)
        with (
            open(part, "ab") as file,
            # disable=None: no bar where nobody watches
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=Path(url).name, disable=None) as bar,
        ):
            try:
                for block in response.iter_content(_BLOCK):
                    file.write(block)
                    bar.update(len(block))
            except requests.RequestException as error:
                raise _Broken(f"stalled or cut after {file.tell()} bytes") from error
    # Not every version of what requests builds on notices that bytes are missing.
    if total is not None and part.stat().st_size != total:
        raise _Broken(f"{part.stat().st_size} of {total} bytes")


def _begin(response: requests.Response, part: Path) -> None:
    """Empty ``part`` and keep what identifies the server's file: a strong ETag, else its date, else nothing."""
    open(part, "wb").close()  # first, so that old bytes never stand beside a new tag
    etag = response.headers.get("ETag", "")
    tag = response.headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    if tag:
        _tag(part).write_text(tag)
    else:
        _tag(part).unlink(missing_ok=True)
