"""Deep ensembles: what the mean softmax of the classifiers of several seeds says of a prediction.

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
from confidnet_core.data import SCORED, Dataset, labelled
from confidnet_core.files import atomic_write, write_json

CHUNK = 2**20  # predictions whose probabilities are in memory at once

# Of mean probabilities float64 (m, classes), and the classes that each seed's own classifier predicts, int64 (seeds, m).
QUANTITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # (m,), in nats, in [0, log(classes)]
    "predictive_entropy": lambda mean, _: torch.special.entr(mean).sum(1),
    # (seeds, m), in [0, 1]: a run's predictions stay those of its own classifier, which the ensemble need not share
    "probability_of_predicted": lambda mean, predicted: mean.gather(1, predicted.T).T,
}


def save_ensembles(folder: Path, asked: Mapping[str, str | None], seeds: Sequence[int], predictions: Path, dataset: Dataset) -> None:
    """METHOD/ each, with facts.json and, for a method that asks for one of QUANTITIES, SPLIT.npy: float64 (n,), or (seeds, n) in the
    order of "seeds" in facts.json; all or none.

    asked: the quantity by method; None for one that needs none, whose folder then is the same for any seeds
    predictions: the folder with seedK/ of every seed, as `predict` writes it. Two seeds at least, or facts.json is all that is written.
    ValueError for another quantity.
    """
    for method, quantity in asked.items():
        if quantity is not None and quantity not in QUANTITIES:
            raise ValueError(f"scores/{method}.py has over_seeds {quantity!r}{suggestion(quantity, QUANTITIES)}")
    seeds, wanted = sorted(seeds), {method: quantity for method, quantity in asked.items() if quantity is not None}
    with atomic_write(folder) as temporary:
        for method in asked:
            (temporary / method).mkdir(parents=True)
            write_json(temporary / method / "facts.json", {"seeds": seeds if method in wanted else []})
        if wanted and len(seeds) > 1:
            for split in SCORED:
                _save_split(temporary, wanted, _mean_softmax(seeds, predictions, dataset, split), split)


def _save_split(folder: Path, wanted: Mapping[str, str], chunks: Iterator[tuple[int, slice, Tensor, Tensor]], split: str) -> None:
    """Chunk by chunk into the files, so that no array of all predictions is in memory."""
    files: dict[str, np.ndarray] = {}
    for count, where, mean, predicted in chunks:
        values = {quantity: QUANTITIES[quantity](mean, predicted).numpy() for quantity in set(wanted.values())}
        for method, quantity in wanted.items():
            if method not in files:
                shape = (*values[quantity].shape[:-1], count)
                files[method] = np.lib.format.open_memmap(folder / method / f"{split}.npy", "w+", np.float64, shape)
            files[method][..., where] = values[quantity]


def _mean_softmax(seeds: Sequence[int], predictions: Path, dataset: Dataset, split: str) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    """Chunks of the n labelled predictions: n, the slice of them, and what QUANTITIES are computed of."""
    folders = [predictions / f"seed{seed}" / split for seed in seeds]
    logits, classes = ([np.load(folder / name, mmap_mode="r") for folder in folders] for name in ("logits.npy", "predicted.npy"))
    counted = labelled(dataset.split(split)[1], dataset.void)
    count, step, done = int(counted.sum()), max(1, CHUNK // counted[0].size), 0
    for start in range(0, len(counted), step):
        part = slice(start, start + step)
        inside = counted[part]
        mean = reduce(add, (_softmax(one[part], inside) for one in logits)) / len(seeds)
        predicted = torch.from_numpy(np.stack([one[part][inside] for one in classes]).astype(np.int64))
        where = slice(done, done + len(mean))
        yield count, where, mean, predicted
        done = where.stop


def _softmax(logits: Float[np.ndarray, "b classes *pixels"], counted: Bool[np.ndarray, " b *pixels"]) -> Float64[Tensor, "m classes"]:
    """Logits (b, classes, ...) at the m labelled predictions, by the mask counted (b, ...), -> float64 (m, classes): float32 would
    saturate at exactly 1.
    """
    return torch.from_numpy(np.moveaxis(logits, 1, -1)[counted]).double().softmax(1)
