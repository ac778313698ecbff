"""Deep ensembles: quantities of the mean softmax over the classifiers of several seeds, computed once for all scores.

Lakshminarayanan et al. 2017, arXiv:1612.01474.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from confidnet_core.config.registry import suggestion
from confidnet_core.data import SCORED_SPLITS, Dataset, labelled_mask
from confidnet_core.files import atomic_write, load_array, write_json
from confidnet_core.system.room import new_memory_map

PREDICTIONS_PER_CHUNK, PROBABILITIES_PER_CHUNK = 2**20, 2**24  # bound the memory, with few and with many classes

# Each is a function of the mean probabilities, float64 (m, classes), and of the classes that each seed's own classifier predicts,
# int64 (seeds, m).
ENSEMBLE_QUANTITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # (m,), in nats, in [0, log(classes)]
    "predictive_entropy": lambda mean_softmax, _: torch.special.entr(mean_softmax).sum(1),
    # (seeds, m), in [0, 1]: a run's predictions stay those of its own classifier, which the ensemble need not share
    "probability_of_predicted": lambda mean_softmax, predicted: mean_softmax.gather(1, predicted.T).T,
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
                    temporary_folder, quantity_of_ensemble_method, _mean_softmax_chunks(seeds, predictions_folder, dataset, split), split
                )


def _save_split_quantities(
    ensembles_folder: Path,
    ensemble_quantity_of_method: Mapping[str, str],
    softmax_chunks: Iterator[tuple[int, slice, Tensor, Tensor]],
    split: str,
) -> None:
    """Write the ensemble quantity of each score on one split to METHOD/SPLIT.npy, chunk by chunk, which bounds memory.

    softmax_chunks: what _mean_softmax_chunks yields
    """
    array_of_method: dict[str, np.ndarray] = {}
    for prediction_count, chunk_slice, mean_softmax, predicted_by_seed in softmax_chunks:
        chunk_quantities = {
            ensemble_quantity: ENSEMBLE_QUANTITIES[ensemble_quantity](mean_softmax, predicted_by_seed).numpy()
            for ensemble_quantity in set(ensemble_quantity_of_method.values())
        }
        for method, ensemble_quantity in ensemble_quantity_of_method.items():
            if method not in array_of_method:
                array_shape = (*chunk_quantities[ensemble_quantity].shape[:-1], prediction_count)
                array_path = ensembles_folder / method / f"{split}.npy"
                array_of_method[method] = new_memory_map(array_path, np.float64, array_shape)
            array_of_method[method][..., chunk_slice] = chunk_quantities[ensemble_quantity]


def _mean_softmax_chunks(
    seeds: Sequence[int], predictions_folder: Path, dataset: Dataset, split: str
) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    """Yield the n labelled predictions of a split in chunks of m: n, the chunk's slice, mean softmax, and predicted classes.

    The mean softmax over the seeds is float64 (m, classes); the classes that each seed's classifier predicts are int64 (seeds, m).
    """
    split_folders = [predictions_folder / f"seed{seed}" / split for seed in seeds]
    labels = dataset.split(split)[1]
    shape_of_file = {"logits.npy": (len(labels), len(dataset.classes), *labels.shape[1:]), "predicted.npy": labels.shape}
    logits_by_seed, predicted_maps_by_seed = (
        [load_array(split_folder / file_name, shape, memory_mapped=True) for split_folder in split_folders]
        for file_name, shape in shape_of_file.items()
    )
    is_labelled = labelled_mask(labels, dataset.void)
    prediction_count, first_prediction_index = int(is_labelled.sum()), 0
    predictions_per_chunk = min(PREDICTIONS_PER_CHUNK, PROBABILITIES_PER_CHUNK // logits_by_seed[0].shape[1])
    images_per_chunk = max(1, predictions_per_chunk // is_labelled[0].size)
    for first_image_index in range(0, len(is_labelled), images_per_chunk):
        image_slice = slice(first_image_index, first_image_index + images_per_chunk)
        is_labelled_in_chunk = is_labelled[image_slice]
        mean_softmax = reduce(
            add, (_softmax_of_labelled(seed_logits[image_slice], is_labelled_in_chunk) for seed_logits in logits_by_seed)
        ) / len(seeds)
        predicted_by_seed = torch.from_numpy(
            np.stack([seed_predicted_maps[image_slice][is_labelled_in_chunk] for seed_predicted_maps in predicted_maps_by_seed]).astype(
                np.int64
            )
        )
        chunk_slice = slice(first_prediction_index, first_prediction_index + len(mean_softmax))
        yield prediction_count, chunk_slice, mean_softmax, predicted_by_seed
        first_prediction_index = chunk_slice.stop


def _softmax_of_labelled(
    logits: Float[np.ndarray, "b classes *pixels"], is_labelled: Bool[np.ndarray, " b *pixels"]
) -> Float64[Tensor, "m classes"]:
    """Return the softmax probabilities, float64 (m, classes), of the m labelled images or pixels; float32 would saturate at exactly 1."""
    return torch.from_numpy(np.moveaxis(logits, 1, -1)[is_labelled]).double().softmax(1)
