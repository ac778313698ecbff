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

    quantity_of_method: the one of ENSEMBLE_QUANTITIES that a method needs; None for a method that needs none, whose folder then is the
        same for any seeds
    predictions: the folder with seedK/ of every seed, as the stage `predict` writes it
    Raises ValueError for an unknown quantity.
    """
    for method, quantity in quantity_of_method.items():
        if quantity is not None and quantity not in ENSEMBLE_QUANTITIES:
            raise ValueError(f"scores/{method}.py has over_seeds {quantity!r}{suggestion(quantity, ENSEMBLE_QUANTITIES)}")
    seeds, needed = sorted(seeds), {method: quantity for method, quantity in quantity_of_method.items() if quantity is not None}
    with atomic_write(folder) as temporary:
        for method in quantity_of_method:
            (temporary / method).mkdir(parents=True)
            write_json(temporary / method / "facts.json", {"seeds": seeds if method in needed else []})
        if needed and len(seeds) > 1:
            for split in SCORED_SPLITS:
                _save_split(temporary, needed, _mean_softmax_chunks(seeds, predictions, dataset, split), split)


def _save_split(
    folder: Path, quantity_of_method: Mapping[str, str], chunks: Iterator[tuple[int, slice, Tensor, Tensor]], split: str
) -> None:
    """Write one split's files chunk by chunk, so that no array of all predictions is in memory."""
    files: dict[str, np.ndarray] = {}
    for count, positions, mean, predicted in chunks:
        values = {quantity: ENSEMBLE_QUANTITIES[quantity](mean, predicted).numpy() for quantity in set(quantity_of_method.values())}
        for method, quantity in quantity_of_method.items():
            if method not in files:
                shape = (*values[quantity].shape[:-1], count)
                files[method] = np.lib.format.open_memmap(folder / method / f"{split}.npy", "w+", np.float64, shape)
            files[method][..., positions] = values[quantity]


def _mean_softmax_chunks(
    seeds: Sequence[int], predictions: Path, dataset: Dataset, split: str
) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    """Yield for each chunk of the n labelled predictions: n, the chunk's slice of them, and the arguments of ENSEMBLE_QUANTITIES."""
    folders = [predictions / f"seed{seed}" / split for seed in seeds]
    logits, classes = ([np.load(folder / name, mmap_mode="r") for folder in folders] for name in ("logits.npy", "predicted.npy"))
    is_labelled = labelled(dataset.split(split)[1], dataset.void)
    count, images_per_chunk, done = int(is_labelled.sum()), max(1, PREDICTIONS_PER_CHUNK // is_labelled[0].size), 0
    for start in range(0, len(is_labelled), images_per_chunk):
        images = slice(start, start + images_per_chunk)
        mask = is_labelled[images]
        mean = reduce(add, (_softmax(seed_logits[images], mask) for seed_logits in logits)) / len(seeds)
        predicted = torch.from_numpy(np.stack([seed_classes[images][mask] for seed_classes in classes]).astype(np.int64))
        positions = slice(done, done + len(mean))
        yield count, positions, mean, predicted
        done = positions.stop


def _softmax(logits: Float[np.ndarray, "b classes *pixels"], is_labelled: Bool[np.ndarray, " b *pixels"]) -> Float64[Tensor, "m classes"]:
    """Return the softmax of the m labelled predictions in float64: float32 would saturate at exactly 1."""
    return torch.from_numpy(np.moveaxis(logits, 1, -1)[is_labelled]).double().softmax(1)
