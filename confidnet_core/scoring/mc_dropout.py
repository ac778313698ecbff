"""Monte-Carlo dropout: what stochastic passes say of a prediction, sampled once for all scores that ask.

Gal & Ghahramani 2016, arXiv:1506.02142; the two entropies, Depeweg et al. 2018, arXiv:1710.07283.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from confidnet_core.config.params import McDropout
from confidnet_core.data import Dataset, labelled
from confidnet_core.files import atomic_write, write_json
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import set_dropout
from confidnet_core.networks.device import autocast, to_device, to_float64
from confidnet_core.networks.inference import map_images

# Entropies are in nats. The largest mean probability is that of the class that the passes prefer, which need not be the one predicted.
QUANTITIES = ("predictive_entropy", "expected_entropy", "largest_mean_probability")


def has_dropout(classifier: Classifier) -> bool:
    """Whether dropout with a rate above 0 can be switched on; it is left off."""
    return set_dropout(classifier, False) > 0


def sample(
    classifier: Classifier, dataset: Dataset, split: str, how: McDropout, seed: int, where: torch.device
) -> dict[str, Float64[np.ndarray, " n"]]:
    """QUANTITIES over passes with dropout on, BatchNorm as in evaluation: float64 (n,) each, over the n labelled predictions of the split.

    predictive_entropy        entropy of the mean softmax
    expected_entropy          mean entropy of the passes' softmax; the rest of the predictive one is their mutual information
    largest_mean_probability  of the mean softmax

    All draws follow from the seed; the generator is left as it was, and dropout is left off.
    """
    images, labels = dataset.split(split)
    network = to_device(classifier, where).eval()
    before, after = network.split_at_dropout()

    def quantities(batch: Tensor) -> Tensor:
        mean = entropy = torch.zeros(())  # running sums: one map of probabilities in memory, not one a pass
        with autocast(where, how.precision):
            shared = before(batch)
        for _ in range(how.passes):
            with autocast(where, how.precision):
                probabilities = after(shared).float().softmax(1)
            mean = probabilities + mean
            entropy = _entropy(probabilities) + entropy
        mean = mean.div_(how.passes)
        return torch.stack([_entropy(mean), entropy / how.passes, to_float64(mean.amax(1))], dim=-1)

    set_dropout(network, True)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found = map_images(quantities, images, dataset, where, f"sample {split}")[labelled(labels, dataset.void)]
    finally:
        set_dropout(network, False)
    return dict(zip(QUANTITIES, found.T, strict=True))


def save_samples(folder: Path, samples: Mapping[str, Mapping[str, np.ndarray]], passes: int, dropout: bool) -> None:
    """SPLIT/QUANTITY.npy each, and facts.json; all or none."""
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        for split, quantities in samples.items():
            (temporary / split).mkdir()
            for name, values in quantities.items():
                np.save(temporary / split / f"{name}.npy", values)
        write_json(temporary / "facts.json", {"passes": passes, "dropout": dropout})


def _entropy(probabilities: Float[Tensor, "b classes *pixels"]) -> Float64[Tensor, " b *pixels"]:
    return torch.special.entr(to_float64(probabilities)).sum(1)
