"""The paths below data/ and models/ of all outputs of the stages, relative to the project's root.

A split's outputs are a folder or a file with the name of the split.
"""

from pathlib import Path

MODELS_FOLDER, PREDICTIONS_FOLDER = Path("models"), Path("data/predictions")
DROPOUT_SAMPLES_FOLDER, ENSEMBLES_FOLDER = Path("data/samples"), Path("data/ensembles")
INPUTS_FOLDER, SCORES_FOLDER, THRESHOLDS_FOLDER = Path("data/inputs"), Path("data/scores"), Path("data/thresholds")
FOREIGN_FOLDER = Path("data/foreign")


def entry_code_digests_folder(benchmark: str) -> Path:
    """Return the path of the folder with digests of the code of the benchmark's data set and model, and its sections of params.yaml."""
    return Path("data/sources") / benchmark


def attached_files_folder(benchmark: str) -> Path:
    """Return the path of the folder with links to the weights that a benchmark takes from elsewhere, and their names."""
    return Path("data/attached") / benchmark


def attached_code_path(benchmark: str) -> Path:
    """Return the path of the link to the package of one's own that a benchmark's model comes from, a short text for other models."""
    return Path("data/attached_code") / benchmark


def prepared_data_folder(benchmark: str) -> Path:
    """Return the path of the folder with a benchmark's prepared data: images.npy, labels.npy, split.json and facts.json."""
    return Path("data/prepared") / benchmark


def seed_folder(parent_folder: Path, benchmark: str, seed: int) -> Path:
    """Return the path PARENT_FOLDER/BENCHMARK/seedSEED, below which the stages write what belongs to one benchmark and seed."""
    return parent_folder / benchmark / f"seed{seed}"


def network_folder(benchmark: str, seed: int, network_name: str) -> Path:
    """Return the path of a network's folder with weights.pt, model.json and origin.json.

    network_name: baseline, confidnet, finetune, finetune_augmented, corrected_mcp or second_opinion
    """
    return seed_folder(MODELS_FOLDER, benchmark, seed) / network_name


def history_path(benchmark: str, seed: int, network_name: str) -> Path:
    """Return the path of a network's training history, a CSV file with a row for each epoch."""
    return seed_folder(Path("data/histories"), benchmark, seed) / f"{network_name}.csv"


def predictions_folder(benchmark: str, seed: int) -> Path:
    """Return the path of the folder with the classifier's predictions: metrics.json, and SPLIT/ with logits.npy and predicted.npy."""
    return seed_folder(PREDICTIONS_FOLDER, benchmark, seed)


def dropout_samples_folder(benchmark: str, seed: int) -> Path:
    """Return the path of the folder with results of forward passes with dropout: facts.json and SPLIT/QUANTITY.npy."""
    return seed_folder(DROPOUT_SAMPLES_FOLDER, benchmark, seed)


def ensemble_folder(benchmark: str, method: str) -> Path:
    """Return the path of the folder with a score's ensemble over seeds: facts.json, and SPLIT.npy if the score needs it."""
    return ENSEMBLES_FOLDER / benchmark / method


def input_digests_path(benchmark: str, seed: int, method: str) -> Path:
    """Return the path of the JSON file with digests of the networks and samples that a score reads beside the classifier."""
    return seed_folder(INPUTS_FOLDER, benchmark, seed) / f"{method}.json"


def score_folder(benchmark: str, seed: int, method: str) -> Path:
    """Return the path of the folder with a score's results: SPLIT.npy (confidences), metrics.json and fitted.pt."""
    return seed_folder(SCORES_FOLDER, benchmark, seed) / method


def bootstrap_replicates_path(benchmark: str, seed: int, method: str) -> Path:
    """Return the path of the array of a score's metrics on bootstrap resamples of the test split."""
    return seed_folder(Path("data/bootstrap"), benchmark, seed) / f"{method}.npy"


def thresholds_folder(benchmark: str, seed: int, method: str) -> Path:
    """Return the path of the folder with a score's thresholds: calibration.json, replicates.npy, reliability.csv and threshold.json."""
    return seed_folder(THRESHOLDS_FOLDER, benchmark, seed) / method


def foreign_images_folder(benchmark: str) -> Path:
    """Return the path of the folder with images that are foreign to a benchmark: facts.json, and NAME.npy for each set of them."""
    return FOREIGN_FOLDER / benchmark


def shifted_results_folder(benchmark: str) -> Path:
    """Return the path of the folder with a benchmark's results under shift and on foreign images: shifts.csv and foreign.csv."""
    return Path("data/shifts") / benchmark
