"""Scores that cost nothing beyond the logits: each against its definition in 60 digits, and apart where plain float64 would tie."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mpmath import exp, fsum, log, mpf, workdps
from scipy.stats import rankdata
from small import answering, benchmark, small_digits, trained_run

from confidnet_core.config.registry import find_entry
from confidnet_core.scores.doctor import doctor
from confidnet_core.scores.energy import energy
from confidnet_core.scores.gen import gen
from confidnet_core.scores.log_odds import log_odds
from confidnet_core.scores.max_logit import max_logit
from confidnet_core.scores.mcp import mcp
from confidnet_core.scoring.run import Run

Probabilities = list[mpf]
FREE = ("mcp", "log_odds", "entropy", "margin", "doctor", "gen", "energy", "max_logit")
every_free_score = pytest.mark.parametrize("name", FREE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained_run(tmp_path_factory.mktemp("digits"), small_digits(), benchmark())


def run_of(trained: Run, logits: np.ndarray, folder: Path) -> Run:
    """Answers (k, 10) repeated over the test split."""
    return answering(trained, np.resize(logits, (len(trained.labels), 10)), folder)


def logits_of(case: str) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    return {"ordinary": 3 * drawn, "sure": 30 * drawn, "saturated": 1000 * drawn, "equal": 0 * drawn}[case]


def softmax(row: np.ndarray) -> Probabilities:
    powers = [exp(mpf(float(value))) for value in row]
    return [power / fsum(powers) for power in powers]


def complement(probabilities: Probabilities, at: int) -> mpf:
    return fsum(value for index, value in enumerate(probabilities) if index != at)


def largest(p: Probabilities) -> int:
    return max(range(len(p)), key=p.__getitem__)


DEFINITIONS: dict[str, tuple[Callable[[Run], np.ndarray], Callable[[Probabilities], mpf]]] = {
    "log_odds": (log_odds, lambda p: log(p[largest(p)]) - log(complement(p, largest(p)))),
    "doctor": (doctor, lambda p: log(fsum(v**2 for v in p)) - log(fsum(v * complement(p, at) for at, v in enumerate(p)))),
    "gen": (gen, lambda p: -fsum((v * complement(p, at)) ** mpf("0.1") for at, v in enumerate(p))),
    "gen of 3, gamma 0.5": (
        lambda run: gen(run, gamma=0.5, classes=3),
        lambda p: -fsum(sorted((v * complement(p, at)) ** mpf("0.5") for at, v in sorted(enumerate(p), key=lambda each: -each[1])[:3])),
    ),
}


@pytest.mark.parametrize("case", ["ordinary", "sure", "saturated", "equal"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_score_of_probabilities_is_its_definition(name: str, case: str, trained: Run, tmp_path: Path):
    score, definition = DEFINITIONS[name]
    logits = logits_of(case)
    got = score(run_of(trained, logits, tmp_path / "answers"))[: len(logits)]
    with workdps(900):  # enough that no probability is 1
        expected = [float(definition(softmax(row))) for row in logits]
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


def test_energy_and_max_logit_are_their_definitions(trained: Run, tmp_path: Path):
    logits = logits_of("ordinary").astype(float)
    run = run_of(trained, logits, tmp_path / "answers")
    np.testing.assert_allclose(energy(run)[:40], np.log(np.exp(logits).sum(1)), rtol=1e-12)
    np.testing.assert_allclose(energy(run, temperature=2.5)[:40], 2.5 * np.log(np.exp(logits / 2.5).sum(1)), rtol=1e-12)
    np.testing.assert_array_equal(max_logit(run)[:40], logits.max(1))
    np.testing.assert_allclose(energy(run, temperature=1e-3), max_logit(run), atol=1e-2)


def test_log_odds_ranks_as_mcp_until_probabilities_are_rounded_and_goes_on_from_there(trained: Run, tmp_path: Path):
    run = run_of(trained, logits_of("ordinary"), tmp_path / "ordinary")
    assert np.array_equal(rankdata(log_odds(run).round(9)), rankdata(log_odds_of(mcp(run)).round(9)))
    gaps = np.arange(20.0, 600.0, 20.0)
    sure = run_of(trained, np.where(np.arange(10) == 3, gaps[:, None], 0), tmp_path / "sure")
    assert len(np.unique(mcp(sure))) < 3
    np.testing.assert_allclose(log_odds(sure)[: len(gaps)], gaps - np.log(9), rtol=1e-12)
    for score in (doctor, gen):
        assert (np.diff(score(sure)[: len(gaps)]) > 0).all()


def log_odds_of(probability: np.ndarray) -> np.ndarray:
    return np.log(probability) - np.log1p(-probability)


@every_free_score
@pytest.mark.parametrize("case", ["saturated", "equal"])
def test_a_free_score_is_finite_however_far_or_near_the_logits_are(name: str, case: str, trained: Run, tmp_path: Path):
    assert np.isfinite(find_entry("scores", name)(run_of(trained, logits_of(case), tmp_path / "answers"))).all()


@every_free_score
def test_a_free_score_does_not_care_which_class_is_which(name: str, trained: Run, tmp_path: Path):
    logits = logits_of("ordinary")
    first = find_entry("scores", name)(run_of(trained, logits, tmp_path / "first"))
    second = find_entry("scores", name)(run_of(trained, logits[:, np.random.default_rng(1).permutation(10)], tmp_path / "second"))
    np.testing.assert_allclose(first, second, rtol=1e-12)
