r"""Rendering of a table of results as LaTeX: a float with booktabs, which needs only \usepackage{booktabs} in the preamble.

The best number of a column is bold, a raised + or - is a verdict (significantly better or worse), and text is escaped.
"""

import re

from confidnet_core.comparison.tables import BETTER_VERDICT, UNDEFINED_SIGN, WORSE_VERDICT, Cell, Column, Table

LATEX_VERDICT_SIGNS = {BETTER_VERDICT: "$^{+}$", WORSE_VERDICT: "$^{-}$"}
_ESCAPED_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_ESCAPED_CHARACTERS |= {character: f"\\{character}" for character in "&%$#_{}"} | {"|": r"\textbar{}", '"': "''"}
_SYMBOL_COMMANDS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "×": r"$\times$", "▲": "$+$", "▼": "$-$", UNDEFINED_SIGN: "--"}  # noqa: RUF001
_SYMBOL_COMMANDS |= {"≤": r"$\le$", "≥": r"$\ge$", "−": "$-$", "…": r"\dots{}", "’": "'"}  # noqa: RUF001
_ESCAPED_PATTERN = re.compile("|".join(map(re.escape, _ESCAPED_CHARACTERS | _SYMBOL_COMMANDS)))


def table_to_latex(table: Table, latex_label: str, caption: str | None = None) -> str:
    r"""Return a table of results as a LaTeX float.

    latex_label: of \ref, after "tab:"; caption: text before the legend, by default the table's title
    """
    column_alignment = "l" + "".join("l" if column.is_text else "r" for column in table.columns)
    heading_line = " & ".join(map(escape_latex, [table.first_column_title, *(column.heading for column in table.columns)]))
    caption_text = " ".join(sentence for sentence in (f"{caption or table.title}.", *table.legend) if sentence != ".")
    latex_lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption_text)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9:.-]', '-', latex_label)}}}",
    ]
    latex_lines += [rf"\begin{{tabular}}{{{column_alignment}}}", r"\toprule", rf"{heading_line} \\", r"\midrule"]
    has_line_above_oracle = False
    for table_row in table.rows:
        if (
            table_row.is_oracle and not has_line_above_oracle and table_row is not table.rows[0]
        ):  # a rule sets the oracle apart, since it is not compared
            latex_lines.append(r"\midrule")
        has_line_above_oracle = has_line_above_oracle or table_row.is_oracle
        latex_lines.append(" & ".join([escape_latex(table_row.label), *map(_latex_cell, table_row.cells, table.columns)]) + r" \\")
    return "\n".join([*latex_lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape_latex(text: str) -> str:
    """Return the text with LaTeX's special characters escaped; arrows and similar characters become LaTeX symbols."""
    return _ESCAPED_PATTERN.sub(lambda match: (_ESCAPED_CHARACTERS | _SYMBOL_COMMANDS)[match[0]], text)


def _latex_cell(cell: Cell, column: Column) -> str:
    """Return a table cell as LaTeX: number (bold if best), sign of the verdict, text beside the number, and interval."""
    number_latex = (
        _replace_minus_hyphens(escape_latex(cell.number_text(column))) if not column.is_text else escape_latex(cell.number_text(column))
    )
    if cell.best:
        number_latex = rf"\textbf{{{number_latex}}}"
    interval_latex = (
        rf"{{\scriptsize {_replace_minus_hyphens(escape_latex(cell.interval_text(column)))}}}" if cell.interval_text(column) else ""
    )
    return " ".join(
        cell_text_part
        for cell_text_part in (
            number_latex + LATEX_VERDICT_SIGNS.get(cell.verdict or "", ""),
            _replace_minus_hyphens(escape_latex(cell.text_beside())),
            interval_latex,
        )
        if cell_text_part
    )


def _replace_minus_hyphens(latex_text: str) -> str:
    """Return LaTeX text in which each hyphen before a number has become a minus sign."""
    return re.sub(r"(?<![\w$-])-(?=\d)", "$-$", latex_text)
