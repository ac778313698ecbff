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
from confidnet_core.data import SCORED_SPLITS, Dataset, labelled
from confidnet_core.files import atomic_write, write_json

PREDICTIONS_PER_CHUNK = 2**20  # bounds the memory: probabilities of this many predictions are held at once

# Each is a function of the mean probabilities, float64 (m, classes), and of the classes that each seed's own classifier predicts,
# int64 (seeds, m).
ENSEMBLE_QUANTITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # (m,), in nats, in [0, log(classes)]
    "predictive_entropy": lambda mean, _: torch.special.entr(mean).sum(1),
    # (seeds, m), in [0, 1]: a run's predictions stay those of its own classifier, which the ensemble need not share
    "probability_of_predicted": lambda mean, predicted: mean.gather(1, predicted.T).T,
}


def save_ensembles(
    folder: Path, quantity_of_method: Mapping[str, str | None], seeds: Sequence[int], predictions: Path, dataset: Dataset
) -> None:
    """Write a folder METHOD/ for each method: facts.json and, where it needs an ensemble, SPLIT.npy; all folders or none.

    SPLIT.npy is float64 (n,), or (seeds, n) in the order of "seeds" in facts.json. With fewer than two seeds only facts.json is written.

    quantity_of_method: {method: the one of ENSEMBLE_QUANTITIES that it needs}; None for a method without an ensemble, whose folder then
        is the same for any seeds
    predictions: the folder with seedK/ of every seed, as the stage `predict` writes it
    Raises ValueError for an unknown quantity.
    """
    for method, quantity in quantity_of_method.items():
        if quantity is not None and quantity not in ENSEMBLE_QUANTITIES:
            raise ValueError(f"scores/{method}.py has over_seeds {quantity!r}{suggestion(quantity, ENSEMBLE_QUANTITIES)}")
    seeds, quantity_of_ensemble_method = (
        sorted(seeds),
        {method: quantity for method, quantity in quantity_of_method.items() if quantity is not None},
    )
    with atomic_write(folder) as temporary:
        for method in quantity_of_method:
            (temporary / method).mkdir(parents=True)
            write_json(temporary / method / "facts.json", {"seeds": seeds if method in quantity_of_ensemble_method else []})
        if quantity_of_ensemble_method and len(seeds) > 1:
            for split in SCORED_SPLITS:
                _save_split_quantities(
                    temporary, quantity_of_ensemble_method, _mean_softmax_chunks(seeds, predictions, dataset, split), split
                )


def _save_split_quantities(
    folder: Path, quantity_of_method: Mapping[str, str], chunks: Iterator[tuple[int, slice, Tensor, Tensor]], split: str
) -> None:
    """Write METHOD/SPLIT.npy of each method chunk by chunk, so that memory never holds the values of all predictions."""
    file_of_method: dict[str, np.ndarray] = {}
    for prediction_count, positions, mean, predicted in chunks:
        values = {quantity: ENSEMBLE_QUANTITIES[quantity](mean, predicted).numpy() for quantity in set(quantity_of_method.values())}
        for method, quantity in quantity_of_method.items():
            if method not in file_of_method:
                shape = (*values[quantity].shape[:-1], prediction_count)
                file_of_method[method] = np.lib.format.open_memmap(folder / method / f"{split}.npy", "w+", np.float64, shape)
            file_of_method[method][..., positions] = values[quantity]


def _mean_softmax_chunks(
    seeds: Sequence[int], predictions: Path, dataset: Dataset, split: str
) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    """Yield the n labelled predictions in chunks: n, the chunk's slice, its mean softmax over seeds, and the class each seed predicts."""
    folders = [predictions / f"seed{seed}" / split for seed in seeds]
    logits, classes = ([np.load(folder / name, mmap_mode="r") for folder in folders] for name in ("logits.npy", "predicted.npy"))
    is_labelled = labelled(dataset.split(split)[1], dataset.void)
    prediction_count, images_per_chunk, predictions_done = int(is_labelled.sum()), max(1, PREDICTIONS_PER_CHUNK // is_labelled[0].size), 0
    for start in range(0, len(is_labelled), images_per_chunk):
        images = slice(start, start + images_per_chunk)
        is_labelled_in_chunk = is_labelled[images]
        mean = reduce(add, (_softmax_of_labelled(seed_logits[images], is_labelled_in_chunk) for seed_logits in logits)) / len(seeds)
        predicted = torch.from_numpy(np.stack([seed_classes[images][is_labelled_in_chunk] for seed_classes in classes]).astype(np.int64))
        positions = slice(predictions_done, predictions_done + len(mean))
        yield prediction_count, positions, mean, predicted
        predictions_done = positions.stop


def _softmax_of_labelled(
    logits: Float[np.ndarray, "b classes *pixels"], is_labelled: Bool[np.ndarray, " b *pixels"]
) -> Float64[Tensor, "m classes"]:
    """Return the softmax, float64 (m, classes), of the m labelled predictions; float32 would saturate at exactly 1."""
    return torch.from_numpy(np.moveaxis(logits, 1, -1)[is_labelled]).double().softmax(1)
