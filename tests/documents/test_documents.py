"""README and docs: short enough at the front door, no link leads nowhere, and every table is that of the CSV files."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from documents import anchors, code_blocks, documents, inline_code, links
from project_code import ROOT, relative

from docs import tables
from docs.figures import FIGURES, figure

ABANDONED = ("finetune_confidnet", "train_correction", "data/operating", "stages.operate", "finetuned/", "surest", "told apart")


def test_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path):
    broken = []
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path if not name else Path(os.path.normpath(path.parent / name))
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_shell_lines_fit_the_width_of_a_code_host(path: Path):
    assert not [line for block in code_blocks(path, "sh") for line in block.splitlines() if len(line) > 96]


def test_every_page_of_docs_is_linked_from_the_readme():
    linked = {link.partition("#")[0] for link in links(ROOT / "README.md")}
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= linked


@pytest.mark.parametrize("path", tables.documents(), ids=relative)
def test_tables_are_those_of_the_csv_files(path: Path):
    text = path.read_text(encoding="utf-8")
    assert tables.rewritten(text) == text, "run `make docs`"


def test_every_table_stands_in_a_document():
    shown = {name for path in documents() for name in re.findall(r"<!-- table: (.*?) -->", path.read_text(encoding="utf-8"))}
    assert shown == set(tables.TABLES)


def test_an_unknown_table_and_one_without_an_end_are_refused():
    with pytest.raises(ValueError, match="no table is called nothing"):
        tables.rewritten("<!-- table: nothing -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match=r"1 tables begin with .* 0 of them end"):
        tables.rewritten("<!-- table: ranks -->\n")


def test_make_repro_ends_with_the_output_that_the_readme_shows():
    assert f"python -m confidnet_core {' '.join(tables.SHOW)}" in (ROOT / "Makefile").read_text()
    assert len(tables.repro().splitlines()) - 2 <= 8


def test_pipeline_page_lists_every_stage_in_order():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/pipeline.md").read_text(), re.MULTILINE) == list(stages)


def test_results_page_lists_every_benchmark():
    section = (ROOT / "docs/results.md").read_text().partition("## Benchmarks")[2].partition("\n## ")[0]
    benchmarks = yaml.safe_load((ROOT / "params.yaml").read_text())["benchmarks"]
    assert set(re.findall(r"`(\w+)`", section)) >= set(benchmarks)


def test_settings_page_lists_every_key_of_params_yaml():
    keys = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert re.findall(r"^\| `([a-z_]+)` \| (?!yes|no)", (ROOT / "docs/settings.md").read_text(), re.MULTILINE) == list(keys)


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_environment_variables_are_those_of_the_code(path: Path):
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "confidnet_core").rglob("*.py"))
    named = {name for name in re.findall(r"\bCONFIDNET_[A-Z]+\b", path.read_text(encoding="utf-8"))}
    assert not {name for name in named if name not in code}


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_paths_of_code_in_the_text_exist(path: Path):
    named = [
        code.rstrip("/") for code in inline_code(path) if re.fullmatch(r"(confidnet_core|stages|benchmarks|docs|tests)/[\w./-]+", code)
    ]
    examples = "".join(code_blocks(path, "python"))
    assert not [name for name in named if not (ROOT / name).exists() and f"def {Path(name).stem}(" not in examples]


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_abandoned_names_do_not_return(path: Path):
    text = path.read_text(encoding="utf-8")
    assert not [name for name in ABANDONED if name in text]


@pytest.mark.parametrize("path", tables.documents(), ids=relative)
def test_no_line_begins_with_the_comment_of_a_figure_which_would_end_the_paragraph(path: Path):
    assert not [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("<!-- figure")]


def test_a_figure_in_the_text_is_that_of_the_csv_files():
    differences = pd.read_csv(ROOT / "reports/differences.csv")
    (gain,) = differences.query("benchmark == 'digits' and method == 'confidnet' and against == 'mcp' and metric == 'aupr_error'")[
        "difference"
    ]
    text = "by <!-- figure: gain repro digits confidnet -->99<!-- end --> points"
    assert tables.rewritten(text) == text.replace("99", f"{100 * gain:.1f}")


def test_every_kind_of_figure_stands_in_a_document():
    texts = [path.read_text(encoding="utf-8") for path in tables.documents()]
    assert {match["expression"].split()[0] for text in texts for match in tables.FIGURE.finditer(text)} == set(FIGURES)


def test_counts_and_verdicts_are_words_that_follow_from_the_csv_files():
    thresholds = pd.read_csv(ROOT / "reports/studies/digits/thresholds.csv").query("method == 'mcp' and risk == 0.05")
    assert len(thresholds) == 5
    words = {3: "three of five", 4: "four of five", 5: "all five"}
    assert figure("trainings-with-threshold study digits mcp 5") == words[int(thresholds["threshold"].notna().sum())]
    assert figure("trainings study digits mnist_mlp mnist_convnet") == "fifteen"
    verdict = pd.read_csv(ROOT / "reports/differences.csv").query("method == 'stack' and against == 'mcp' and metric == 'aupr_error'")
    assert figure("significant repro digits stack is") == ("is" if verdict["verdict"].item() in ("better", "worse") else "is not")


def test_an_unknown_figure_is_refused():
    with pytest.raises(ValueError, match=r"no figure is called size repro; docs/figures\.py knows gain, "):
        tables.rewritten("<!-- figure: size repro digits --><!-- end -->")
    with pytest.raises(ValueError, match="no figure is called gain here"):
        tables.rewritten("<!-- figure: gain here digits confidnet --><!-- end -->")
