"""The tables and figures in README.md and docs/*.md, from the CSV files under reports/: python -m docs.tables, or make docs.

reads   reports/{comparison,differences}.csv, those of reports/studies/*/ and their thresholds.csv, confidnet_core/comparison/published.csv,
        confidnet_core/scores/*.py (first lines of the docstrings), params.yaml, requirements.txt and what is installed (licences)
writes  README.md, docs/*.md: the lines between `<!-- table: NAME -->` and `<!-- end -->`, and numbers in the text (docs/figures.py)

tests/test_documents.py holds the files to it: edit the text around a table, never the table.
"""

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from confidnet_core.comparison.names import display_name
from docs.difference_tables import BENCHMARKS, differences, significance_mark, verdicts
from docs.figures import FIGURE, figure
from docs.licences import licences
from docs.markdown import DASH, NO_BREAK, markdown_table
from docs.shift_tables import foreign, shifts
from docs.study_files import ROOT, differences_from, means_over_seeds, published_values, read_study, rows_of_seeds, study_of
from docs.terminal import printed

MARKED = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS = {  # metric -> heading, factor, whether higher is better
    "fpr_at_95_tpr": ("FPR@95%TPR ↓", 100, False),
    "aupr_error": ("AUPR-Error ↑", 100, True),
    "aupr_success": ("AUPR-Success ↑", 100, True),
    "auroc": ("AUROC ↑", 100, True),
    "aurc": ("AURC ↓", 1000, False),
}
KEYS = ("test_coverage", "test_risk")
SHOW = ("show", "-m", "fpr_at_95_tpr,aupr_error,auroc,aurc", "--no-intervals")  # how `make repro` ends
EXCERPT = re.compile(
    r"(method|score|mcp|trust.?score|confidnet|confidnet \(augmented\)|stack|second opinion)", re.IGNORECASE
)  # lines of it, by their first words


def main() -> None:
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (made := rewritten(text)) != text:
            path.write_text(made, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: tables rewritten")


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rewritten(text: str) -> str:
    """The text of a document with its tables made anew. ValueError for an unknown table, and for a start without an end."""
    names = re.findall(r"<!-- table: (.*?) -->", text)
    for name in names:
        if name not in TABLES:
            raise ValueError(f"no table is called {name}; docs/tables.py makes {', '.join(TABLES)}")
    made, count = MARKED.subn(lambda marked: f"{marked[1]}{TABLES[marked['name']]()}\n\n{marked[3]}", text)
    if count != len(names):
        raise ValueError(f"{len(names)} tables begin with <!-- table: NAME -->, but {count} of them end with <!-- end -->")
    return FIGURE.sub(lambda marked: f"{marked[1]}{figure(marked['expression'])}{marked[3]}", made)


def glance() -> str:
    """AUPR-Error of the whole studies and of CIFAR-10, for the README; ▲ and ▼: significantly better or worse than MCP."""
    scores = ("mcp", "confidnet", "confidnet_augmented", "second_opinion")
    rows = [["benchmark", "seeds", "accuracy", *map(display_name, scores), "best score", "published MCP", "published ConfidNet"]]
    for benchmark in ("digits", "mnist_mlp", "mnist_convnet", "camvid_segnet", "cifar10_images_quick"):
        means, changes, paper = means_over_seeds(benchmark), differences_from(benchmark), published_values(BENCHMARKS[benchmark][1])
        best = means["aupr_error"].drop("tcp").idxmax()
        ours = [
            f"{means.at[score, 'aupr_error']:.1f}{significance_mark(changes, score)}" if score in means.index else DASH
            for score in (*scores, best)
        ]
        ours[-1] = f"{display_name(best)} {ours[-1]}"
        name, accuracy = BENCHMARKS[benchmark][0].replace(" ", NO_BREAK), f"{means['accuracy'].iloc[0]:.1f}"
        rows.append(
            [
                name,
                str(rows_of_seeds(benchmark)["seed"].nunique()),
                accuracy,
                *ours,
                *(_number(paper.get(score), 1) for score in ("mcp", "confidnet")),
            ]
        )
    return markdown_table(rows)


def studies() -> str:
    """AUPR-Error of all benchmarks that were run to their end, with standard deviations over seeds."""
    scores = ("mcp", "confidnet", "confidnet_augmented", "tta", "stack", "second_opinion")
    rows = [["`run`", "accuracy", "errors", *map(display_name, scores)]]
    for benchmark in BENCHMARKS:
        frame = rows_of_seeds(benchmark)
        by_score = [frame[frame["method"] == score]["aupr_error"] for score in scores]
        errors = sorted(frame.drop_duplicates("seed")["errors"])
        counts = NO_BREAK.join([_count(errors[0]), *(("to", _count(errors[-1])) if len(errors) > 1 else ())])
        values = [_spread(rows_of_score * 100) if len(rows_of_score) else DASH for rows_of_score in by_score]
        rows.append([f"`{benchmark}`", f"{100 * frame['accuracy'].mean():.2f}", counts, *values])
    return markdown_table(rows)


def published() -> str:
    """Accuracy, and AUPR-Error of MCP and ConfidNet, ours beside the paper's."""
    rows = [["`run`", *(f"{what}: {whose}" for what in ("accuracy", "MCP", "ConfidNet") for whose in ("ours", "paper"))]]
    for benchmark, (_, paper) in BENCHMARKS.items():
        if paper:
            means, theirs = means_over_seeds(benchmark), published_values(paper)
            ours = {"accuracy": means["accuracy"].iloc[0], **means["aupr_error"]}
            pairs = ((ours[key], theirs.get(key)) for key in ("accuracy", "mcp", "confidnet"))
            rows.append([f"`{benchmark}`", *(_number(value) for pair in pairs for value in pair)])
    return markdown_table(rows)


def coverage() -> str:
    """Coverage of the test split at thresholds with a guarantee, in percent: the mean over the seeds that have a threshold."""
    risks, scores = (0.01, 0.05), ("mcp", "confidnet", "stack")
    rows = [["`run`", *(f"{100 * risk:g} %: {display_name(score)}" for risk in risks for score in scores)]]
    for benchmark in BENCHMARKS:
        found = read_study(study_of(benchmark), "thresholds").query("benchmark == @benchmark")
        cells = [_covered(found[(found["risk"] == risk) & (found["method"] == score)]) for risk in risks for score in scores]
        rows.append([f"`{benchmark}`", *cells])
    return markdown_table(rows)


def rejection() -> str:
    """What two scores accept on the test split of digits at their thresholds, and how much of it is wrong, in the committed study."""
    scores, frame = ("stack", "mcp"), pd.read_csv(ROOT / "reports/thresholds.csv").query("benchmark == 'digits' and seed == 0")
    rows = [["target", *(f"{display_name(score)}: {what}" for score in scores for what in ("accepted", "of these wrong"))]]
    for risk, found in frame.groupby("risk"):
        by_score = found.set_index("method")
        cells = [
            ("no threshold", DASH)
            if np.isnan(by_score.at[score, "threshold"])
            else [f"{100 * by_score.at[score, key]:.1f} %" for key in KEYS]
            for score in scores
        ]
        rows.append([f"{100 * risk:g} %", *(cell for pair in cells for cell in pair)])
    return markdown_table(rows)


def full(benchmark: str) -> str:
    """All scores of a study with the paper's metrics; bold the best of a column, the oracle aside."""
    frame = rows_of_seeds(benchmark)
    rows = [["score", *(heading for heading, _, _ in COLUMNS.values())]]
    methods = sorted(frame["method"].unique(), key="tcp".__eq__)  # in the order of the study, the oracle last
    columns = []
    for metric, (_, factor, higher) in COLUMNS.items():
        values = (frame[metric] * factor).groupby(frame["method"]).mean().round(1)
        best = values.drop("tcp").max() if higher else values.drop("tcp").min()
        cells = {method: _spread(frame[frame["method"] == method][metric] * factor) for method in methods}
        columns.append([f"**{cells[m]}**" if values[m] == best and m != "tcp" else cells[m] for m in methods])
    names = [f"{display_name(method)} (oracle)" if method == "tcp" else display_name(method) for method in methods]
    return markdown_table([*rows, *(list(row) for row in zip(names, *columns, strict=True))])


def ranks() -> str:
    """Mean rank by AUPR-Error over the fifteen pairs of benchmark and seed of digits and MNIST, of scores that all pairs have."""
    frame = pd.concat(read_study(study, "comparison") for study in ("digits", "mnist_mlp", "mnist_convnet"))
    pair_count = frame.groupby(["benchmark", "seed"]).ngroups
    frame = frame[(frame["method"] != "tcp") & (frame.groupby("method")["seed"].transform("size") == pair_count)]
    rank = frame.groupby(["benchmark", "seed"])["aupr_error"].rank(ascending=False)
    means = rank.groupby(frame["method"]).mean().sort_values(kind="stable")
    return markdown_table([["score", "mean rank"], *([display_name(method), f"{value:.1f}"] for method, value in means.items())])


def scores() -> str:
    """Every file of confidnet_core/scores/ with the first line of its docstring; those of params.yaml first."""
    listed = list(YAML(typ="safe").load(ROOT / "params.yaml")["methods"])
    files = {path.stem: path for path in sorted((ROOT / "confidnet_core/scores").glob("*.py")) if not path.name.startswith("_")}
    rows = [["score", "in `methods`", "name in tables", "what it is"]]
    for name in [*listed, *(name for name in files if name not in listed)]:
        docstring = ast.get_docstring(ast.parse(files[name].read_text(encoding="utf-8"))).splitlines()[0]
        rows.append([f"`{name}`", "yes" if name in listed else "no", display_name(name), docstring.replace("|", "\\|")])
    return markdown_table(rows, left=4)


def repro() -> str:
    """The middle lines of the last output of `make repro`: `confidnet show` on a terminal of 100 columns."""
    lines = [line.rstrip() for line in printed([sys.executable, "-m", "confidnet_core", *SHOW], ROOT).splitlines()]
    kept = [line for line in lines if EXCERPT.fullmatch(re.split(r" {2,}", line)[0])]
    if len(kept) != 7:
        raise ValueError(f"confidnet {' '.join(SHOW)} has other lines than a header and six scores: {kept}")
    return "\n".join(["```text", lines[0], *kept, "```"])


TABLES: dict[str, Callable[[], str]] = {
    "glance": glance,
    "studies": studies,
    "published": published,
    "differences-mcp": lambda: differences("mcp"),
    "differences-entropy": lambda: differences("entropy"),
    "verdicts": verdicts,
    "coverage": coverage,
    "rejection": rejection,
    "digits": lambda: full("digits"),
    "mnist_mlp": lambda: full("mnist_mlp"),
    "camvid": lambda: full("camvid_segnet"),
    "ranks": ranks,
    "shifts-digits": lambda: shifts("digits"),
    "foreign-digits": lambda: foreign("digits"),
    "scores": scores,
    "repro": repro,
    "licences": licences,
}


def _spread(values: pd.Series) -> str:
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def _covered(seeds: pd.DataFrame) -> str:
    with_threshold = seeds.dropna(subset="threshold")
    if with_threshold.empty:
        return "none"
    some = f" ({len(with_threshold)} of {len(seeds)} seeds)" if len(with_threshold) < len(seeds) else ""
    return f"{100 * with_threshold['test_coverage'].mean():.1f}{some}"


def _number(value: float | None, digits: int = 2) -> str:
    return DASH if value is None or np.isnan(value) else f"{value:.{digits}f}"


def _count(errors: int) -> str:
    return f"{errors:,}" if errors < 100_000 else f"{errors / 1e6:.1f}M"


if __name__ == "__main__":
    main()
