"""Shifted and foreign images in the report: the section of the page with its charts, the tables as text, and the rows as files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import METHODS, Page, lay_out
from report_params import params
from shifted_rows import SETS, shift_row, shifted_and_foreign_rows, store_shifted_rows
from test_page import numbers

from confidnet_core.comparison.shifts import ShiftedTables
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.config.shifts import Shifts
from confidnet_core.reporting.palette import PALETTE, LineStyle
from confidnet_core.reporting.report import write_report
from confidnet_core.reporting.setting_texts import dataset_and_recipe_texts
from confidnet_core.reporting.shifts import ShiftedSection, shifted_section

TITLE = "Shifted and foreign images"
STYLES = {
    method: LineStyle(name, method, PALETTE[index], highlighted_in_benchmarks=("letters",) * (index == 0))
    for index, (method, name) in enumerate({"mcp": "MCP", "margin": "Margin", "entropy": "Entropy"}.items())
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of letters with shifted and foreign images, of plain ones without any, and of streets to segment with foreign images; two seeds."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        labels = np.random.default_rng(0).integers(0, 3, (80, 6, 8))
        for name, own_labels in (("letters", labels[:, 0, 0]), ("plain", labels[:, 0, 0]), ("streets", labels)):
            lay_out(name, own_labels, (0, 1))
        rows = shifted_and_foreign_rows(list(METHODS), (0, 1))
        store_shifted_rows(rows)
        store_shifted_rows([row for row in rows if "foreign" in row], "streets")
        write_report(params(METHODS, run=("letters", "plain", "streets"), seeds=(0, 1)), root / "reports")
        yield root / "reports"


@pytest.fixture(scope="module")
def text(report: Path) -> str:
    return (report / "index.html").read_text()


def part(text: str, benchmark: str) -> Page:
    """The section of a benchmark about shifted and foreign images, up to its trainings."""
    return Page(text[text.index(f'<h3 id="{benchmark}-shifts">') : text.index(f'<h3 id="{benchmark}-trainings">')])


def test_the_section_stands_on_the_page_after_the_failures_and_in_the_contents(text: str):
    page = Page(text)
    links = [element["attributes"]["href"][1:] for element in page.all("a")]
    assert [link for link in links if link.endswith("-shifts")] == ["letters-shifts", "streets-shifts"]
    assert links.index("letters-failures") + 1 == links.index("letters-shifts") == links.index("letters-trainings") - 1
    headings = [element["attributes"].get("id") for element in page.all("h3") if element["text"] == TITLE]
    assert headings == ["letters-shifts", "streets-shifts"]
    identifiers = [element["attributes"]["id"] for element in page.elements if "id" in element["attributes"]]
    assert len(set(identifiers)) == len(identifiers) and set(links) <= set(identifiers)


def test_the_tables_are_in_sight_but_for_that_of_each_corruption(text: str):
    page = part(text, "letters")
    regions = [element["attributes"]["aria-label"] for element in page.all("div") if element["attributes"].get("class") == "scroll"]
    assert regions == [f"Table: {TITLE}, by {kind}, letters" for kind in ("severity", "corruption")] + ["Table: Foreign images: photos"]
    (folded,) = page.all("details")
    assert "noise 1" in folded["text"] and "AUROC 1" not in folded["text"]
    assert page.texts("h4") == ["Foreign images: photos"]


def test_coverage_and_risk_are_drawn_over_severity_for_every_score(text: str):
    coverage, risk = part(text, "letters").charts()
    names = [trace["name"] for trace in risk["data"]]
    assert sorted(names) == ["Entropy", "MCP", "Margin", "TCP (oracle)"] and names == [trace["name"] for trace in coverage["data"]]
    assert names == [button.strip() for button in part(text, "letters").texts("button")]
    by_name = {trace["name"]: trace for trace in risk["data"]}
    assert numbers(by_name["MCP"]["x"]).tolist() == [0, 1, 2]
    assert numbers(by_name["Entropy"]["y"]) == pytest.approx([0.12, 0.12, 0.12])
    assert {tuple(numbers(trace["y"])) for trace in coverage["data"]} == {(0.5, 0.5, 0.5)}
    (line,) = risk["layout"]["shapes"]
    assert (line["y0"], line["y1"], line["line"]["dash"]) == (0.3, 0.3, "dot") and not coverage["layout"].get("shapes")


def test_a_benchmark_with_foreign_images_alone_has_no_chart(text: str):
    page = part(text, "streets")
    assert not page.charts() and not page.all("button", "details")
    assert page.texts("h3", "h4") == [TITLE, "Foreign images: photos"]
    assert "Every pixel weighs the same" in " ".join(page.texts("p"))


def test_the_text_and_the_files_hold_all_rows(report: Path):
    letters, plain, streets, _ranks = (report / "comparison.md").read_text().split("\n## ")
    assert f"### {TITLE}" in letters and "### By corruption" in letters and f"### {TITLE}" in streets
    assert TITLE not in plain
    shifts, foreign = (pd.read_csv(report / f"{name}.csv") for name in ("shifts", "foreign"))
    assert len(shifts) == len(SETS) * 2 * len(METHODS) and set(shifts["benchmark"]) == {"letters"}
    assert foreign.groupby("benchmark").size().to_dict() == {"letters": 6, "streets": 6}


def section(rows: list[dict]) -> ShiftedSection:
    return shifted_section(pd.DataFrame(rows), ShiftedTables(None, None, ()), STYLES, "letters")


def test_a_score_without_a_threshold_has_no_line_and_is_named():
    none = {"coverage": None, "risk": None, "verdict": None}
    rows = [shift_row(*one, method, **(none if method == "margin" else {})) for one in SETS for method in STYLES]
    found = section(rows)
    assert [entry["label"] for entry in found.legend_entries] == ["MCP", "Entropy"] and len(found.charts) == 2
    assert found.chart_text.endswith("Means over corruptions. Margin: no threshold, so no line.")


def test_without_any_threshold_the_auroc_is_drawn():
    rows = [shift_row(*one, method, coverage=None, risk=None, verdict=None) for one in SETS for method in STYLES]
    found = section(rows)
    (only,) = found.charts
    assert "AUROC" in only.label and '"AUROC"' in only.content and "risk" not in found.chart_text
    assert [entry["bright"] for entry in found.legend_entries] == [True, False, False]
    assert not found.severity_html and not found.corruption_html and not found.foreign_html


def test_where_no_auroc_is_defined_nothing_is_drawn_and_a_score_without_one_is_named():
    undefined = {"coverage": None, "risk": None, "verdict": None}
    rows = [shift_row(*one, method, **undefined, auroc=None) for one in SETS for method in STYLES]
    assert section(rows).charts == ()
    rows = [shift_row(*one, method, **undefined, **({"auroc": None} if method == "margin" else {})) for one in SETS for method in STYLES]
    assert section(rows).chart_text.endswith("Margin: no AUROC, so no line.")
    assert [entry["label"] for entry in section(rows).legend_entries] == ["MCP", "Entropy"]


def test_the_settings_of_shifts_and_foreign_images_are_told_and_their_absence_is_not(report: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(report.parent)
    photos = RegistryEntryChoice(name="sample_photos", settings={"side": 32})
    shown, study = {}, params(run=("letters",))
    for benchmark in (Benchmark.model_construct(), Benchmark.model_construct(shifts=Shifts(severities=(1, 3)), foreign={"photos": photos})):
        study.benchmarks["letters"] = benchmark
        texts = dataset_and_recipe_texts("letters", study)
        shown[benchmark.shifts is None] = {name: text for name, text in texts.items() if name.startswith(("shifts", "foreign"))}
    corruptions = "noise blur brightness contrast rotation pixelation"
    told = {"shifts": f"corruptions {corruptions}, severities 1 3, seed 0", "foreign images photos": "sample_photos, side 32"}
    assert shown == {True: {}, False: told}
