r"""Rendering of a table of results as LaTeX: a float with booktabs, which needs only \usepackage{booktabs} in the preamble.

The best number of a column is bold, a raised + or - is a verdict (significantly better or worse), and text is escaped.
"""

import re

from confidnet_core.comparison.tables import BETTER, UNDEFINED, WORSE, Cell, Column, Table

VERDICT_SYMBOLS = {BETTER: "$^{+}$", WORSE: "$^{-}$"}
_SPECIAL_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_SPECIAL_CHARACTERS |= {character: f"\\{character}" for character in "&%$#_{}"} | {"|": r"\textbar{}", '"': "''"}
_SYMBOL_COMMANDS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "×": r"$\times$", "▲": "$+$", "▼": "$-$", UNDEFINED: "--"}  # noqa: RUF001
_SYMBOL_COMMANDS |= {"≤": r"$\le$", "≥": r"$\ge$", "−": "$-$", "…": r"\dots{}", "’": "'"}  # noqa: RUF001
_ESCAPED_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL_CHARACTERS | _SYMBOL_COMMANDS)))


def latex(table: Table, label: str, caption: str | None = None) -> str:
    r"""Return a table of results as a LaTeX float.

    label: of \ref, after "tab:"; caption: text before the legend, by default the table's title
    """
    column_alignment = "l" + "".join("l" if column.is_text else "r" for column in table.columns)
    heading_line = " & ".join(map(escape_latex, [table.first_column_title, *(column.heading for column in table.columns)]))
    caption_text = " ".join(sentence for sentence in (f"{caption or table.title}.", *table.legend) if sentence != ".")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption_text)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9:.-]', '-', label)}}}",
    ]
    lines += [rf"\begin{{tabular}}{{{column_alignment}}}", r"\toprule", rf"{heading_line} \\", r"\midrule"]
    has_oracle_rule = False
    for row in table.rows:
        if row.oracle and not has_oracle_rule and row is not table.rows[0]:  # a rule sets the oracle apart, since it is not compared
            lines.append(r"\midrule")
        has_oracle_rule = has_oracle_rule or row.oracle
        lines.append(" & ".join([escape_latex(row.label), *map(_format_cell, row.cells, table.columns)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape_latex(text: str) -> str:
    """Return TEXT with LaTeX's special characters escaped; arrows and similar characters become LaTeX symbols."""
    return _ESCAPED_PATTERN.sub(lambda match: (_SPECIAL_CHARACTERS | _SYMBOL_COMMANDS)[match[0]], text)


def _format_cell(cell: Cell, column: Column) -> str:
    """Return a table cell as LaTeX: number (bold if best), sign of the verdict, text beside the number, and interval."""
    number_text = _replace_hyphens(escape_latex(cell.number_text(column))) if not column.is_text else escape_latex(cell.number_text(column))
    if cell.best:
        number_text = rf"\textbf{{{number_text}}}"
    interval_text = rf"{{\scriptsize {_replace_hyphens(escape_latex(cell.interval_text(column)))}}}" if cell.interval_text(column) else ""
    return " ".join(
        part
        for part in (
            number_text + VERDICT_SYMBOLS.get(cell.verdict or "", ""),
            _replace_hyphens(escape_latex(cell.text_beside())),
            interval_text,
        )
        if part
    )


def _replace_hyphens(text: str) -> str:
    """Return a text in which a hyphen before a number has become a LaTeX minus sign."""
    return re.sub(r"(?<![\w$-])-(?=\d)", "$-$", text)
