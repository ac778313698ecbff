r"""A Table as LaTeX: a float with booktabs, for \usepackage{booktabs} in the preamble and nothing else.

The best number of a column is bold; a + or - above a number is its verdict; text is escaped.
"""

import re

from confidnet_core.comparison.tables import BETTER, UNDEFINED, WORSE, Cell, Column, Table

VERDICTS = {BETTER: "$^{+}$", WORSE: "$^{-}$"}
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"}
_SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"} | {"|": r"\textbar{}", '"': "''"}
_SYMBOLS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "×": r"$\times$", "▲": "$+$", "▼": "$-$", UNDEFINED: "--"}  # noqa: RUF001
_SYMBOLS |= {"≤": r"$\le$", "≥": r"$\ge$", "−": "$-$", "…": r"\dots{}", "’": "'"}  # noqa: RUF001
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL | _SYMBOLS)))


def latex(table: Table, label: str, caption: str | None = None) -> str:
    r"""label: of \ref, after "tab:"; caption: before the legend, by default the table's title."""
    letters = "l" + "".join("l" if column.words else "r" for column in table.columns)
    head = " & ".join(map(escaped, [table.stub, *(column.heading for column in table.columns)]))
    sentences = " ".join(sentence for sentence in (f"{caption or table.title}.", *table.legend) if sentence != ".")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(sentences)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9:.-]', '-', label)}}}",
    ]
    lines += [rf"\begin{{tabular}}{{{letters}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    above = False
    for row in table.rows:
        if row.oracle and not above and row is not table.rows[0]:  # below a rule of its own: it is not compared
            lines.append(r"\midrule")
        above = above or row.oracle
        lines.append(" & ".join([escaped(row.label), *map(_cell, row.cells, table.columns)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escaped(text: str) -> str:
    """TEXT with nothing in it that LaTeX would read as a command; arrows and the like as symbols. A sign of minus stays one."""
    return _PATTERN.sub(lambda found: (_SPECIAL | _SYMBOLS)[found[0]], text)


def _cell(cell: Cell, column: Column) -> str:
    number = _minus(escaped(cell.number(column))) if not column.words else escaped(cell.number(column))
    if cell.best:
        number = rf"\textbf{{{number}}}"
    interval = rf"{{\scriptsize {_minus(escaped(cell.interval(column)))}}}" if cell.interval(column) else ""
    return " ".join(part for part in (number + VERDICTS.get(cell.verdict or "", ""), _minus(escaped(cell.beside())), interval) if part)


def _minus(text: str) -> str:
    """The hyphen before a number as a minus."""
    return re.sub(r"(?<![\w$-])-(?=\d)", "$-$", text)
