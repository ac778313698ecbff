"""What scores and stages cost on this machine: from MLflow's newest runs, beside what the comparison says of passes."""

import re
from pathlib import Path

import pandas as pd
import pytest
from command_lines import on_terminal, plain, refused, shown
from tracking_servers import free_port

from confidnet_core.cli.timed_page import write_page_with_run_times
from confidnet_core.tracking import stopwatch
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.timings import newest_timings

COSTS = [
    ("timed", "mcp", "nothing", 0),
    ("timed", "confidnet", "trained network", 1),
    ("timed", "mc_dropout", "nothing", 50),
    ("timed", "stack", "validation data", 4),
    ("timed", "ensemble", "trained network", 2),
    ("timed", "energy", "nothing", 0),
]


def ran(stage: str, method: str | None = None, seed: int | None = 0, **metrics: float) -> None:
    with stage_run(stage=stage, benchmark="timed", seed=seed, method=method, params={}) as run:
        run.log_metrics(metrics)


def took(stage: str, seconds: float, ms_per_image: float, *scored: str, **others: float) -> None:
    """A run of a stage that works on images, for a seed and for each method of SCORED."""
    for method in scored or (None,):
        ran(stage, method, seconds=seconds, ms_per_image=ms_per_image, **others)


@pytest.fixture
def compared(root: Path) -> Path:
    """Two scores with two seeds, one of them scored again; a training, and one that failed later. Reports beside."""
    for seed in (0, 1):
        ran("evaluate", "mcp", seed, seconds=100.0, ms_per_image=100.0)
        ran("evaluate", "confidnet", seed, seconds=2.0 + seed, ms_per_image=0.25, fit_seconds=0.0)
    ran("evaluate", "mcp", 0, seconds=0.5, ms_per_image=0.5, fit_seconds=0.0)
    ran("evaluate", "mcp", 1, seconds=0.25, ms_per_image=0.25, fit_seconds=0.0)
    ran("compare", seed=None)
    with pytest.raises(ZeroDivisionError), stage_run(stage="evaluate", benchmark="timed", seed=0, method="mcp", params={}) as run:
        run.log_metrics({"seconds": 7.0})
        raise ZeroDivisionError
    Path("reports").mkdir()
    pd.DataFrame(COSTS, columns=["benchmark", "method", "needs", "extra_passes"]).to_csv("reports/costs.csv", index=False)
    pairs = [("timed", "confidnet", "mcp", "aupr_error", "this trained network", "better")]
    pd.DataFrame(pairs, columns=["benchmark", "method", "against", "metric", "question", "verdict"]).to_csv(
        "reports/differences.csv", index=False
    )
    return root


@pytest.fixture
def timed(compared: Path) -> Path:
    """All stages: a classifier of 1.625 ms an image, so that MCP takes 2 ms in all."""
    took("predict", 3.0, 1.625)
    took("sample", 9.0, 20.0)
    took("evaluate", 0.1, 0.375, "mc_dropout", "ensemble", fit_seconds=0.0)
    took("evaluate", 0.1, 8.375, "stack", fit_seconds=1.5)
    for stage, seconds in (("train_baseline", 100.0), ("train_confidnet", 30.0), ("finetune", 10.0)):
        ran(stage, seconds=seconds)
    return compared


def test_the_newest_finished_run_of_each_stage_seed_and_method_counts(compared: Path):
    *scored, last = newest_timings("timed")
    assert {(one.seed, one.method): (one.seconds, one.ms_per_image) for one in scored} == {
        ("0", "mcp"): (0.5, 0.5),
        ("1", "mcp"): (0.25, 0.25),
        ("0", "confidnet"): (2.0, 0.25),
        ("1", "confidnet"): (3.0, 0.25),
    }
    assert (last.stage, last.seed, last.method) == ("compare", None, None) and 0 <= last.seconds < 600
    assert newest_timings("never_run") == []


def test_a_run_of_an_earlier_version_has_no_milliseconds(compared: Path):
    lines = shown("show", "--cost").splitlines()
    assert lines[0] == "timed"
    cells = next(line for line in lines if line.startswith("| MCP ")).replace(" ", "").split("|")
    assert cells[4:6] == ["–", "–"]  # noqa: RUF001
    assert any(line.startswith("| compare | ") for line in lines) and lines[-1].startswith("Milliseconds an image at prediction time")


def test_milliseconds_include_every_forward_pass_and_training_seconds_every_network(timed: Path):
    """MCP: 1.625 + 0.375. ConfidNet: two trainings. MC-dropout: the passes of `sample`. The ensemble: two more classifiers."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown("show", "--cost").splitlines() if line.startswith("|")]
    assert lines[0] == ["method", "needs", "extra forward passes", "ms an image", "× MCP", "training s"]  # noqa: RUF001
    rows = {name: cells for name, *cells in lines[2:8]}
    assert rows["MCP"] == ["nothing", "0", "2", "1", "0"]
    assert rows["ConfidNet"] == ["trained network", "1", "1.88", "0.938", "40"]
    assert rows["MC-dropout (entropy)"] == ["nothing", "50", "22", "11", "0"]
    assert rows["Stack"] == ["validation data", "4", "10", "5", "1.5"]
    assert rows["Deep ensemble (entropy)"] == ["trained network", "2", "5.25", "2.62", "200"]
    assert rows["Energy"] == ["nothing", "0", *["–"] * 3]  # noqa: RUF001
    assert {name for name, *_ in lines[10:]} == {"compare", "predict", "sample", "train_baseline", "train_confidnet", "finetune"}


def test_a_copy_of_the_page_has_them_and_the_page_stays_as_it_is(timed: Path):
    page = Path("reports/index.html")
    page.write_text("<main><!-- seconds of timed --><hr><!-- seconds of never_run --></main>")
    costs = pd.read_csv("reports/costs.csv")
    first, second = write_page_with_run_times(page, timed, costs, newest_timings, "mcp").read_text().split("<hr>")
    assert re.search(r'<th scope="row" data-sort="MC-dropout \(entropy\)">.*<td class="number" data-sort="22">22</td>', first)
    assert '<th scope="row" data-sort="compare">compare</th>' in first and "Of the newest runs in MLflow" in first
    assert second == "</main>"
    assert page.read_text().count("<!--") == 2


def test_an_image_takes_what_it_takes_once_everything_is_loaded(monkeypatch: pytest.MonkeyPatch):
    times = iter([0.0, 10.0, 10.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: next(times))
    watch = stopwatch.Stopwatch()
    assert watch.metrics() == {}
    for images, expected in ((100, 100.0), (400, 2.5), (100, 4.0)):
        with watch.measure(images):
            pass
        assert watch.metrics()["ms_per_image"] == expected
    assert watch.metrics()["seconds"] == 12.0


@pytest.mark.slow
def test_a_terminal_gets_costs_that_fit_it(timed: Path):
    lines = plain(on_terminal(60, "show", "--cost")).splitlines()
    assert max(map(len, lines)) <= 60 and any(line.split()[:2] == ["ConfidNet", "trained"] for line in lines)


def test_what_is_missing_or_contradicts_is_one_line_with_the_remedy(compared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    contradiction = "--cost shows no metrics, no seeds and no intervals; leave the other options out"
    assert refused("show", "--cost", "-m", "auroc") == contradiction
    assert refused("show", "tymed", "--cost") == "reports/costs.csv has no benchmark tymed; did you mean timed?"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert refused("show", "--cost").startswith("the MLflow server is not reached")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert (
        refused("show", "--cost")
        == f"{tmp_path}/mlflow.db does not exist; `dvc repro` makes it, with the seconds of the stages that it runs"
    )
