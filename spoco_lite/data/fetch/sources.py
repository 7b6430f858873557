"""Where each data set comes from: addresses, checksums, terms. Read by :mod:`spoco_lite.data.fetch`.

No checksums by the owners are known. The ones here were recorded by users of the same addresses:

* bbbc050, vnc: torch-em, https://github.com/constantinpape/torch-em (``torch_em/data/datasets``)
* bbbc038: several public projects that name the same address agree on it, and on the copy at Kaggle

``sha256=None`` says that nobody has recorded one. Such a file is trusted when it is first fetched: its checksum is
shown and written down, and everything later is compared with that.
"""

from dataclasses import dataclass

from ..sets import cityscapes, cvppp
from ..splits import SPLITS

_BROAD = "https://data.broadinstitute.org/bbbc"
_PLANTSEG = "https://raw.githubusercontent.com/kreshuklab/plant-seg/{commit}/tests/resources/{path}"


@dataclass(frozen=True)
class File:
    """One file at its owner's address.

    members : for an archive that is to be unpacked, a regular expression for the members that are wanted and where
        each goes in the folder of the data set; None keeps the file as it is.
    """

    url: str
    sha256: str | None = None
    members: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]

    def __post_init__(self):
        if self.members and not self.sha256:
            raise ValueError(f"{self.url}: an archive is unpacked only if its checksum is known; give sha256")


@dataclass(frozen=True)
class Source:
    """A data set: its files, or, where there are none to download, ``how`` to get it (None: it ships)."""

    what: str
    size: str
    terms: str
    files: tuple[File, ...] = ()
    how: str | None = None
    splits: tuple[str, ...] = SPLITS  # those with public labels; data/splits may have fewer


def _crop(commit: str, path: str) -> File:
    return File(_PLANTSEG.format(commit=commit, path=path))


SOURCES = {
    "rosettes": Source("synthetic leaves, 2D", "3 MB", "MIT, part of this project"),
    "cells3d": Source("synthetic nuclei, 3D", "2 MB", "MIT, part of this project"),
    "cvppp": Source(
        "Arabidopsis leaves, 2D, CVPPP 2017 A1",
        "60 MB",
        "research, no redistribution",
        how=cvppp.HOW,
    ),
    "cityscapes": Source(
        "street scenes, 2D",
        "11.2 GB",
        "non-commercial, no redistribution",
        how=cityscapes.HOW,
        splits=("train", "val"),
    ),
    "bbbc038": Source(
        "nuclei in fluorescence and stained tissue, 2D, DSB 2018",
        "83 MB",
        "CC0",
        (
            File(
                f"{_BROAD}/BBBC038/stage1_train.zip",
                "dcb6edc2690f137406638b2309581a71522c4dff19157d118453b448dcddcb68",
            ),
        ),
    ),
    "bbbc050": Source(
        "nuclei of mouse embryos, 3D",
        "130 MB",
        "CC BY 3.0",
        (
            File(
                f"{_BROAD}/BBBC050/Images.zip",
                "29f100abbfebfb1986b8e87eac091e86d8ec27cd8194f9a1c02c805e76b6dcd8",
                (r"Images/(train|test)/Images/([^/]+\.tif)", r"\1/images/\2"),
            ),
            File(
                f"{_BROAD}/BBBC050/GroundTruth.zip",
                "1f19b308730dccf217c4d4dcf5745ad0fcde4eeb9f9c9306b2c8abd1fe73e5d1",
                (r"GroundTruth/(train|test)/GroundTruth_QCANet/([^/]+\.tif)", r"\1/labels/\2"),
            ),
        ),
    ),
    "ovules": Source(
        "Arabidopsis ovules, 3D crops: nuclei and cells",
        "3 MB",
        "MIT, published with PlantSeg",
        (
            _crop("c1f2389d8ad8d2646bdb0ef9cf391546c24c825a", "data/train/1135_mini.h5"),
            _crop("d4dd6e504848292d885e0d06bbd7f09d2f7ac28d", "data/train/1136_mini.h5"),
            _crop("9886d75376ece12ebb30a798400c5efcbd42523d", "sample_ovule.h5"),
        ),
    ),
    "vnc": Source(
        "mitochondria in a fly's nerve cord, 3D electron microscopy",
        "50 MB",
        "CC BY-NC-SA 3.0",
        (
            File(
                "https://github.com/unidesigner/groundtruth-drosophila-vnc/archive/refs/heads/master.zip",
                "f7bd0db03c86b64440a16b60360ad60c0a4411f89e2c021c7ee2c8d6af3d7e86",
                (r"[^/]+/(README\.md|stack[12]/.+)", r"\1"),
            ),
        ),
    ),
}
