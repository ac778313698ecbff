"""Deep ensembles: against the mean of separate softmaxes, what another seed changes, and what is refused or never computed."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy
from small import answering, small_digits, trained_runs
from small_params import VALID, load, replace

from confidnet_core.config.registry import entry_attributes, entry_names
from confidnet_core.data import SCORED_SPLITS, save_dataset
from confidnet_core.files import read_json
from confidnet_core.scores.ensemble import ensemble
from confidnet_core.scores.ensemble_of_two import ensemble_of_two
from confidnet_core.scores.ensemble_probability import ensemble_probability
from confidnet_core.scores.entropy import entropy
from confidnet_core.scores.mcp import mcp
from confidnet_core.scoring import ensembles
from confidnet_core.scoring.ensembles import save_ensembles
from confidnet_core.scoring.run import Run, load_run
from stages import ensemble as stage

QUANTITY_OF_METHOD = {
    **{"mcp": None, "ensemble": "predictive_entropy", "ensemble_probability": "probability_of_predicted"},
    "ensemble_of_two": "log_odds_with_next_seed",
}
both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


def of_seeds(trained: Run, folder: Path, seeds: list[int]) -> list[Run]:
    """Return runs of these seeds, whose logits are those of the trained run with noise, and store their ensemble."""
    runs, stored = [], {split: np.load(trained.predictions_folder / split / "logits.npy") for split in ("test", "val")}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        test, val = (logits + rng.normal(0, 2, logits.shape) for logits in stored.values())
        run = answering(trained, test, folder / "predictions" / f"seed{seed}", val)
        runs.append(replace(run, seed=seed, ensembles_folder=folder / "ensembles"))
    save_ensembles(folder / "ensembles", QUANTITY_OF_METHOD, seeds, folder / "predictions", trained.dataset)
    return runs


def logits_of(run: Run) -> np.ndarray:
    """Return the logits of all labelled predictions, float64 (n, classes)."""
    return np.moveaxis(np.load(run.predictions_folder / run.split / "logits.npy"), 1, -1)[run.is_labelled].astype(np.float64)


def mean_softmax(runs: list[Run]) -> np.ndarray:
    """Return the mean softmax of all labelled predictions, float64 (n, classes)."""
    return np.mean([softmax(logits_of(run), axis=1) for run in runs], axis=0)


@pytest.mark.parametrize("chunk", [2**20, 1])
@pytest.mark.parametrize("split", SCORED_SPLITS)
@both_tasks
def test_the_scores_are_those_of_the_mean_of_the_softmaxes(
    trained: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, split: str, chunk: int
):
    monkeypatch.setattr(ensembles, "PREDICTIONS_PER_CHUNK", chunk)
    runs = [run.on_split(split) for run in of_seeds(trained[task], tmp_path, [4, 0, 7])]
    mean = mean_softmax(runs)
    if split != "calibration":  # where `answering` gives all seeds the same logits
        assert not np.array_equal(runs[0].predicted, runs[1].predicted)
    for run in runs:
        assert ensemble(run) == pytest.approx(-scipy_entropy(mean, axis=1), abs=1e-12)
        assert ensemble_probability(run) == pytest.approx(mean[np.arange(len(mean)), run.predicted], rel=1e-12)
        assert ensemble(run).shape == ensemble_probability(run).shape == run.labels.shape


@pytest.mark.parametrize("seeds", [[4, 0, 7], [3, 1]])
@both_tasks
def test_an_ensemble_of_two_is_the_mean_of_the_log_odds_of_a_seed_and_the_next(
    trained: dict[str, Run], tmp_path: Path, task: str, seeds: list[int]
):
    runs = sorted(of_seeds(trained[task], tmp_path, seeds), key=lambda run: run.seed)
    for run, next_run in zip(runs, [*runs[1:], runs[0]], strict=True):
        rows = np.arange(len(run.predicted))
        probabilities = [softmax(logits_of(one), axis=1)[rows, run.predicted] for one in (run, next_run)]
        expected = np.mean([np.log(probability) - np.log1p(-probability) for probability in probabilities], axis=0)
        assert ensemble_of_two(run) == pytest.approx(expected, abs=1e-6)


def test_seeds_with_equal_logits_are_as_confident_as_one(trained: dict[str, Run], tmp_path: Path):
    logits = np.load(trained["digits"].predictions_folder / trained["digits"].split / "logits.npy")
    first, _ = (answering(trained["digits"], logits, tmp_path / f"predictions/seed{seed}") for seed in (0, 1))
    save_ensembles(tmp_path / "ensembles", QUANTITY_OF_METHOD, [0, 1], tmp_path / "predictions", first.dataset)
    run = replace(first, ensembles_folder=tmp_path / "ensembles")
    assert ensemble(run) == pytest.approx(entropy(run), abs=1e-12)
    assert ensemble_probability(run) == pytest.approx(mcp(run), rel=1e-12)


def test_another_order_of_the_seeds_changes_nothing(trained: dict[str, Run], tmp_path: Path):
    first, second = ({run.seed: run for run in of_seeds(trained["digits"], tmp_path / str(n), n)} for n in ([0, 1, 2], [2, 0, 1]))
    for seed in (0, 1, 2):
        assert np.array_equal(ensemble(first[seed]), ensemble(second[seed]))
        assert np.array_equal(ensemble_probability(first[seed]), ensemble_probability(second[seed]))


def digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_another_seed_leaves_the_folder_of_a_score_without_ensemble_as_it_was(trained: dict[str, Run], tmp_path: Path):
    two, three = tmp_path / "two", tmp_path / "three"
    of_seeds(trained["digits"], two, [0, 1])
    of_seeds(trained["digits"], three, [0, 1, 2])
    assert digests(two / "ensembles/mcp") == digests(three / "ensembles/mcp")
    assert list(digests(two / "ensembles/mcp")) == ["facts.json"]
    assert digests(two / "ensembles/ensemble") != digests(three / "ensembles/ensemble")


@pytest.mark.parametrize("score", [ensemble, ensemble_probability, ensemble_of_two])
def test_one_seed_is_no_ensemble_and_the_message_says_how_to_give_more(trained: dict[str, Run], tmp_path: Path, score):
    (run,) = of_seeds(trained["digits"], tmp_path, [0])
    with pytest.raises(
        ValueError, match=rf"{score.__name__} needs two seeds or more, got \[0\]; try dvc exp run -S 'seeds=\[0,1,2,3,4\]', or"
    ):
        score(run)


def test_a_seed_that_is_not_in_the_ensemble_is_refused(trained: dict[str, Run], tmp_path: Path):
    run, _ = of_seeds(trained["digits"], tmp_path, [0, 1])
    with pytest.raises(ValueError, match=r"the ensemble is of the seeds \[0, 1\]; add 5 to seeds of params.yaml"):
        ensemble(replace(run, seed=5))


def test_a_score_that_asks_for_another_quantity_is_refused(trained: dict[str, Run], tmp_path: Path):
    with pytest.raises(ValueError, match=r"scores/mcp\.py has over_seeds 'entropi'; known: predictive_entropy, "):
        save_ensembles(tmp_path / "ensembles", {"mcp": "entropi"}, [0, 1], tmp_path, trained["digits"].dataset)
    assert not (tmp_path / "ensembles").exists()


def test_the_scores_say_themselves_that_they_need_it():
    asked = entry_attributes("scores", entry_names("scores"), "over_seeds")
    assert {name: quantity for name, quantity in asked.items() if quantity} == {
        name: QUANTITY_OF_METHOD[name] for name in asked if QUANTITY_OF_METHOD.get(name)
    }


@pytest.mark.parametrize(
    ("methods", "seeds"), [({"mcp": {}, "entropy": {}}, [0, 1]), ({"mcp": {}, "ensemble": {}}, [0])], ids=["not asked", "one seed"]
)
def test_the_stage_reads_no_predictions_where_there_is_nothing_to_make(
    root: Path, tmp_path: Path, methods: dict[str, dict], seeds: list[int]
):
    params = load(tmp_path, VALID | {"methods": methods, "seeds": seeds})
    save_dataset(small_digits(), Path("data/prepared/small"))
    stage.main(params, "small")  # in a folder without any predictions
    folder = Path("data/ensembles/small")
    assert sorted(digests(folder)) == sorted(f"{method}/facts.json" for method in methods)
    assert read_json(folder / "mcp/facts.json") == {"seeds": []}


def test_the_stage_stores_what_the_listed_scores_ask_for(trained: dict[str, Run], root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.chdir(trained["digits"].models_folder.parents[2])
    params = load(tmp_path, VALID | {"methods": {"mcp": {}, "ensemble": {}}, "seeds": [0, 1]})
    benchmark = trained["digits"].benchmark
    confidence, files = ensemble(trained["digits"]), digests(Path("data/ensembles/digits/ensemble"))
    stage.main(replace(params, benchmarks={"digits": benchmark}), "digits")
    assert sorted(digests(Path("data/ensembles/digits"))) == sorted(["mcp/facts.json", *(f"ensemble/{name}" for name in files)])
    assert digests(Path("data/ensembles/digits/ensemble")) == files
    assert np.array_equal(ensemble(load_run("digits", benchmark, 0, "ensemble", ())), confidence)
