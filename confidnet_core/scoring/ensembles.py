"""Deep ensembles: quantities of the classifiers of several seeds together, such as of their mean softmax, computed once for all scores.

Lakshminarayanan et al. 2017, arXiv:1612.01474.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, Integer
from torch import Tensor

from confidnet_core.config.registry import suggestion
from confidnet_core.data import SCORED_SPLITS, Dataset, labelled_mask
from confidnet_core.files import atomic_write, load_array, write_json
from confidnet_core.networks.probabilities import class_log_odds
from confidnet_core.system.room import new_memory_map

PREDICTIONS_PER_CHUNK, LOGITS_PER_CHUNK = 2**20, 2**24  # bound the memory, with few and with many classes


@dataclass(frozen=True)
class EnsembleChunk:
    """m labelled predictions of a split, by the classifiers of all seeds.

    predicted: int64 (seeds, m), the classes that each seed's own classifier predicts
    read_logits: returns the logits of the seed with this index, float64 (m, classes)
    """

    predicted: Int64[Tensor, "seeds m"]
    read_logits: Callable[[int], Float64[Tensor, "m classes"]]

    @cached_property
    def mean_softmax(self) -> Float64[Tensor, "m classes"]:
        """The mean probabilities over the seeds; in float32 they would saturate at exactly 1."""
        seed_indices = range(len(self.predicted))
        return reduce(add, (self.read_logits(seed_index).softmax(1) for seed_index in seed_indices)) / len(self.predicted)

    def log_odds_with_next_seed(self) -> Float64[Tensor, "seeds m"]:
        """Return for each seed the mean log-odds of what it predicts, over its own classifier and that of the next seed, in a circle."""
        seed_count = len(self.predicted)
        log_odds = torch.zeros(self.predicted.shape, dtype=torch.float64)
        for seed_index in range(seed_count):
            logits = self.read_logits(seed_index)
            for asking_seed in (seed_index, (seed_index - 1) % seed_count):
                log_odds[asking_seed] += class_log_odds(logits, self.predicted[asking_seed]) / 2
        return log_odds


# A run's predictions stay those of its own classifier, which the ensemble need not share.
ENSEMBLE_QUANTITIES: dict[str, Callable[[EnsembleChunk], Tensor]] = {
    # (m,), in nats, in [0, log(classes)]
    "predictive_entropy": lambda chunk: torch.special.entr(chunk.mean_softmax).sum(1),
    # (seeds, m), in [0, 1]
    "probability_of_predicted": lambda chunk: chunk.mean_softmax.gather(1, chunk.predicted.T).T,
    # (seeds, m), any real number
    "log_odds_with_next_seed": EnsembleChunk.log_odds_with_next_seed,
}


def save_ensembles(
    ensembles_folder: Path,
    ensemble_quantity_of_method: Mapping[str, str | None],
    seeds: Sequence[int],
    predictions_folder: Path,
    dataset: Dataset,
) -> None:
    """Compute the deep-ensemble quantities that scores need, and write them to a folder METHOD/ for each score; all folders or none.

    METHOD/ holds facts.json with the seeds of the ensemble and, for a score that needs an ensemble of two or more seeds, SPLIT.npy of each
    split: float64 (n,), or (seeds, n) in the order of "seeds" in facts.json.

    ensemble_quantity_of_method: {name of a score: the one of ENSEMBLE_QUANTITIES that it needs}; None for a score without an ensemble,
        whose folder then is the same for any seeds
    predictions_folder: the folder with seedK/ of every seed, as the stage `predict` writes it
    Raises ValueError for an unknown quantity.
    """
    for method, ensemble_quantity in ensemble_quantity_of_method.items():
        if ensemble_quantity is not None and ensemble_quantity not in ENSEMBLE_QUANTITIES:
            raise ValueError(f"scores/{method}.py has over_seeds {ensemble_quantity!r}{suggestion(ensemble_quantity, ENSEMBLE_QUANTITIES)}")
    seeds = sorted(seeds)
    quantity_of_ensemble_method = {
        method: ensemble_quantity for method, ensemble_quantity in ensemble_quantity_of_method.items() if ensemble_quantity is not None
    }
    with atomic_write(ensembles_folder) as temporary_folder:
        for method in ensemble_quantity_of_method:
            (temporary_folder / method).mkdir(parents=True)
            write_json(temporary_folder / method / "facts.json", {"seeds": seeds if method in quantity_of_ensemble_method else []})
        if quantity_of_ensemble_method and len(seeds) > 1:
            for split in SCORED_SPLITS:
                _save_split_quantities(
                    temporary_folder, quantity_of_ensemble_method, _stored_ensemble_chunks(seeds, predictions_folder, dataset, split), split
                )


def _save_split_quantities(
    ensembles_folder: Path,
    ensemble_quantity_of_method: Mapping[str, str],
    chunks: Iterator[tuple[int, slice, EnsembleChunk]],
    split: str,
) -> None:
    """Write the ensemble quantity of each score on one split to METHOD/SPLIT.npy, chunk by chunk, which bounds memory.

    chunks: what _stored_ensemble_chunks yields
    """
    array_of_method: dict[str, np.ndarray] = {}
    for prediction_count, chunk_slice, chunk in chunks:
        chunk_quantities = {
            ensemble_quantity: ENSEMBLE_QUANTITIES[ensemble_quantity](chunk).numpy()
            for ensemble_quantity in set(ensemble_quantity_of_method.values())
        }
        for method, ensemble_quantity in ensemble_quantity_of_method.items():
            if method not in array_of_method:
                array_shape = (*chunk_quantities[ensemble_quantity].shape[:-1], prediction_count)
                array_path = ensembles_folder / method / f"{split}.npy"
                array_of_method[method] = new_memory_map(array_path, np.float64, array_shape)
            array_of_method[method][..., chunk_slice] = chunk_quantities[ensemble_quantity]


def ensemble_quantities(
    quantities: Iterable[str],
    logits_by_seed: Sequence[Float[np.ndarray, "images classes *pixels"]],
    predicted_maps_by_seed: Sequence[Integer[np.ndarray, " images *pixels"]],
    is_labelled: Bool[np.ndarray, " images *pixels"],
) -> dict[str, Float64[np.ndarray, " *seeds n"]]:
    """Return ensemble quantities of n labelled predictions of images, which need not be those of a split: (n,), or (seeds, n)."""
    chunks = [chunk for *_, chunk in _ensemble_chunks(logits_by_seed, predicted_maps_by_seed, is_labelled)]
    return {name: np.concatenate([ENSEMBLE_QUANTITIES[name](chunk).numpy() for chunk in chunks], axis=-1) for name in quantities}


def _stored_ensemble_chunks(
    seeds: Sequence[int], predictions_folder: Path, dataset: Dataset, split: str
) -> Iterator[tuple[int, slice, EnsembleChunk]]:
    """Yield the chunks of a split's stored predictions, as _ensemble_chunks does."""
    split_folders = [predictions_folder / f"seed{seed}" / split for seed in seeds]
    labels = dataset.split(split)[1]
    shape_of_file = {"logits.npy": (len(labels), len(dataset.classes), *labels.shape[1:]), "predicted.npy": labels.shape}
    logits_by_seed, predicted_maps_by_seed = (
        [load_array(split_folder / file_name, shape, memory_mapped=True) for split_folder in split_folders]
        for file_name, shape in shape_of_file.items()
    )
    return _ensemble_chunks(logits_by_seed, predicted_maps_by_seed, labelled_mask(labels, dataset.void))


def _ensemble_chunks(
    logits_by_seed: Sequence[Float[np.ndarray, "images classes *pixels"]],
    predicted_maps_by_seed: Sequence[Integer[np.ndarray, " images *pixels"]],
    is_labelled: Bool[np.ndarray, " images *pixels"],
) -> Iterator[tuple[int, slice, EnsembleChunk]]:
    """Yield the n labelled predictions of all images in chunks of m: n, the chunk's slice of them, and the chunk."""
    prediction_count, first_prediction_index = int(is_labelled.sum()), 0
    predictions_per_chunk = min(PREDICTIONS_PER_CHUNK, LOGITS_PER_CHUNK // logits_by_seed[0].shape[1])
    images_per_chunk = max(1, predictions_per_chunk // is_labelled[0].size)
    for first_image_index in range(0, len(is_labelled), images_per_chunk):
        image_slice = slice(first_image_index, first_image_index + images_per_chunk)
        is_labelled_in_chunk = is_labelled[image_slice]
        logits_in_chunk = [seed_logits[image_slice] for seed_logits in logits_by_seed]
        predicted_by_seed = torch.from_numpy(
            np.stack([seed_predicted_maps[image_slice][is_labelled_in_chunk] for seed_predicted_maps in predicted_maps_by_seed]).astype(
                np.int64
            )
        )
        chunk_slice = slice(first_prediction_index, first_prediction_index + predicted_by_seed.shape[1])
        read_logits = partial(_labelled_logits, logits_in_chunk, is_labelled_in_chunk)
        yield prediction_count, chunk_slice, EnsembleChunk(predicted_by_seed, read_logits)
        first_prediction_index = chunk_slice.stop


def _labelled_logits(
    logits_by_seed: Sequence[Float[np.ndarray, "b classes *pixels"]], is_labelled: Bool[np.ndarray, " b *pixels"], seed_index: int
) -> Float64[Tensor, "m classes"]:
    """Return one seed's logits, float64 (m, classes), of the m labelled images or pixels."""
    return torch.from_numpy(np.moveaxis(logits_by_seed[seed_index], 1, -1)[is_labelled]).double()
