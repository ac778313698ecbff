"""Monte-Carlo dropout: quantities of stochastic forward passes, sampled once for all scores that need them.

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

# Entropies are in nats. The largest mean probability is that of the class that the passes prefer, which need not be the predicted class.
DROPOUT_QUANTITIES = ("predictive_entropy", "expected_entropy", "largest_mean_probability")


def has_dropout(classifier: Classifier) -> bool:
    """Return whether the classifier has a dropout layer with a rate above 0. The call switches all dropout layers off."""
    return set_dropout(classifier, False) > 0


def sample_dropout(
    classifier: Classifier, dataset: Dataset, split: str, settings: McDropout, seed: int, device: torch.device
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Return DROPOUT_QUANTITIES over forward passes with dropout on and BatchNorm in evaluation mode.

    Each quantity is float64 (n,), over the n labelled predictions of the split:
    predictive_entropy        entropy of the mean softmax
    expected_entropy          mean entropy of the passes' softmax; predictive minus expected entropy is the mutual information
    largest_mean_probability  largest probability of the mean softmax

    All draws follow from the seed. Torch's random generator is left as it was, and dropout is switched off afterwards.
    """
    images, labels = dataset.split(split)
    network = to_device(classifier, device).eval()
    before_dropout, after_dropout = network.split_at_dropout()

    def quantities_of_batch(batch: Tensor) -> Tensor:
        mean = entropy_sum = torch.zeros(())  # running sums: memory holds one map of probabilities, not one for each pass
        with autocast(device, settings.precision):
            features = before_dropout(batch)
        for _ in range(settings.passes):
            with autocast(device, settings.precision):
                probabilities = after_dropout(features).float().softmax(1)
            mean = probabilities + mean
            entropy_sum = _entropy_in_nats(probabilities) + entropy_sum
        mean = mean.div_(settings.passes)
        return torch.stack([_entropy_in_nats(mean), entropy_sum / settings.passes, to_float64(mean.amax(1))], dim=-1)

    set_dropout(network, True)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            values = map_images(quantities_of_batch, images, dataset, device, f"sample {split}")[labelled(labels, dataset.void)]
    finally:
        set_dropout(network, False)
    return dict(zip(DROPOUT_QUANTITIES, values.T, strict=True))


def save_samples(folder: Path, samples: Mapping[str, Mapping[str, np.ndarray]], passes: int, dropout: bool) -> None:
    """Write SPLIT/QUANTITY.npy of each split and quantity, and facts.json with `passes` and `dropout`; all files or none."""
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        for split, quantities in samples.items():
            (temporary / split).mkdir()
            for name, values in quantities.items():
                np.save(temporary / split / f"{name}.npy", values)
        write_json(temporary / "facts.json", {"passes": passes, "dropout": dropout})


def _entropy_in_nats(probabilities: Float[Tensor, "b classes *pixels"]) -> Float64[Tensor, " b *pixels"]:
    """Return the entropy of class probabilities in nats, computed in float64: (b, classes, ...) -> (b, ...)."""
    return torch.special.entr(to_float64(probabilities)).sum(1)
