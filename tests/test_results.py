"""The page of results: its tables come from the records, and what it says of them holds."""

import doctest
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "pages"))

import fill as pages  # noqa: E402
import of_pictures  # noqa: E402
import of_runs  # noqa: E402
import tables  # noqa: E402

TEXT = "before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n"
MEAN = {"sbd": 0.75, "dic": -1.25, "abs_dic": 2.25, "ap50": 0.5}
RECORD = {
    "name": "leaves-10",
    "config": {"fraction": 0.1, "size": 256, "batch": 4, "seed": 0},
    "data": {"dataset": "cvppp", "split": "train", "images": 88, "objects": 1400, "annotated_objects": 160,
             "checksum": "0123456789abcdef"},
    "commit": None, "scored_commit": None,
    "device": "2-core CPU", "versions": {"torch": "2.13.0"}, "parameters": 1234567, "seconds": 3600,
    "steps": 2000, "changes": [{"at_step": 800, "steps_before": 3500, "steps_after": 2000}],
    "peak_memory_mb": 1536, "curve": [],
    "scores": {"in the mask": {"split": "val", "mean": MEAN, "images": [{}, {}]}},
}  # fmt: skip
NEWER = RECORD | {
    "name": "embryos-25", "held_out": ["Emb01", "Emb02"], "kept": {"step": 1500, "score": 0.8},
    "precision": "bfloat16", "processes": 2, "scored_commit": "0123456789ab",
    "config": RECORD["config"] | {"size": [24, 64, 64], "crop": True, "fraction": 0.25, "widths": [16, 32],
                                  "embedding_dim": 8, "background": "strokes", "zoom": [1.0, 0.5, 0.5]},
    "data": RECORD["data"] | {"dataset": "bbbc050", "objects": 500, "annotated_objects": 125,
                              "held_out_objects": 60},
    "tuning": {"whole image": {"images": ["Emb01", "Emb02"], "objects": 60, "tried": []}},
    "scores": {
        f"whole image, {kind} decoder": {
            "split": "test", "images": [{}],
            "mean": MEAN | {"ap": 0.4, "are": 0.125, "vi_split": 0.25, "vi_merge": 1.5},
        } for kind in ("default", "tuned")
    },
}  # fmt: skip


def write(folder: Path, **records: dict) -> Path:
    """A folder of data with these runs."""
    for name, record in records.items():
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "run.json").write_text(json.dumps(record))
    return folder


def squeezed(text: str) -> str:
    """Without the spaces that bring the cells of a column to one width."""
    return re.sub(" +", " ", text)


def fill(text: str, folder: Path) -> str:
    return squeezed(pages.fill(text, folder, pictures=folder / "results"))


def lines(make, folder: Path) -> list[str]:
    """The rows of a table, without its header."""
    return squeezed(make(folder)).splitlines()[2:]


@pytest.fixture
def runs(tmp_path) -> Path:
    return write(tmp_path, scored=RECORD, unscored=RECORD | {"name": "fresh", "scores": {}})


def test_runs_on_windows_that_were_scored_by_whole_images_are_named(tmp_path):
    again = NEWER | {"name": "embryos-again", "scored_view": [24, 64, 64]}
    assert of_runs.scored_whole(write(tmp_path / "some", old=NEWER, new=again, leaves=RECORD)) == "`embryos-25`"
    assert of_runs.scored_whole(write(tmp_path / "none", new=again, leaves=RECORD)) == "none"


def test_fill_replaces_what_lies_between_the_markers(runs):
    filled = fill(TEXT, runs)
    assert filled.startswith("before\n") and filled.endswith("after\n") and "old" not in filled
    assert "**cvppp, split val, 2 images**" in filled
    assert "| `leaves-10` | in the mask | | 0.750 | -1.2 | 2.2 | 0.500 |" in filled
    assert "fresh" not in filled
    assert fill(filled, runs) == filled


def test_fill_without_records_says_so(tmp_path):
    assert of_runs.NONE in fill(TEXT, tmp_path)


def leaves(name: str, labelled: int, background: str, annotate: str = "per image", **sbd: float) -> dict:
    """A record of 1000 leaves with both ways of scoring."""
    return RECORD | {
        "name": name,
        "config": RECORD["config"] | {"background": background, "annotate": annotate, "fraction": labelled / 1000},
        "data": RECORD["data"] | {"objects": 1000, "annotated_objects": labelled},
        "scores": {
            f"{way}, tuned decoder": {
                "split": "val",
                "images": [{"name": "plant001", "sbd": score, "dic": -2}],
                "mean": MEAN | {"sbd": score},
            }
            for way, score in (("inside the given foreground", sbd["inside"]), ("whole image", sbd["whole"]))
        },
    }


@pytest.fixture
def fractions(tmp_path) -> Path:
    """Four runs; by name they would stand in another order."""
    return write(
        tmp_path,
        a=leaves("a", 1000, "all", inside=0.9, whole=0.8),
        b=leaves("b", 100, "none", inside=0.7, whole=0.5),
        c=leaves("c", 100, "strokes", inside=0.75, whole=0.625),
        d=leaves("d", 100, "all", annotate="images", inside=0.8, whole=0.75),
    )


def test_the_summary_has_a_row_per_run_the_fewest_labels_first(fractions):
    none, strokes, images, dense = lines(of_runs.summary, fractions)
    assert none == "| `b` | val, 1 image | 100 of 1000 | unlabelled | the paper's | 0.700 | 0.500 | 0.500 |"
    assert strokes == "| `c` | val, 1 image | 100 of 1000 | a few strokes | the paper's | 0.750 | 0.625 | 0.500 |"
    assert images == "| `d` | val, 1 image | 100 of 1000 | all, in whole images | the paper's | 0.800 | 0.750 | 0.500 |"
    assert dense == "| `a` | val, 1 image | 1000 of 1000 | all labelled | the paper's | 0.900 | 0.800 | 0.500 |"


def test_a_run_without_mask_has_an_empty_cell(tmp_path):
    row = "| `embryos-25` | test, 1 volume | 125 of 560 | a few strokes | the paper's | | 0.750 | 0.500 |"
    assert lines(of_runs.summary, write(tmp_path, embryos=NEWER)) == [row]


def test_a_data_set_has_a_sentence_a_figure_and_a_narrow_table(fractions, tmp_path, monkeypatch):
    drawn = []
    plot = of_pictures.plt.Axes.plot
    monkeypatch.setattr(
        of_pictures.plt.Axes, "plot", lambda ax, x, y, *a, **k: drawn.append((x, y)) or plot(ax, x, y, *a, **k)
    )
    text = squeezed(of_pictures.data_sets(fractions, tmp_path / "pictures"))
    heading, said, *_ = text.split("\n\n")
    assert heading == "## Leaves (`cvppp`)"
    assert said == (
        "The best SBD of whole images is **0.80**, with 100% labelled (`a`), on a single image. With the fewest labels "
        "it is **0.75**, with 10% of the images, all objects labelled (`d`). Where the foreground is given, these two "
        "have 0.90 and 0.80."
    )
    assert "pictures/cvppp.png" in text and ":alt: cvppp" in text and (tmp_path / "pictures" / "cvppp.png").is_file()
    dots = [(x, y) for x, y in drawn if isinstance(x, list) and x]
    assert dots == [([0.5], [0.15]), ([0.625], [1.15]), ([0.75], [2.15]), ([0.8], [3.15]),
                    ([0.7], [-0.15]), ([0.75], [0.85]), ([0.8], [1.85]), ([0.9], [2.85])]  # fmt: skip
    assert "| `b` | the paper's | 100 of 1000 | 0.700 | 0.500 | 0.500 |" in text
    assert of_pictures.data_sets(tmp_path / "nothing", tmp_path) == of_runs.NONE


def test_all_scores_are_a_file_beside_the_page(fractions, tmp_path):
    assert "{download}" in fill(TEXT.replace("results:", "scores_file:"), fractions)
    header, *rows = (tmp_path / "results" / "scores.csv").read_text().splitlines()
    assert header.startswith("on,Run,Where,Decoder,SBD") and len(rows) == 8
    assert '"cvppp, split val, 1 image",`b`,whole,tuned,0.500,-1.2,2.2,0.500,,,,' in rows


def test_examples_are_copied_beside_the_page(fractions, tmp_path):
    (fractions / "runs" / "c" / "examples.jpg").write_bytes(b"a picture")
    page = TEXT.replace("results:", "examples:")
    filled = fill(page, fractions)
    assert "{figure} results/c.jpg\n:alt: c: images" in filled and "`a`" not in filled
    assert "tuned decoder. The best has an SBD of 0.62; 2 objects too few." in filled
    assert (tmp_path / "results" / "c.jpg").read_bytes() == b"a picture"


def test_ways_to_label_one_share_are_compared(fractions):
    strokes, images = lines(of_runs.budget, fractions)
    assert (
        strokes == "| `c` | the paper's | `b` | +0.050 ± nan | +0.125 ± nan |"
    )  # of one image there is no standard error
    assert images == "| `d` | the paper's | `b` | +0.100 ± nan | +0.250 ± nan |"
    for name in "bcd":
        (fractions / "runs" / name / "run.json").unlink()
    assert of_runs.budget(fractions) == "There are no such runs yet."


def test_each_image_is_compared_with_itself():
    ours, theirs = {"a": 0.5, "b": 0.75}, {"b": 0.25, "a": 0.5}
    assert tables.difference(ours, theirs) == (0.25, 0.25)
    with pytest.raises(KeyError):
        tables.difference({"a": 0.5}, theirs)


def test_what_the_loss_had_left_is_that_of_labelled_images(tmp_path):
    end = {"pull": 0.125, "push": 0.25, "instance": 0.5}
    every = RECORD | {"curve": [dict.fromkeys(end, 9.0), end]}
    some = every | {"data": RECORD["data"] | {"annotated_images": 44}}
    first, second = lines(of_runs.left_over, write(tmp_path, every=every, some=some | {"name": "some"}))
    assert first == "| `leaves-10` | unlabelled | 91 | 0.12 | 0.25 | 0.50 | |"
    assert second == "| `some` | unlabelled | 91 | 0.25 | 0.50 | 1.00 | |"


def test_what_the_page_says_of_the_recorded_runs_holds():
    """Sentences of book/results.md. Whoever records these runs anew reads them again."""
    runs = {r["name"]: r for r in of_runs.read_records(pages.DATA)}
    sbd = {name: r["scores"]["whole image, tuned decoder"]["mean"]["sbd"] for name, r in runs.items()}
    assert sbd["cvppp-100"] < 0.85 and sbd["cvppp-10-strokes"] < 0.7 < sbd["cvppp-10-images"]

    names = "cvppp-10", "cvppp-20", "cvppp-40", "cvppp-60", "cvppp-80", "cvppp-100"
    inside = [runs[name]["scores"]["inside the given foreground, tuned decoder"]["mean"]["sbd"] for name in names]
    assert inside[0] < inside[1] < inside[2] and max(inside[2:]) - min(inside[2:]) < 0.02
    whole = [sbd[name] for name in names]
    assert whole[0] < whole[1] < whole[2] and max(whole[2:]) - min(whole[2:]) < 0.05

    def gain(name: str, way: str, base: str = "cvppp-10") -> tuple[float, float]:
        scores = (runs[n]["scores"][f"{way}, tuned decoder"]["images"] for n in (name, base))
        return tables.difference(*({image["name"]: image["sbd"] for image in images} for images in scores))

    for name, way, better in (
        ("cvppp-10-images", "inside the given foreground", True),
        ("cvppp-10-images", "whole image", True),
        ("cvppp-10-strokes", "whole image", True),
        ("cvppp-10-strokes", "inside the given foreground", False),
    ):
        mean, error = gain(name, way)
        assert (mean > 2 * error) is better, (name, way)
    mean, error = gain("cvppp-10-images-ours", "whole image", "cvppp-10-ours")
    assert mean > 2 * error


@pytest.mark.parametrize("module", [of_runs, of_pictures, tables], ids=lambda m: m.__name__)
def test_the_examples_of_the_scripts(module):
    assert doctest.testmod(module).failed == 0


def test_provenance_has_a_column_per_run(runs):
    filled = fill(TEXT.replace("results:", "provenance:"), runs)
    assert "| Steps | 2000; 3500 were planned until step 800 |" in filled
    for row in ("| | `leaves-10` |", "| Time | 60 min |", "| Peak memory | 1.5 GiB |"):
        assert row in filled
    for absent in ("Precision", "Processes", "Kept", "Held out"):
        assert absent not in filled, "no record has it"


def test_the_command_that_repeats_a_run(runs):
    filled = fill(TEXT.replace("results:", "commands:"), runs)
    assert "train runs/leaves-10 --fraction 0.1 --held-out 0" in filled
    assert "python -m spoco_lite evaluate runs/leaves-10 --split val\n```" in filled
    assert "runs/fresh" not in filled


def test_newer_records_have_more_columns(tmp_path):
    filled = fill(TEXT, write(tmp_path, embryos=NEWER))
    header = "| Run | Where | Decoder | SBD | DiC | abs. DiC | AP | mean AP | ARE | VI split | VI merge |"
    assert "**bbbc050, split test, 1 volume**" in filled and header in filled
    scores = "0.750 | -1.2 | 2.2 | 0.500 | 0.400 | 0.125 | 0.250 | 1.500 |"
    for kind in ("default", "tuned"):
        assert f"| `embryos-25` | whole | {kind} | {scores}" in filled


def test_without_images_held_out_only_the_tuned_decoder_costs_labels():
    data = NEWER["data"] | {"held_out_objects": 0}
    assert of_runs.labels_to_choose(NEWER | {"data": data, "held_out": []}) == "0; 60 with the decoder"
    assert of_runs.labels_to_choose(NEWER) == "60; 60 with the decoder", "they do both, and are counted once"
    assert of_runs.labels_to_choose(RECORD) is None


def test_columns_that_a_row_lacks_are_left_out_of_its_table_alone(tmp_path):
    old = RECORD | {"data": RECORD["data"] | {"dataset": "bbbc050"}}
    old["scores"] = {"whole image, default decoder": old["scores"]["in the mask"] | {"split": "test", "images": [{}]}}
    filled = fill(TEXT, write(tmp_path, new=NEWER, old=old, other=RECORD))
    first, second = filled.split("**cvppp, split val, 2 images**")
    for table in (first, second):
        assert "| Run | Where | Decoder | SBD | DiC | abs. DiC | AP |\n" in table
    (tmp_path / "runs" / "old" / "run.json").unlink()
    first, second = fill(TEXT, tmp_path).split("**cvppp, split val, 2 images**")
    assert "VI merge" in first and "VI merge" not in second


def test_provenance_of_old_and_new_records_side_by_side(tmp_path):
    later = NEWER | {"name": "later", "data": NEWER["data"] | {"dataset": "cvppp", "annotated_objects": 350}}
    filled = fill(TEXT.replace("results:", "provenance:"), write(tmp_path, a=RECORD, b=later))
    for row in (
        "| | `leaves-10` | `later` |",
        "| Held out | | 2 volumes |",
        "| Labelled | 10% | 25% |",
        "| Objects labelled | 160 of 1400 | 350 of 560 |",
        "| Objects to choose | | 60; 60 with the decoder |",
        "| Background | unlabelled | a few strokes |",
        "| Brought to | | 1 x 0.5 x 0.5 |",
        "| Image size | 256 px | 24 x 64 x 64 voxels, windows |",
        "| Network | | 16 32 |",
        "| Kept | | those of step 1500 |",
        "| Precision | | bfloat16 |",
        "| Processes | | 2 |",
        "| Commit of the scores | not in a checkout | `0123456789ab` |",
    ):
        assert row in filled


def test_runs_of_our_recipe_are_marked_and_compared_with_the_papers(fractions):
    ours = json.loads((fractions / "runs" / "b" / "run.json").read_text())
    ours["config"] |= {"unit": [4.0, 4.0], "foreground": 1.0}
    write(fractions, e=ours | {"name": "e"})
    assert ["the paper's" in line for line in lines(of_runs.summary, fractions)] == [True, False, True, True, True]
    assert "| `e` | ours | `b` | +0.000 ± nan | +0.000 ± nan |" in lines(of_runs.budget, fractions)
