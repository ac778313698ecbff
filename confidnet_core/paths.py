"""The paths below data/ and models/ of all outputs of the stages, relative to the project's root.

A split's outputs are a folder or a file with the name of the split.
"""

from pathlib import Path

MODELS, PREDICTIONS, SAMPLES, ENSEMBLES = Path("models"), Path("data/predictions"), Path("data/samples"), Path("data/ensembles")


def sources(benchmark: str) -> Path:
    """Return the folder with dataset.txt and model.txt: digests of the code of the benchmark's data set and model."""
    return Path("data/sources") / benchmark


def prepared(benchmark: str) -> Path:
    """Return the folder of the prepared data: images.npy, labels.npy, split.json and facts.json."""
    return Path("data/prepared") / benchmark


def seed_folder(folder: Path, benchmark: str, seed: int) -> Path:
    """Return FOLDER/BENCHMARK/seedSEED."""
    return folder / benchmark / f"seed{seed}"


def network(benchmark: str, seed: int, name: str) -> Path:
    """Return the folder of a network, baseline, confidnet, finetune or corrected_mcp: weights.pt, model.json and origin.json."""
    return seed_folder(MODELS, benchmark, seed) / name


def history(benchmark: str, seed: int, name: str) -> Path:
    """Return the file of a network's training history, with a row for each epoch."""
    return seed_folder(Path("data/histories"), benchmark, seed) / f"{name}.csv"


def predictions(benchmark: str, seed: int) -> Path:
    """Return the folder of the classifier's predictions: metrics.json, and SPLIT/ with logits.npy and predicted.npy."""
    return seed_folder(PREDICTIONS, benchmark, seed)


def samples(benchmark: str, seed: int) -> Path:
    """Return the folder of the quantities of stochastic forward passes: facts.json and SPLIT/QUANTITY.npy."""
    return seed_folder(SAMPLES, benchmark, seed)


def ensemble(benchmark: str, method: str) -> Path:
    """Return the folder of a method's ensemble: facts.json, and SPLIT.npy where the score reads the classifiers of all seeds."""
    return ENSEMBLES / benchmark / method


def inputs(benchmark: str, seed: int, method: str) -> Path:
    """Return the file with digests of what a score reads beside the classifier and its predictions."""
    return seed_folder(Path("data/inputs"), benchmark, seed) / f"{method}.json"


def score(benchmark: str, seed: int, method: str) -> Path:
    """Return the folder of a score: SPLIT.npy, metrics.json and fitted.pt."""
    return seed_folder(Path("data/scores"), benchmark, seed) / method


def replicates(benchmark: str, seed: int, method: str) -> Path:
    """Return the file of a score's metrics over resamples of the test split."""
    return seed_folder(Path("data/bootstrap"), benchmark, seed) / f"{method}.npy"


def thresholds(benchmark: str, seed: int, method: str) -> Path:
    """Return the folder of a score's thresholds: calibration.json, replicates.npy, reliability.csv and threshold.json."""
    return seed_folder(Path("data/thresholds"), benchmark, seed) / method
