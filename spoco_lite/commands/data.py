"""``python -m spoco_lite data list|fetch NAME|check NAME``: what there is, get it, and see whether it is whole.

``check FOLDER`` looks at a folder of your own (:mod:`spoco_lite.commands.check_folder`).
"""

import argparse
import sys
from pathlib import Path

import pooch
from tqdm import tqdm

from ..data import DATASETS
from ..data.fetch import advice, changed, fetch, source, target, where
from ..data.fetch.sources import SOURCES
from ..data.paths import shipped
from .check_folder import check_folder
from .export_labels import export_labels
from .import_labels import import_labels
from .train import key_and_value


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add ``data`` and its three verbs to the command line."""
    verbs = commands.add_parser("data", help="list, fetch and check data sets").add_subparsers(
        dest="verb", required=True
    )
    verbs.add_parser("list", help="all data sets, how to get each, and where it is on this computer")
    imported = verbs.add_parser("import", help="label maps from what napari, Fiji, Cellpose, QuPath and others save")
    imported.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="label maps, ROIs of ImageJ (zip), GeoJSON, COCO, LabelMe, shapes of napari (csv)",
    )
    imported.add_argument("folder", type=Path, metavar="FOLDER", help="holds images/, and gets labels/")
    exported = verbs.add_parser("export", help="outlines and measurements of label maps, for QuPath, Fiji and tables")
    exported.add_argument("labels", type=Path, metavar="LABELS", help="a label map or a folder of them")
    exported.add_argument("output", type=Path, metavar="OUTPUT", help="folder for what is written")
    exported.add_argument(
        "--images",
        type=Path,
        help="folder of the images of the same names: label maps get their pixel size, and pictures show the outlines",
    )
    names = f"one of {', '.join(SOURCES)}"
    verbs.add_parser("fetch", help="download an open data set").add_argument("name", help=names)
    check = verbs.add_parser("check", help="read every image; of a folder of your own, propose how to train on it")
    check.add_argument("name", help=f"{names}, or a folder of your own images")
    own = check.add_argument_group("for a folder of your own")
    own.add_argument(
        "--data-option",
        dest="options",
        action="append",
        type=key_and_value,
        metavar="KEY=VALUE",
        default=[],
        help="background=, unlabeled= or stretch=, where the check guesses wrong; may be given several times",
    )
    own.add_argument("--minutes", type=float, default=10, help="how long the training may take; default: 10")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code, 0 or 1, or 130 after Ctrl-C."""
    try:
        if arguments.verb == "list":
            return _list()
        if arguments.verb == "import":
            return import_labels(arguments.files, arguments.folder)
        if arguments.verb == "export":
            return export_labels(arguments.labels, arguments.output, arguments.images)
        if arguments.verb == "fetch":
            return _fetch(arguments.name)
        if arguments.name not in SOURCES and Path(arguments.name).is_dir():
            return check_folder(Path(arguments.name), dict(arguments.options), minutes=arguments.minutes)
        return _check(arguments.name)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; complete files are kept, and the same command goes on with the others", file=sys.stderr)
        return 130


def _list() -> int:
    for name, one in SOURCES.items():
        how = "fetch" if one.files else "register" if one.how else "ships"
        print(f"{name:11} {how:9} {one.what}; {one.size}; {one.terms}")
        if how != "ships":
            print(f"{'':11} {where(name) or 'not here. ' + advice(name)}")
    return 0


def _fetch(name: str) -> int:
    one, there = source(name), where(name)
    ships = not (one.files or one.how)
    if ships or there:
        print(advice(name) if ships else f"{name}: already at {there}; remove that folder to fetch it again")
        return 0
    if one.files:
        print(f"{name}: {one.size} to {target()}; terms: {one.terms}", flush=True)
    folder = fetch(name)
    print(f"{name}: complete, in {folder}")
    record = folder.parent / f"{name}.sha256"
    unknown = [file.url for file in one.files if not file.sha256]
    if unknown:
        print(f"Nobody has recorded checksums of these; they are trusted as they came, and kept in {record}:")
        for line in record.read_text(encoding="utf-8").splitlines():
            if line.startswith("# ") and line.endswith(tuple(unknown)):
                print(f"  {line[2:]}")
    return 0


def _check(name: str) -> int:
    one, folder = source(name), where(name)
    if folder is None:
        raise FileNotFoundError(f"{name}: not on this computer. {advice(name)}")
    ships = not (one.files or one.how)
    print(f"{name}: {'ships with this project' if ships else folder}")
    fine = True
    if one.files:
        fine = _check_files(name, folder)
    for split in _splits(name):
        bad = _unreadable(name, split)
        fine &= not bad
        if bad:
            print(f"    {bad[0]}" + f"\n    and {len(bad) - 1} more" * (len(bad) > 1))
    print("all is well" if fine else "not complete: see above")
    return 0 if fine else 1


def _check_files(name: str, folder: Path) -> bool:
    """Compare with the record of the fetch; without one, a file that is kept as it came with its known checksum."""
    wrong = changed(name, folder)
    if wrong is not None:
        print(f"  files: {'as they were fetched' if not wrong else ', '.join(wrong[:5])}")
        return not wrong
    print("  files: not fetched by this command, so there is no record to compare with")
    missing = False
    for file in source(name).files:
        path = folder / file.name
        if file.members or (path.suffix == ".zip" and not path.is_file()):
            continue  # unpacked: reading the images shows whether all are there
        if not path.is_file():
            missing = True
            print(f"  {file.name}: missing")
        elif file.sha256:
            same = pooch.file_hash(str(path)) == file.sha256
            print(f"  {file.name}: {'the' if same else 'not the'} file that {file.url} is known to give")
    return not missing


def _splits(name: str) -> list[str]:
    """The splits of a data set: the files that ship, or, where the owner or the set itself draws them, all it has."""
    files = shipped() / "splits" / name
    return [s for s in source(name).splits if not files.is_dir() or (files / f"{s}.txt").is_file()]


def _unreadable(name: str, split: str) -> list[str]:
    """Read every image of a split with its labels; returns what went wrong, one line for each."""
    if name not in DATASETS:
        print(f"  {split}: this version has no loader for {name}")
        return []
    bad = []
    try:
        samples = DATASETS[name](split)
    except (ValueError, OSError) as error:
        print(f"  {split}: not readable")
        return [str(error)]
    for index in tqdm(range(len(samples)), desc=f"{name} {split}", leave=False, disable=None):
        try:
            samples[index]
        except (ValueError, OSError) as error:
            bad.append(str(error))
    print(f"  {split}: {len(samples) - len(bad)} of {len(samples)} images with their labels readable")
    return bad
