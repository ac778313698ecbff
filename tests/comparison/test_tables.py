"""A table drawn as Markdown, HTML, LaTeX, CSV and JSON: numbers, marks and intervals, and names that stay text."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from latex_syntax import checked_latex
from pages import Page

from confidnet_core.cli.latex import escape_latex, table_to_latex
from confidnet_core.comparison.names import display_name, display_names
from confidnet_core.comparison.rendering import (
    align_markdown_rows,
    frame_to_csv,
    table_to_frame,
    table_to_html,
    table_to_markdown,
    tables_to_json,
)
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table
from confidnet_core.config.registry import entry_names

AUROC, AURC = Column("auroc", "AUROC", True, 100), Column("aurc", "AURC", False, 1000)
EVIL = r'50% & $x_1$ #{a} ~^\ <i>"|'


def row(name: str, auroc: Cell, aurc: Cell, **facts) -> Row:
    return Row(name, facts.pop("label", name.upper()), (auroc, aurc), **facts)


@pytest.fixture
def table() -> Table:
    rows = (
        row("mcp", Cell(0.9, 0.01, 0.85, 0.951), Cell(0.0101)),
        row("stack", Cell(0.95, 0.02, 0.91, 0.98, verdict="better"), Cell(np.nan)),
        row("knn", Cell(0.5, verdict="worse"), Cell(0.25), remark="1 of 2 seeds"),
        row("tcp", Cell(1.0), Cell(0.001), is_oracle=True),
    )
    return Table("Scores", (AUROC, AURC), rows, notes=("A note.", "- one\n- two"), legend=("Bold: best.", "In percent.")).with_best_marked()


def test_markdown_shows_best_values_in_bold_and_verdicts_as_marks(table: Table):
    assert table_to_markdown(table).splitlines() == [
        "### Scores",
        "",
        "A note.",
        "",
        "- one",
        "- two",
        "",
        "| method             |                           AUROC ↑ |    AURC ↓ |",
        "| ------------------ | --------------------------------: | --------: |",
        "| MCP                |     90.00 ± 1.00   [85.00, 95.10] | **10.10** |",
        "| STACK              | **95.00 ± 2.00** ▲ [91.00, 98.00] |         – |",  # noqa: RUF001
        "| KNN (1 of 2 seeds) |                           50.00 ▼ |    250.00 |",
        "| TCP (oracle)       |                          100.00   |      1.00 |",
        "",
        "Bold: best. In percent.",
    ]
    assert table_to_markdown(table, None).startswith("A note.") and table_to_markdown(table, 2).startswith("## Scores\n")


def test_the_first_columns_of_a_table_are_to_the_left_and_the_others_to_the_right():
    rows = [["name", "", "value"], ["a", "long", "1"], ["b", "x|y", "-10.00"]]
    assert align_markdown_rows(rows, left_aligned_column_count=2) == [
        "| name |      |  value |",
        "| ---- | ---- | -----: |",
        "| a    | long |      1 |",
        r"| b    | x\|y | -10.00 |",
    ]


def test_of_two_numbers_that_are_equal_in_print_both_are_best_and_without_a_direction_none_is():
    assert AUROC.best_mask([0.912341, 0.912339, np.nan, 0.99], [True, True, True, False]) == [True, True, False, False]
    assert AURC.best_mask([0.5, 0.1]) == [False, True] and AUROC.best_mask([np.nan]) == [False] and AUROC.best_mask([]) == []
    assert Column("n", "n").best_mask([1.0, 2.0]) == [False, False]


def test_a_table_is_sorted_best_first_with_undefined_values_and_then_the_oracle_last(table: Table):
    assert [one.key for one in table.sorted_by("auroc").rows] == ["stack", "mcp", "knn", "tcp"]
    assert [one.key for one in table.sorted_by("aurc").rows] == ["mcp", "knn", "stack", "tcp"]


def test_html_has_headers_classes_marks_and_what_a_page_sorts_by(table: Table):
    page = Page(str(table_to_html(table)))
    assert [element["attributes"]["scope"] for element in page.all("th")] == [*["col"] * 3, *["row"] * 4]
    assert page.all("table")[0]["attributes"] == {"class": "metrics"}
    assert page.all("div")[0]["attributes"]["aria-label"] == "Table: Scores" and page.texts("h3", "li") == ["Scores", "one", "two"]
    cells = page.all("td")
    assert [cell["attributes"].get("class") for cell in cells[:6:2]] == ["number", "number best better", "number worse"]
    assert [cell["attributes"]["data-sort"] for cell in cells] == ["90", "10.1", "95", "", "50", "250", "100", "1"]
    assert [element["text"] for element in page.all("span") if element["attributes"]["class"] == "mark"] == ["▲", "▼"]
    assert [element["text"] for element in page.all("span") if element["attributes"]["class"] == "interval"] == [
        "[85.00, 95.10]",
        "[91.00, 98.00]",
    ]
    assert page.texts("p") == ["A note.", "Bold: best. In percent."]
    assert not [
        cell for cell in Page(str(table_to_html(replace(table, sortable=False)))).all("td", "th") if "data-sort" in cell["attributes"]
    ]


def test_html_takes_names_as_text(table: Table):
    evil = replace(table, title="<b>", notes=(EVIL,), legend=(EVIL,), rows=(row(EVIL, Cell(text=EVIL), Cell(0.1), label=EVIL),))
    page = Page(str(table_to_html(evil)))
    assert not page.all("b", "i", "a") and page.texts("h3", "th")[0] == "<b>"
    assert page.texts("p") == [EVIL, EVIL] and page.texts("th")[-1] == page.texts("td")[0] == EVIL


def test_latex_needs_booktabs_alone_and_holds_the_numbers(table: Table):
    lines = checked_latex(table_to_latex(table, "digits_quick", "Digits & more")).splitlines()
    assert lines[:5] == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Digits \& more. Bold: best. In percent.}",
        r"\label{tab:digits-quick}",
        r"\begin{tabular}{lrr}",
    ]
    assert lines[6] == r"method & AUROC $\uparrow$ & AURC $\downarrow$ \\"
    assert lines[8:11] == [
        r"MCP & 90.00 $\pm$ 1.00 {\scriptsize [85.00, 95.10]} & \textbf{10.10} \\",
        r"STACK & \textbf{95.00 $\pm$ 2.00}$^{+}$ {\scriptsize [91.00, 98.00]} & -- \\",
        r"KNN (1 of 2 seeds) & 50.00$^{-}$ & 250.00 \\",
    ]
    assert lines[11:13] == [r"\midrule", r"TCP (oracle) & 100.00 & 1.00 \\"]


def test_latex_escapes_text_and_keeps_minus_signs(table: Table):
    assert (
        escape_latex(EVIL) == r"50\% \& \$x\_1\$ \#\{a\} \textasciitilde{}\textasciicircum{}"
        r"\textbackslash{} \textless{}i\textgreater{}''\textbar{}"
    )
    evil_row = row(EVIL, Cell(-0.5, shows_plus_sign=True), Cell(text="a-1"), label=EVIL)
    evil = replace(table, legend=(EVIL, f"× ± {UNDEFINED_SIGN}"), rows=(evil_row,))  # noqa: RUF001
    assert "& $-$50.00 & a-1 " in checked_latex(table_to_latex(evil, EVIL))


def test_csv_and_json_hold_values_that_are_not_scaled(table: Table):
    frame = pd.read_csv(io.StringIO(frame_to_csv(table_to_frame(table)))).set_index("method")
    assert frame.loc["mcp", ["auroc", "auroc_std", "auroc_low", "auroc_high", "aurc"]].tolist() == [0.9, 0.01, 0.85, 0.951, 0.0101]
    assert np.isnan(frame["aurc"]["stack"]) and frame["auroc_verdict"]["stack"] == "better" and bool(frame["oracle"]["tcp"])
    content = json.loads(tables_to_json({"digits": table}))["digits"]
    assert content["columns"][0] == {"key": "auroc", "title": "AUROC", "higher_is_better": True, "scale": 100}
    assert content["rows"][1]["cells"] == {
        "auroc": {"value": 0.95, "deviation": 0.02, "low": 0.91, "high": 0.98, "best": True, "verdict": "better"},
        "aurc": {"value": None},
    }
    assert content["legend"] == ["Bold: best.", "In percent."]


def test_files_have_six_significant_digits():
    third = np.nextafter(1 / 3, 1)
    assert frame_to_csv(pd.DataFrame({"a": [1 / 3, third, 12345678.9], "b": [1, 2, 3]})) == "a,b\n0.333333,1\n0.333333,2\n1.23457e+07,3\n"


def test_every_score_has_a_display_name_of_its_own():
    shown = display_names(entry_names("scores"))
    assert len(set(shown.values())) == len(shown) and not set(shown) & set(shown.values())
    assert (shown["mcp"], shown["mc_dropout"], shown["trust_score"]) == ("MCP", "MC-dropout (entropy)", "Trust Score")
    assert display_name("none_of_ours") == "none_of_ours"
