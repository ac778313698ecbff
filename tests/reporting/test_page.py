"""The page: everything in one file that needs no network, for readers and for screen readers, with honest words on top."""

import base64
import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import METHODS, Page, lay_out
from plotly.offline import get_plotlyjs
from report_params import params

from confidnet_core.cli.timed_page import SECONDS_PLACEHOLDER
from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.tables import UNDEFINED_SIGN
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.reporting.highlights import assign_report_line_styles
from confidnet_core.reporting.histories import TRAINING_NAMES
from confidnet_core.reporting.report import list_stored_results, write_report


def numbers(values: dict | list) -> np.ndarray:
    """As plotly.js reads them."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else np.array(values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Letters to classify and streets to segment, with two seeds, compared."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        draw = np.random.default_rng(0)
        lay_out("letters", draw.integers(0, 3, 80), (0, 1))
        lay_out("streets", draw.integers(0, 4, (80, 6, 8)), (0, 1), void=3)
        write_report(params(METHODS, run=("letters", "streets"), seeds=(0, 1)), root / "reports")
        yield root


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "reports/index.html").read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_a_browser_loads_nothing_from_elsewhere(text: str, page: Page):
    loading = ("src", "href", "srcset", "action", "poster", "data", "background")
    addresses = [value for element in page.elements for name, value in element["attributes"].items() if name in loading]
    assert addresses and all(address.startswith(("#", "data:")) for address in addresses)
    assert "@import" not in text and "url(" not in text
    assert {element["attributes"].get("rel") for element in page.all("link")} == {"icon"}


def test_the_drawing_library_is_in_the_page_once_and_the_rest_is_small(text: str, page: Page):
    (library,) = [element["text"] for element in page.all("script") if element["attributes"].get("id") == "library"]
    assert gzip.decompress(base64.b64decode(library)).decode() == get_plotlyjs()
    assert text.count(library) == 1
    assert len(text) - len(library) < 500_000


@pytest.fixture(scope="module")
def labels(folder: Path) -> list[str]:
    """The scores as the page names and orders them: what stands out first, the oracle last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        frame = comparison_frame(
            stored.evaluation(method)
            for stored in list_stored_results(params(METHODS, ("letters", "streets"), (0, 1)))
            for method in METHODS
        )
    return [style.label for style in assign_report_line_styles(frame, ("mcp", "entropy")).values()]


def curves(page: Page) -> list[dict]:
    return [chart for chart in page.charts() if len(chart["data"]) == 4]


def test_every_benchmark_and_method_has_its_place(page: Page, labels: list[str]):
    assert [name for name in page.texts("h2") if name in ("letters", "streets")] == ["letters", "streets"]
    assert [[trace["name"] for trace in chart["data"]] for chart in curves(page)] == [labels, labels]
    names = [element["attributes"]["aria-label"].removeprefix("training ") for element in page.all("article")]
    assert names == 2 * [*TRAINING_NAMES, *labels]
    assert "Ranks" in page.texts("h2")


def test_the_contents_name_every_section_of_every_benchmark_in_its_order(text: str, page: Page):
    contents = Page(text[text.index("<nav") : text.index("</nav>") + len("</nav>")])
    listed = [element["attributes"]["href"][1:] for element in contents.all("a")]
    identifiers = [element["attributes"]["id"] for element in page.elements if "id" in element["attributes"]]
    assert listed == [name for name in identifiers if name in listed] and {"letters", "streets", "ranks", "run"} < set(listed)
    headings = [element["attributes"]["id"] for element in page.all("h2", "h3") if "id" in element["attributes"]]
    assert {name.removesuffix("-title") for name in headings} <= set(listed)
    assert set(folds(page)) < set(listed) and len(folds(page)) >= 2 * 6


def folds(page: Page) -> list[str]:
    return [element["attributes"]["id"] for element in page.all("details") if element["attributes"].get("class") == "fold"]


def test_further_tables_and_the_cards_of_scores_are_folded(page: Page):
    assert not any("open" in element["attributes"] for element in page.all("details") if "class" in element["attributes"])
    own = [name for name in folds(page) if name.startswith("letters-")]
    assert own[0] == "letters-scores" and own[1].startswith("letters-differences") and own[-1] == "letters-data"
    assert any("cost" in name for name in own)


def test_the_legend_names_every_line_and_tells_which_are_in_colour(page: Page, labels: list[str]):
    buttons = [element for element in page.all("button") if "aria-pressed" in element["attributes"]]
    assert [element["text"].strip() for element in buttons] == 2 * labels
    pressed = [element["attributes"]["aria-pressed"] == "true" for element in buttons]
    assert pressed == [trace["meta"]["bright"] for chart in curves(page) for trace in chart["data"]]
    assert pressed[0] and pressed[3] and not all(pressed)


def test_the_best_score_is_in_colour_and_said_to_be_the_best(page: Page):
    said = [words for words in page.texts("p") if words.startswith("In colour: ")]
    leads = [element["text"] for element in page.all("p") if element["attributes"].get("class") == "lead"]
    for words, lead, chart in zip(said, leads, curves(page), strict=True):
        best = words.removeprefix("In colour: ").partition(", the best by")[0]
        assert lead.startswith(best)
        assert next(trace for trace in chart["data"] if trace["name"] == best)["meta"]["bright"]


def test_names_are_text(page: Page):
    assert not page.all("b")
    assert '<b>&"' in page.texts("th")
    assert any('<b>&"' in words for words in page.texts("p"))  # beside the mean IoU


def test_a_page_can_be_read_out(page: Page):
    levels = [int(element["tag"][1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(element["attributes"]["alt"] for element in page.all("img"))
    assert all(element["attributes"]["scope"] in ("row", "col") for element in page.all("th"))
    assert page.all("html")[0]["attributes"]["lang"] == "en"
    regions = [element["attributes"] for element in page.all("div") if element["attributes"].get("class", "").startswith("scroll")]
    assert len(regions) >= len(page.all("table")) and all(one["aria-label"] and one["tabindex"] == "0" for one in regions)
    identifiers = [element["attributes"]["id"] for element in page.elements if "id" in element["attributes"]]
    assert len(set(identifiers)) == len(identifiers)
    anchors = {element["attributes"]["href"][1:] for element in page.all("a")}
    assert anchors <= set(identifiers)


def test_the_oracle_is_no_winner(page: Page):
    verdicts = [element["text"] for element in page.all("p") if element["attributes"].get("class") == "lead"]
    assert len(verdicts) == 2 and not any(words.startswith("TCP") for words in verdicts)
    assert {item.partition(":")[0] for item in page.texts("li") if item.startswith("TCP")} == {"TCP (oracle)", "TCP reads the labels"}


def test_the_risk_drawn_is_the_mean_over_seeds_and_ends_at_the_error_rate(folder: Path, page: Page):
    for chart, name in zip(curves(page), ("letters", "streets"), strict=True):
        rates = [1 - StoredResults(name, seed, tuple(METHODS)).outcomes()[0].mean() for seed in (0, 1)]
        assert all(numbers(trace["y"])[-1] == pytest.approx(np.mean(rates), abs=1e-5) for trace in chart["data"])


def test_histograms_and_reliability_are_counts_never_samples(folder: Path, page: Page):
    pairs = [chart for chart in page.charts() if len(chart["data"]) == 2]
    histograms = [chart for chart in pairs if chart["data"][0]["type"] == "bar"]
    assert len(histograms) == len(pairs) - len(histograms) == 8
    correct = StoredResults("letters", 0, tuple(METHODS)).outcomes()[0]
    assert [numbers(trace["customdata"]).sum() for trace in histograms[0]["data"]] == [correct.sum(), (~correct).sum()]
    assert max(len(numbers(trace["x"])) for chart in pairs for trace in chart["data"]) <= 40
    shares = [numbers(trace["y"]) ** 2 for trace in histograms[0]["data"]]  # on a square-root axis
    assert [share.sum() for share in shares] == pytest.approx([1, 1])
    assert {tuple(chart["layout"]["yaxis"]["range"]) for chart in histograms} == {(0, 1)}


def test_bins_of_the_page_are_those_of_dvc_plots_and_none_is_sparse(folder: Path, page: Page, labels: list[str]):
    rows = pd.read_csv(folder / "reports/curves/reliability.csv")
    rows = rows[(rows["benchmark"] == "streets") & (rows["seed"] == 0)]
    drawn = [chart["data"][1] for chart in page.charts() if chart["data"][0].get("hoverinfo") == "skip"][len(labels) :]
    stored = [own for _, own in rows.groupby("method", sort=False)]
    assert len(drawn) == len(stored) == len(labels)
    for points, own in zip(drawn, stored, strict=True):
        assert numbers(points["x"]) == pytest.approx(own["probability"].to_numpy(), rel=1e-5)
        assert numbers(points["customdata"]).tolist() == own["count"].tolist()
        assert own["count"].min() >= 20


def test_every_training_shows_its_losses_and_validation_metrics_with_a_mark_at_the_kept_epoch(page: Page):
    charts = [chart["data"] for chart in page.charts() if len(chart["data"]) == 8]  # of two metrics and two seeds, a line and a mark
    assert len(charts) == 2 * 2 * len(TRAINING_NAMES)
    assert [list(dict.fromkeys(trace["name"] for trace in chart)) for chart in charts[:2]] == [
        ["train", "validation"],
        ["AUROC", "accuracy"],
    ]
    assert [numbers(trace["y"]).tolist() for trace in charts[0][:2]] == [pytest.approx([2, 1, 2 / 3]), [1]]
    assert all(numbers(trace["x"]).tolist() == [2] for chart in charts for trace in chart[1::2])


def test_what_a_score_needs_and_costs_is_told(page: Page):
    assert page.texts("th").count("needs") == 4 and page.texts("th").count("extra forward passes") == 2
    assert page.texts("h3").count("What a score costs") == 2


def test_each_benchmark_has_a_place_for_the_seconds_of_a_copy(text: str):
    assert SECONDS_PLACEHOLDER.findall(text) == ["letters", "streets"]


def test_classifications_show_samples_and_segmentations_show_maps(page: Page):
    pictures = [element["attributes"] for element in page.all("img")]
    assert all(picture["src"].startswith("data:image/webp;base64,") for picture in pictures)
    maps = [picture for picture in pictures if picture["alt"].startswith("One row for each")]
    assert len(maps) == 1 and len(pictures) > 17


def test_what_was_run_is_told(folder: Path, text: str):
    facts = json.loads((folder / "data/prepared/letters/facts.json").read_text())
    assert facts["sha256"] in text and "made up" in text
    for row in ("seeds", "code", "versions at the comparison", "resamples"):
        assert f'<tr><th scope="row">{row}</th><td>' in text
    assert f"numpy {np.__version__}" in text


def test_without_an_error_there_is_no_verdict_and_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    lay_out("letters", np.arange(80) % 3, (0,), blur=0.1)
    write_report(params({"mcp": {}, "tcp": {}}, run=("letters",)), tmp_path / "reports")
    page = Page((tmp_path / "reports/index.html").read_text())
    (verdict,) = [element["text"] for element in page.all("p") if element["attributes"].get("class") == "lead"]
    assert verdict == "0 errors among 30 test predictions: too few to compare scores; about 6 are needed."
    assert UNDEFINED_SIGN in page.texts("td") and "nan" not in "".join(page.texts("td", "li", "p"))
    assert "There is no error." in page.texts("li")
