"""A strict check of LaTeX tables, for machines without TeX."""

import re


def checked_latex(text: str) -> str:
    """TEXT if it is LaTeX that needs booktabs alone: known commands, balanced braces and formulas, as many cells in every row."""
    plain = re.sub(r"\\[\\%&$#_{}]", "", text)
    commands = set(re.findall(r"\\([A-Za-z]+)", plain))
    assert commands <= {
        *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "textbf", "scriptsize"),
        *("uparrow", "downarrow", "pm", "times", "textbackslash", "textasciitilde", "textasciicircum"),
        *("textless", "textgreater", "textbar"),
    }, commands
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0 and plain.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", plain)
    assert not set(outside) & set("#%_^~") and not re.search(r'[<>|"]', outside)
    assert re.findall(r"\\begin\{(\w+)\}", text) == list(reversed(re.findall(r"\\end\{(\w+)\}", text))) == ["table", "tabular"]
    letters = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
    rows = re.findall(r"^(.*) \\\\$", text, re.MULTILINE)
    assert rows and all(len(re.findall(r"(?<!\\)&", line)) == len(letters) - 1 for line in rows)
    assert set(text) - set(map(chr, range(128))) <= {"é"}
    return text
