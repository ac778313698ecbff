"""Choice of the scores that are highlighted in the charts of a comparison, and of each score's line style in all charts."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from confidnet_core.comparison.frames import HEADLINE_METRIC
from confidnet_core.comparison.names import display_names
from confidnet_core.comparison.uncertainty import insufficiency
from confidnet_core.config.registry import entry_attributes, entry_names
from confidnet_core.reporting.palette import ORACLE_COLOUR, PALETTE, LineStyle


def assign_report_line_styles(evaluation_rows: pd.DataFrame, reference_methods: Iterable[str]) -> dict[str, LineStyle]:
    """Return {method: line style} for all methods, highlighting reference methods and best scores.

    evaluation_rows: from `comparison_frame`
    """
    oracle_method = next(iter(evaluation_rows["method"][evaluation_rows["oracle"]]), None)
    return assign_line_styles(
        list(dict.fromkeys(evaluation_rows["method"])), find_highlighted_methods(evaluation_rows, reference_methods), oracle_method
    )


def assign_line_styles(
    methods: Sequence[str], highlighted_methods_by_benchmark: Mapping[str, Sequence[str]], oracle_method: str | None = None
) -> dict[str, LineStyle]:
    """Return {method: line style} in the order of figure legends: highlighted scores, the others, then the oracle in dashed grey.

    After twelve methods the colours repeat with another line style. highlighted_methods_by_benchmark: from
    `find_highlighted_methods`
    """
    display_name_by_method = display_names(methods)
    # The references of all benchmarks come before the best score of any.
    all_highlighted_methods = [
        method for highlighted_methods in zip(*highlighted_methods_by_benchmark.values(), strict=False) for method in highlighted_methods
    ]
    all_highlighted_methods += [
        method for highlighted_methods in highlighted_methods_by_benchmark.values() for method in highlighted_methods
    ]
    methods_without_oracle = [method for method in dict.fromkeys([*all_highlighted_methods, *methods]) if method != oracle_method]
    line_styles = {}
    for style_index, method in enumerate(methods_without_oracle):
        linestyle = ("-", ":", "-.")[style_index // len(PALETTE) % 3]
        benchmarks_highlighting_method = tuple(
            benchmark for benchmark, highlighted_methods in highlighted_methods_by_benchmark.items() if method in highlighted_methods
        )
        line_styles[method] = LineStyle(
            display_name_by_method[method], method, PALETTE[style_index % len(PALETTE)], linestyle, benchmarks_highlighting_method
        )
    if oracle_method is not None and oracle_method in methods:
        line_styles[oracle_method] = LineStyle(
            f"{display_name_by_method[oracle_method]} (oracle)",
            f"{oracle_method} (oracle)",
            ORACLE_COLOUR,
            "--",
            tuple(highlighted_methods_by_benchmark),
        )
    return line_styles


def find_highlighted_methods(evaluation_rows: pd.DataFrame, reference_methods: Iterable[str]) -> dict[str, list[str]]:
    """Return {benchmark: names of the scores highlighted in its charts}, each name once.

    They are the first of the reference methods, scores whose function has the attribute `highlighted`, confidences that no
    score computes, and the best by HEADLINE_METRIC in
    its mean over seeds. The oracle is never highlighted. evaluation_rows: from `comparison_frame`
    """
    highlighted_methods_by_benchmark = {}
    for benchmark, benchmark_rows in evaluation_rows[~evaluation_rows["oracle"]].groupby("benchmark", sort=False):
        methods = list(dict.fromkeys(benchmark_rows["method"]))
        first_reference_method = [method for method in reference_methods if method in methods][:1]
        registered_methods = [method for method in methods if method in entry_names("scores")]
        is_highlighted = entry_attributes("scores", registered_methods, "highlighted")
        always_highlighted_methods = [method for method in methods if is_highlighted.get(method, method not in is_highlighted)]
        highlighted_methods_by_benchmark[benchmark] = list(
            dict.fromkeys([*first_reference_method, *always_highlighted_methods, *best_method_as_list(benchmark_rows)])
        )
    return highlighted_methods_by_benchmark


def best_method_as_list(benchmark_rows: pd.DataFrame) -> list[str]:
    """Return a list with the score that has the best mean of HEADLINE_METRIC over seeds, the first of equals.

    It is empty where the metric is undefined, and where `insufficiency` finds too little data to compare scores.
    benchmark_rows: one benchmark's rows of `comparison_frame`
    """
    if benchmark_rows.empty or insufficiency(benchmark_rows):
        return []
    headline_metric_means = benchmark_rows.groupby("method", sort=False)[HEADLINE_METRIC.key].mean()
    return (
        [str(headline_metric_means.idxmax() if HEADLINE_METRIC.higher_is_better else headline_metric_means.idxmin())]
        if headline_metric_means.notna().any()
        else []
    )
