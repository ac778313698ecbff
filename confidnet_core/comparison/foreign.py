"""Tables of scores on foreign images, which belong to none of a classifier's classes, so that every prediction on them is a failure."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from confidnet_core.comparison.frames import COLUMN_BY_METRIC
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table, count_in_words, format_count, join_names
from confidnet_core.comparison.uncertainty import insufficiency
from confidnet_core.comparison.units import unit_words

ACCEPTED_COLUMN = Column("foreign_accepted", "accepted", scale=100)
FOREIGN_IMAGE_COLUMNS = (
    replace(COLUMN_BY_METRIC["auroc"], key="foreign_auroc"),
    replace(COLUMN_BY_METRIC["fpr_at_95_tpr"], key="foreign_fpr_at_95_tpr"),
    ACCEPTED_COLUMN,
    COLUMN_BY_METRIC["aurc"],
    COLUMN_BY_METRIC["augrc"],
)


def foreign_tables(foreign_rows: pd.DataFrame, benchmark_rows: pd.DataFrame) -> list[Table]:
    """Return a table for each set of foreign images, with means over seeds; the last one has the legend.

    foreign_rows: of one benchmark, as `evaluate_shifts` stored them; benchmark_rows: the benchmark's rows of `comparison_frame`
    """
    has_thresholds = bool(foreign_rows[ACCEPTED_COLUMN.key].notna().any())
    columns = tuple(column for column in FOREIGN_IMAGE_COLUMNS if has_thresholds or column is not ACCEPTED_COLUMN)
    tables = [_foreign_table(name, rows, columns, benchmark_rows) for name, rows in iterate_groups(foreign_rows, "foreign")]
    if tables:
        tables[-1] = replace(tables[-1], legend=_foreign_legend(foreign_rows, benchmark_rows, has_thresholds))
    return tables


def _foreign_table(name: str, foreign_rows: pd.DataFrame, columns: Sequence[Column], benchmark_rows: pd.DataFrame) -> Table:
    """Return the table of one set of foreign images, without a legend."""
    one_row_per_seed = foreign_rows.drop_duplicates("seed")
    images, samples, errors = (one_row_per_seed[column].mean() for column in ("foreign_images", "samples", "errors"))
    prediction_noun = "predicted pixel" if unit_words(benchmark_rows).parts else "prediction"
    mean_text = " (mean over seeds)" if len(one_row_per_seed) > 1 else ""
    test_images = count_in_words(benchmark_rows["units"].iloc[0], "test image")
    note = (
        f"{count_in_words(images, 'foreign image')} of {name} and {test_images} with {count_in_words(samples, prediction_noun)}, "
        f"{format_count(samples - errors)} of them correct{mean_text}, are judged together."
    )
    table_rows = []
    for method, method_rows in iterate_groups(foreign_rows, "method"):
        cells = tuple(_mean_cell(method_rows[column.key].astype(float).dropna()) for column in columns)
        remark = f"{len(method_rows)} of {len(one_row_per_seed)} seeds" if len(method_rows) < len(one_row_per_seed) else ""
        table_rows.append(Row(method, display_name(method), cells, remark=remark))
    table = Table(f"Foreign images: {name}", tuple(columns), tuple(table_rows), notes=(note,))
    return table if insufficiency(benchmark_rows) else table.with_best_marked()


def _mean_cell(values: pd.Series) -> Cell:
    """Return the mean of one value per seed, with their sample standard deviation where there are several."""
    return Cell(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)


def _foreign_legend(foreign_rows: pd.DataFrame, benchmark_rows: pd.DataFrame, has_thresholds: bool) -> tuple[str, ...]:
    """Return the sentences below the last table of foreign images."""
    too_little = insufficiency(benchmark_rows)
    lines = [
        "Foreign images belong to none of the classes, so that every prediction on them is a failure, as in arXiv:2211.15259 (fd-shifts)",
        "and arXiv:2603.03903. AUROC and FPR@95%TPR: how far a score separates foreign images from test images that are predicted",
        "correctly, in percent.",
    ]
    if has_thresholds:
        target_risk = foreign_rows.loc[foreign_rows[ACCEPTED_COLUMN.key].notna(), "target_risk"].iloc[0]
        lines.append(
            f"Accepted: the share of the foreign images that the threshold for at most {100 * target_risk:g} % errors accepts, in percent; "
            "its guarantee does not cover them."
        )
    lines.append("AURC and AUGRC: of foreign and test images together, with errors and foreign images as failures, times 1000.")
    if unit_words(benchmark_rows).parts:
        lines.append("Every pixel weighs the same in them" + (", and every image in the share accepted." if has_thresholds else "."))
    if foreign_rows["seed"].nunique() > 1:
        lines.append("Mean ± sample standard deviation over seeds, without those in which a value is undefined.")
    best_text = "" if too_little else "; bold: best of its column"
    lines.append(f"↑ higher is better, ↓ lower is better, {UNDEFINED_SIGN} undefined{best_text}.")
    if too_little:
        lines.append(f"No value is marked as the best one: {too_little.sentence}.")
    if oracle_methods := list(dict.fromkeys(benchmark_rows.loc[benchmark_rows["oracle"], "method"])):
        lines.append(f"{join_names(map(display_name, oracle_methods))} reads the labels, which foreign images lack, and is left out.")
    return tuple(lines)
