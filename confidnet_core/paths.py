"""Where the stages store what they make: every path below data/ and models/, relative to the project's root.

A split is a folder or a file of its own name, the test split as the others.
"""

from pathlib import Path

MODELS, PREDICTIONS, SAMPLES, ENSEMBLES = Path("models"), Path("data/predictions"), Path("data/samples"), Path("data/ensembles")


def sources(benchmark: str) -> Path:
    """dataset.txt and model.txt: digests of the code that the benchmark names."""
    return Path("data/sources") / benchmark


def prepared(benchmark: str) -> Path:
    """images.npy, labels.npy, split.json and facts.json."""
    return Path("data/prepared") / benchmark


def seed_folder(folder: Path, benchmark: str, seed: int) -> Path:
    """FOLDER/BENCHMARK/seedSEED"""
    return folder / benchmark / f"seed{seed}"


def network(benchmark: str, seed: int, name: str) -> Path:
    """weights.pt, model.json and origin.json of baseline, confidnet, finetune or corrected_mcp."""
    return seed_folder(MODELS, benchmark, seed) / name


def history(benchmark: str, seed: int, name: str) -> Path:
    """How a network was trained, a row an epoch."""
    return seed_folder(Path("data/histories"), benchmark, seed) / f"{name}.csv"


def predictions(benchmark: str, seed: int) -> Path:
    """metrics.json, and SPLIT/ with logits.npy and predicted.npy."""
    return seed_folder(PREDICTIONS, benchmark, seed)


def samples(benchmark: str, seed: int) -> Path:
    """facts.json, and SPLIT/QUANTITY.npy of stochastic forward passes."""
    return seed_folder(SAMPLES, benchmark, seed)


def ensemble(benchmark: str, method: str) -> Path:
    """facts.json, and SPLIT.npy where the score reads the classifiers of all seeds."""
    return ENSEMBLES / benchmark / method


def inputs(benchmark: str, seed: int, method: str) -> Path:
    """Digests of what a score reads beside the classifier and its predictions."""
    return seed_folder(Path("data/inputs"), benchmark, seed) / f"{method}.json"


def score(benchmark: str, seed: int, method: str) -> Path:
    """SPLIT.npy, metrics.json and fitted.pt."""
    return seed_folder(Path("data/scores"), benchmark, seed) / method


def replicates(benchmark: str, seed: int, method: str) -> Path:
    """Metrics over resamples of the test split."""
    return seed_folder(Path("data/bootstrap"), benchmark, seed) / f"{method}.npy"


def thresholds(benchmark: str, seed: int, method: str) -> Path:
    """calibration.json, replicates.npy, reliability.csv and threshold.json."""
    return seed_folder(Path("data/thresholds"), benchmark, seed) / method
