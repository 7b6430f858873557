"""Which image belongs to which split: text files in ``data/splits/<data set>``, guarded by their checksums."""

import hashlib

from .paths import shipped

SPLITS = ("train", "val", "test")


def split_names(dataset: str, split: str) -> list[str]:
    """Names of the images of one split, from ``data/splits/<dataset>/<split>.txt``; the file's checksum is verified.

    >>> len(split_names("cvppp", "train")), len(split_names("cvppp", "val")), len(split_names("cvppp", "test"))
    (88, 20, 20)
    """
    folder = shipped() / "splits" / dataset
    path = folder / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(s for s in SPLITS if (folder / f"{s}.txt").is_file()) or "none"
        raise ValueError(f"split: {dataset} has no split {split!r}; it has: {known}")
    text = path.read_bytes()
    expected = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    if hashlib.sha256(text).hexdigest() != expected[path.name]:
        raise ValueError(f"{path}: not the split file of this release; restore it (git checkout)")
    return text.decode().split("\n")[:-1]
