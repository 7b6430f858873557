"""``python -m spoco_lite export RUN IMAGE FILE.zip``: a run for programs that load models of BioImage.IO."""

import argparse
from pathlib import Path

from ..prediction.bioimageio import write_package


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add ``export`` to the command line."""
    parser = commands.add_parser(
        "export",
        help="a run as a model of the BioImage.IO format",
        description="Writes one zip file: the network as TorchScript, which gives embeddings; a sample; and how "
        "objects are decoded, in words and as code. Checked where bioimageio.spec is installed.",
    )
    parser.add_argument("run", metavar="RUN", help="folder or name of a trained run")
    parser.add_argument(
        "image", metavar="IMAGE", type=Path, help="an image like its own: the sample; it becomes public"
    )
    parser.add_argument("output", metavar="FILE.zip", type=Path, help="what is written")
    parser.add_argument("--key", help="name of the image inside an HDF5 or zarr file that holds several arrays")
    parser.add_argument("--author", action="append", default=[], help="of the weights; may be given several times")
    parser.add_argument("--license", help="of the weights, as SPDX has it, such as CC-BY-4.0")


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code, 1 if the package is not valid."""
    found = write_package(
        parsed.run, parsed.image, parsed.output, key=parsed.key, authors=tuple(parsed.author), license=parsed.license
    )
    print(f"{parsed.output}: {found} objects in the sample; README.md inside says how they are decoded")
    missing = [name for name in ("author", "license") if not getattr(parsed, name)]
    if missing:
        print(f"to publish it, give it {' and '.join(f'--{name}' for name in missing)}")
    return 0 if _valid(parsed.output) else 1


def _valid(path: Path) -> bool:
    """Whether the description keeps to the format; True where nothing is installed that could tell."""
    try:
        from bioimageio.spec import load_description_and_validate_format_only
    except ImportError:
        print("not checked; that needs one more package: pip install bioimageio.spec")
        return True
    summary = load_description_and_validate_format_only(path)
    for error in (error for detail in summary.details for error in detail.errors):
        print(f"not valid: {'.'.join(map(str, error.loc))}: {error.msg}")
    if summary.status != "failed":
        print("valid, says bioimageio.spec")
    return summary.status != "failed"
