"""The files of a judgement: a page, tables as Markdown, LaTeX, CSV and JSON, curves, and a figure."""

from pathlib import Path
from typing import TYPE_CHECKING

from confidnet_core.cli.latex import table_to_latex
from confidnet_core.comparison.main_table import errors_and_accuracy_phrase
from confidnet_core.files import atomic_write, write_json, write_text
from confidnet_core.reporting.highlights import assign_report_line_styles
from confidnet_core.reporting.page import render_page
from confidnet_core.reporting.plots import save_figure
from confidnet_core.reporting.results_curves import results_curves, write_curves
from confidnet_core.reporting.sections import StudyParts, benchmark_section

if TYPE_CHECKING:
    from confidnet_core.judging.judgement import Judgement

JSON_FILE_NAME = "judgement.json"


def require_own_folder(folder: Path) -> None:
    """Raise ValueError where a folder exists and holds files, but not those of an earlier judgement, which would be replaced."""
    if folder.is_file():
        raise ValueError(f"{folder} is a file; give the name of a folder for the report")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JSON_FILE_NAME).exists():
        raise ValueError(f"{folder} holds other files and no {JSON_FILE_NAME} of an earlier report; give the name of a new folder")


def save_judgement(judgement: "Judgement", folder: Path) -> Path:
    """Write all files of a judgement into a folder, which may be that of an earlier one, and return the path of index.html."""
    require_own_folder(folder)
    comparison, results = judgement.comparison, judgement.results
    line_styles = assign_report_line_styles(comparison.evaluation_rows, judgement.settings.against)
    frame_by_curve, figure = results_curves(results, line_styles)
    main_table = comparison.main_tables()[results.benchmark]
    table_groups, notes = comparison.further_table_groups(), list(judgement.left_out)
    caption = f"{results.benchmark}: {errors_and_accuracy_phrase(comparison.evaluation_rows)}"
    section = benchmark_section(results, comparison, main_table, notes, table_groups, frame_by_curve, line_styles, StudyParts())

    with atomic_write(folder) as temporary_folder:
        temporary_folder.mkdir()
        write_json(temporary_folder / JSON_FILE_NAME, judgement.to_json())
        comparison.write_frames(temporary_folder)
        text = comparison.markdown({results.benchmark: main_table}, {results.benchmark: notes}, table_groups)
        write_text(temporary_folder / "comparison.md", text)
        write_text(temporary_folder / "comparison.tex", table_to_latex(main_table, results.benchmark, caption))
        curves = {name: frame for name, frame in frame_by_curve.items() if len(frame) or name != "reliability"}
        write_curves(temporary_folder / "curves", curves)
        save_figure(figure, temporary_folder / "curves.png")
        render_page(temporary_folder / "index.html", [section], comparison, judgement.facts)
    return folder / "index.html"
