"""What scores and stages cost on this machine: from MLflow's newest runs, beside what the comparison says of passes."""

import re
from pathlib import Path

import pandas as pd
import pytest
from test_command_line import on_terminal, plain, refused, shown
from tracking_servers import free_port

from confidnet_core.cli.timed_page import write_timed_page
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.timings import timings

COSTS = [("timed", "mcp", "no", 0), ("timed", "confidnet", "trained", 1), ("timed", "energy", "no", 0)]


def ran(stage: str, method: str | None = None, seed: int | None = 0, **metrics: float) -> None:
    with stage_run(stage=stage, benchmark="timed", seed=seed, method=method, params={}) as run:
        run.log_metrics(metrics)


@pytest.fixture
def compared(root: Path) -> Path:
    """Two scores with two seeds, one of them scored again; a training, and one that failed later. Reports beside."""
    for seed in (0, 1):
        ran("evaluate", "mcp", seed, seconds=100.0)
        ran("evaluate", "confidnet", seed, seconds=2.0 + seed)
    ran("evaluate", "mcp", 0, seconds=0.5)
    ran("evaluate", "mcp", 1, seconds=0.25)
    ran("compare", seed=None)
    with pytest.raises(ZeroDivisionError), stage_run(stage="evaluate", benchmark="timed", seed=0, method="mcp", params={}) as run:
        run.log_metrics({"seconds": 7.0})
        raise ZeroDivisionError
    Path("reports").mkdir()
    pd.DataFrame(COSTS, columns=["benchmark", "method", "learned", "passes"]).to_csv("reports/costs.csv", index=False)
    return root


def test_the_newest_finished_run_of_each_stage_seed_and_method_counts(compared: Path):
    *scored, last = timings("timed")
    assert {(one.seed, one.method): one.seconds for one in scored} == {
        ("0", "mcp"): 0.5,
        ("1", "mcp"): 0.25,
        ("0", "confidnet"): 2.0,
        ("1", "confidnet"): 3.0,
    }
    assert (last.stage, last.seed, last.method) == ("compare", None, None) and 0 <= last.seconds < 600
    assert timings("never_run") == []


def test_costs_are_shown_with_mean_seconds_over_seeds_and_the_stages_below(compared: Path):
    lines = shown("show", "--cost").splitlines()
    assert lines[0] == "timed"
    assert "| mcp       | no      |              0 |   0.375 |" in lines
    assert "| confidnet | trained |              1 |     2.5 |" in lines
    assert "| energy    | no      |              0 |       – |" in lines  # noqa: RUF001
    assert any(line.startswith("| compare | ") for line in lines) and lines[-1].startswith("Seconds of the newest runs in MLflow")


def test_a_copy_of_the_page_has_them_and_the_page_stays_as_it_is(compared: Path):
    page = Path("reports/index.html")
    page.write_text("<main><!-- seconds of timed --><hr><!-- seconds of never_run --></main>")
    first, second = write_timed_page(page, compared, timings).read_text().split("<hr>")
    assert re.search(r'<th scope="row">mcp</th>\s*<td [^>]*>0.375</td>', first)
    assert '<th scope="row">compare</th>' in first and "Seconds of the newest runs" in first
    assert second == "</main>"
    assert page.read_text().count("<!--") == 2


@pytest.mark.slow
def test_a_terminal_gets_costs_that_fit_it(compared: Path):
    lines = plain(on_terminal(60, "show", "--cost")).splitlines()
    assert max(map(len, lines)) <= 60 and any(line.split() == ["confidnet", "trained", "1", "2.5"] for line in lines)


def test_what_is_missing_or_contradicts_is_one_line_with_the_remedy(compared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert refused("show", "--cost", "-m", "auroc") == "--cost shows no metrics and no intervals; leave the other options out"
    assert refused("show", "tymed", "--cost") == "reports/costs.csv has no benchmark tymed; did you mean timed?"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert refused("show", "--cost").startswith("the MLflow server is not reached")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert (
        refused("show", "--cost")
        == f"{tmp_path}/mlflow.db does not exist; `dvc repro` makes it, with the seconds of the stages that it runs"
    )
