"""Which scores stand out in charts, and that each has one look in all of them."""

import pandas as pd

from confidnet_core.comparison.uncertainty import with_unit_columns
from confidnet_core.config.registry import entry_attributes, entry_names
from confidnet_core.reporting.highlights import assign_line_styles, assign_report_line_styles, find_highlighted_methods
from confidnet_core.reporting.palette import DARK_PAGE_COLOURS, ORACLE_COLOUR, PALETTE

SCORES = entry_names("scores")


def frame(values: dict[str, dict[str, float]], oracle: str = "tcp") -> pd.DataFrame:
    """BENCHMARK -> METHOD -> AUPR-Error, of one seed."""
    rows = [(benchmark, 0, method, value) for benchmark, of in values.items() for method, value in of.items()]
    made = pd.DataFrame(rows, columns=["benchmark", "seed", "method", "aupr_error"])
    return with_unit_columns(made.assign(oracle=made["method"] == oracle, samples=100, errors=10))


def test_the_reference_what_is_marked_and_the_best_stand_out():
    values = {"margin": 0.2, "mcp": 0.3, "confidnet": 0.4, "entropy": 0.1, "knn": 0.5, "tcp": 0.9}
    assert find_highlighted_methods(frame({"digits": values}), ["mcp", "entropy"]) == {"digits": ["mcp", "confidnet", "knn"]}
    assert find_highlighted_methods(frame({"digits": values}), ["energy", "entropy"]) == {"digits": ["entropy", "confidnet", "knn"]}
    assert find_highlighted_methods(frame({"digits": values}), []) == {"digits": ["confidnet", "knn"]}


def test_a_score_that_is_the_reference_and_the_best_is_named_once():
    assert find_highlighted_methods(frame({"digits": {"margin": 0.2, "mcp": 0.3}}), ["mcp"]) == {"digits": ["mcp"]}


def test_without_an_error_nothing_is_the_best():
    undefined = dict.fromkeys(("margin", "mcp", "tcp"), float("nan"))
    assert find_highlighted_methods(frame({"digits": undefined}), ["mcp"]) == {"digits": ["mcp"]}


def test_with_too_few_errors_nothing_is_the_best():
    few = frame({"digits": {"margin": 0.9, "mcp": 0.3}}).assign(errors=3, units_with_errors=3)
    assert find_highlighted_methods(few, ["mcp"]) == {"digits": ["mcp"]}


def test_the_best_over_seeds_is_the_best_of_the_means():
    seeds = [frame({"digits": {"margin": first, "knn": second}}) for first, second in ((0.9, 0.5), (0.0, 0.5))]
    assert find_highlighted_methods(pd.concat(seeds), []) == {"digits": ["knn"]}


def test_a_score_is_marked_in_its_own_file():
    assert [name for name, mark in entry_attributes("scores", SCORES, "highlighted").items() if mark] == ["confidnet"]


def test_scores_that_stand_out_somewhere_have_the_first_colours_and_the_oracle_is_grey_and_last():
    values = {"entropy": 0.1, "tcp": 0.9, "margin": 0.2, "mcp": 0.3}
    line_styles = assign_report_line_styles(frame({"digits": values | {"margin": 0.5}, "streets": values}), ["mcp"])
    assert list(line_styles) == ["mcp", "margin", "entropy", "tcp"]
    assert [style.colour for style in line_styles.values()] == [*PALETTE[:3], ORACLE_COLOUR]
    assert line_styles["mcp"].highlighted_in_benchmarks == ("digits", "streets") == line_styles["tcp"].highlighted_in_benchmarks
    assert line_styles["margin"].highlighted_in_benchmarks == ("digits",) and not line_styles["entropy"].highlighted_in_benchmarks
    assert line_styles["tcp"].series_name == "tcp (oracle)" and line_styles["tcp"].label.endswith(" (oracle)")


def test_all_scores_of_the_project_differ_in_colour_or_line():
    line_styles = assign_line_styles(SCORES, {}, "tcp").values()
    assert len({(style.colour, style.linestyle) for style in line_styles}) == len(SCORES)
    assert all(style.colour in DARK_PAGE_COLOURS for style in line_styles) and len(set(DARK_PAGE_COLOURS.values())) == len(
        DARK_PAGE_COLOURS
    )


def test_a_score_keeps_its_look_wherever_the_oracle_stands():
    others = [name for name in SCORES if name != "tcp"]
    assert assign_line_styles(["tcp", *others], {}, "tcp") == assign_line_styles([*others, "tcp"], {}, "tcp")
