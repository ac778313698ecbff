r"""Rendering of a Table as LaTeX: a float with booktabs, which needs only \usepackage{booktabs} in the preamble.

The best number of a column is bold, a raised + or - is a verdict, and text is escaped.
"""

import re

from confidnet_core.comparison.tables import BETTER, UNDEFINED, WORSE, Cell, Column, Table

VERDICT_SYMBOLS = {BETTER: "$^{+}$", WORSE: "$^{-}$"}
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"}
_SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"} | {"|": r"\textbar{}", '"': "''"}
_SYMBOLS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "×": r"$\times$", "▲": "$+$", "▼": "$-$", UNDEFINED: "--"}  # noqa: RUF001
_SYMBOLS |= {"≤": r"$\le$", "≥": r"$\ge$", "−": "$-$", "…": r"\dots{}", "’": "'"}  # noqa: RUF001
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL | _SYMBOLS)))


def latex(table: Table, label: str, caption: str | None = None) -> str:
    r"""Return the LaTeX float. label: of \ref, after "tab:"; caption: before the legend, by default the table's title."""
    column_alignment = "l" + "".join("l" if column.is_text else "r" for column in table.columns)
    head = " & ".join(map(escape_latex, [table.first_column_title, *(column.heading for column in table.columns)]))
    sentences = " ".join(sentence for sentence in (f"{caption or table.title}.", *table.legend) if sentence != ".")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(sentences)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9:.-]', '-', label)}}}",
    ]
    lines += [rf"\begin{{tabular}}{{{column_alignment}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    has_oracle_rule = False
    for row in table.rows:
        if row.oracle and not has_oracle_rule and row is not table.rows[0]:  # a rule sets the oracle apart, since it is not compared
            lines.append(r"\midrule")
        has_oracle_rule = has_oracle_rule or row.oracle
        lines.append(" & ".join([escape_latex(row.label), *map(_cell, row.cells, table.columns)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape_latex(text: str) -> str:
    """Escape TEXT so that LaTeX reads no command in it; arrows and similar characters become symbols, and a minus sign stays one."""
    return _PATTERN.sub(lambda match: (_SPECIAL | _SYMBOLS)[match[0]], text)


def _cell(cell: Cell, column: Column) -> str:
    number = _with_minus_signs(escape_latex(cell.number_text(column))) if not column.is_text else escape_latex(cell.number_text(column))
    if cell.best:
        number = rf"\textbf{{{number}}}"
    interval = rf"{{\scriptsize {_with_minus_signs(escape_latex(cell.interval_text(column)))}}}" if cell.interval_text(column) else ""
    return " ".join(
        part
        for part in (number + VERDICT_SYMBOLS.get(cell.verdict or "", ""), _with_minus_signs(escape_latex(cell.text_beside())), interval)
        if part
    )


def _with_minus_signs(text: str) -> str:
    """Replace the hyphen before a number by a minus sign."""
    return re.sub(r"(?<![\w$-])-(?=\d)", "$-$", text)
