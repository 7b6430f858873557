"""The page "Our recipe, and why": its tables are the entries of the bench."""

import doctest
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "book" / "pages"), str(ROOT / "book" / "bench")]

import fill as pages  # noqa: E402
import of_bench  # noqa: E402
from rows import ROWS, SEEDS  # noqa: E402

PAGE = (ROOT / "book" / "ablations.md").read_text()
from spoco_lite.results.bench import INSIDE, WHOLE  # noqa: E402


def entry(row: str, seed: int, sbd: tuple[float, float], **more) -> dict:
    images = {"a": [sbd[0], 0.5, 1.0], "b": [sbd[1], 0.7, -1.0]}
    why = {"bound: SBD": 0.9, "background free": 0.5}
    ends = [{"agreement": {"anchors on objects": share}} for share in (0.2, 0.4)]
    fields = {"scores": {WHOLE: images, INSIDE: images}, "why": why, "curve": ends, "cpu_minutes": 3.25}
    return {"row": row, "seed": seed, "device": "2-core CPU", "commit": "0123456789ab"} | fields | more


@pytest.fixture
def records(tmp_path) -> Path:
    (tmp_path / "bench").mkdir()
    entries = [
        entry("leaves-10-ours", 1, (0.9, 0.8)),
        entry("leaves-10-paper", 0, (0.4, 0.2)),
        entry("leaves-10-paper", 1, (0.5, 0.3)),
        entry("leaves-10-ours", 0, (0.8, 0.8)),
        entry("leaves-10-unit-alone", 1, (0.6, 0.7)),
    ]
    (tmp_path / "bench" / "leaves.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    return tmp_path


def cells(table: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_examples():
    assert doctest.testmod(of_bench).failed == 0


def test_a_row_is_its_entries(records):
    paper, unit, ours = cells(of_bench.bench_recipe_full(records))
    assert paper[:4] == ["the paper's recipe", "2", "0.350 ± 0.071", "0.600 ± 0.000"]
    assert paper[4] == "" and paper[-1] == "3.2"
    assert unit[1:3] == ["1", "0.650"] and unit[4] == "+0.250 (one seed)"
    # seed 0: 0.8 and 0.8 less 0.4 and 0.2, +0.5; seed 1: +0.45
    assert ours[2] == "0.825 ± 0.035" and ours[4] == "+0.475 ± 0.025"


def test_the_narrow_table_has_the_same_numbers(records):
    paper, _, ours = cells(of_bench.bench_recipe(records))
    assert ours == ["both: our recipe", "2", "0.825 ± 0.035", "+0.475 ± 0.025", "3.2"] and paper[3] == ""


def test_every_training_is_a_line_of_the_file(records, tmp_path):
    assert "{download}" in of_bench.bench_file(records, tmp_path / "files")
    header, *rows = (tmp_path / "files" / "bench.csv").read_text().splitlines()
    assert header == "row,seed,where,SBD,AP50,minutes" and len(rows) == 10
    assert "leaves-10-paper,0,whole image,0.3,0.6,3.25" in rows


def test_the_headline_says_what_the_entries_say(records):
    said = of_bench.bench_headline(records)
    assert "2 trainings of 3 minutes each" in said
    assert "inside the mask of 0.35 with the paper's recipe and of **0.83** with ours" in said
    assert said.endswith("The worst seed of ours is better than the best of the paper's.")
    (records / "bench" / "leaves.jsonl").write_text(json.dumps(entry("leaves-10-ours", 0, (0.5, 0.5))) + "\n")
    assert of_bench.bench_headline(records) == of_bench.NONE


def test_what_tells_why_is_a_mean(records):
    assert cells(of_bench.bench_why(records))[0] == ["the paper's recipe", "0.50", "0.90"]
    assert cells(of_bench.bench_agreement(records))[0][1] == "0.20 → 0.40"


def test_each_table_stands_on_the_page_and_each_row_of_the_bench_in_a_table():
    for make in of_bench.MAKERS:
        assert f"<!-- {make.__name__}:begin -->" in PAGE, make.__name__
    assert set(re.findall(r"<!-- (\w+):begin", PAGE)) <= set(pages.MAKERS | pages.WITH_FILES)


def test_each_row_stands_in_a_table_with_words_or_by_its_name(tmp_path):
    (tmp_path / "bench").mkdir()
    names = [row.name for row in ROWS] + ["a-row-of-tomorrow"]
    with open(tmp_path / "bench" / "leaves.jsonl", "w") as file:
        file.writelines(json.dumps(entry(name, 0, (0.5, 0.5))) + "\n" for name in names)
    others = of_bench.bench_why, of_bench.bench_agreement, of_bench.bench_origin
    makers = [make for make in of_bench.MAKERS if make not in others]
    tables = [
        of_bench.RECIPE,
        of_bench.NUCLEI,
        of_bench.LABELS,
        *of_bench.TERMS.values(),
        *of_bench.TERMS_OF_PAPER.values(),
        of_bench.CODE,
        of_bench.DRAWN,
    ]
    tables += [*of_bench.FEW.values(), *of_bench.PEERS.values(), *of_bench.BUDGET.values(), *of_bench.STROKES.values()]
    tables += of_bench.CLIPPED.values()
    words = {row: said for rows in tables for row, said in rows.items()}
    shown = "\n".join(make(tmp_path) for make in makers)
    for name in names:
        assert words.get(name, f"`{name}`") in shown, name
    assert "`a-row-of-tomorrow`" in of_bench.bench_others(tmp_path)


def test_without_records_the_page_says_so(tmp_path):
    filled = pages.fill(PAGE, tmp_path, pictures=tmp_path / "files")
    assert filled.count("Not measured yet.") >= len(of_bench.MAKERS)


def test_the_page_names_the_number_of_images_and_the_command_of_the_recipe():
    from job import BASES, config_of

    assert f"the last\n{BASES['leaves']['held_out']} of it" in PAGE
    row = next(row for row in ROWS if row.name == "leaves-10-ours")
    config, command = config_of(row, 0), re.search(r"python -m spoco_lite train (.*\n.*)", PAGE)[1]
    for option in (f"--fraction {config.fraction}", f"--size {config.size}", f"--batch {config.batch}",
                   f"--loss-stride {config.loss_stride}", "--unit 4 4", "--foreground 1"):  # fmt: skip
        assert option in command
    assert config.unit == (4.0, 4.0) and config.foreground == 1.0
    assert len(SEEDS) == 3


def test_what_the_page_says_of_the_consistency_and_of_short_gradients_is_in_the_records():
    from spoco_lite.results.bench import less, read_bench

    bench = read_bench()
    words = " ".join(PAGE.split())
    assert "from two fifths of the leaves on" in words and "not that inside the mask" in words
    for percent in (40, 100):
        paper, without = (bench[f"leaves-{percent}-paper{change}"] for change in ("", "-without-consistency"))
        assert (less(without, paper) < -0.02).all() and less(without, paper, way=INSIDE).mean() > 0
    assert "On leaves every seed gains from it" in words and "on nuclei none can tell" in words
    assert (less(bench["leaves-10-ours-clipped"], bench["leaves-10-ours"]) > 0).all()
    on_nuclei = less(bench["nuclei-10-strokes-ours-clipped"], bench["nuclei-10-strokes-ours"])
    assert on_nuclei.min() < 0 < on_nuclei.max()
    longest = [max(at["gradients"].values()) for entry in bench["leaves-10-ours"] for at in entry["curve"]]
    assert min(longest) > 0.5 and sorted(longest)[len(longest) // 2] > 3 * 0.5  # "most of them several times"
