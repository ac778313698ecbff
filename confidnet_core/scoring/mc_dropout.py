"""Monte-Carlo dropout: quantities of stochastic forward passes, sampled once for all scores that need them.

Gal & Ghahramani 2016, arXiv:1506.02142; the two entropies, Depeweg et al. 2018, arXiv:1710.07283.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from confidnet_core.config.recipes import McDropout
from confidnet_core.data import Dataset, labelled_mask
from confidnet_core.files import atomic_write, write_json
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.device import autocast, to_device, to_float64
from confidnet_core.networks.dropout import derive_random_seed, set_dropout
from confidnet_core.networks.inference import map_images
from confidnet_core.scoring.folding import fold_batchnorm

# Entropies are in nats. The largest mean probability is that of the class that the passes prefer, which need not be the predicted class.
DROPOUT_QUANTITIES = ("predictive_entropy", "expected_entropy", "largest_mean_probability")


def has_dropout(classifier: Classifier) -> bool:
    """Return whether the classifier has a dropout layer with a rate above 0. The call switches all dropout layers off."""
    return set_dropout(classifier, False) > 0


def sample_dropout(
    classifier: Classifier, dataset: Dataset, split: str, dropout_settings: McDropout, seed: int, device: torch.device
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Return {quantity: values} over several forward passes with dropout on and BatchNorm in evaluation mode.

    The values are float64 (n,), for the n images or labelled pixels of the split:
    predictive_entropy        entropy of the mean softmax
    expected_entropy          mean entropy of the passes' softmax; predictive minus expected entropy is the mutual information
    largest_mean_probability  largest probability of the mean softmax

    All draws follow from the seed. Torch's random generator is left as it was, and dropout is switched off afterwards.
    """
    images, labels = dataset.split(split)
    quantities = sample_dropout_of_images(classifier, images, dataset, split, dropout_settings, seed, device)
    return {name: values[labelled_mask(labels, dataset.void)] for name, values in quantities.items()}


def sample_dropout_of_images(
    classifier: Classifier,
    images: UInt8[np.ndarray, "images c h w"],
    dataset: Dataset,
    draws_name: str,
    dropout_settings: McDropout,
    seed: int,
    device: torch.device,
) -> dict[str, Float64[np.ndarray, " images *pixels"]]:
    """Return what `sample_dropout` does, for all images or pixels of images that need not be those of a split.

    dataset: that of the classifier, for the normalisation; draws_name: from which, and from the seed, all draws follow
    """
    network = to_device(fold_batchnorm(to_device(classifier, device).eval()), device)  # a pass is then a tenth to a fifth shorter
    layers_before_dropout, layers_after_dropout = network.split_at_dropout()

    def dropout_quantities_of_batch(image_batch: Tensor, image_numbers: Tensor) -> Tensor:
        torch.manual_seed(derive_random_seed("mc_dropout", seed, draws_name, int(image_numbers[0])))
        mean_softmax = entropy_sum = torch.zeros(())  # running sums: memory holds one map of probabilities, not one for each pass
        with autocast(device, dropout_settings.precision):
            features = layers_before_dropout(image_batch)
        for _ in range(dropout_settings.passes):
            with autocast(device, dropout_settings.precision):
                probabilities = layers_after_dropout(features).float().softmax(1)
            mean_softmax = probabilities + mean_softmax
            entropy_sum = _entropy_in_nats(probabilities) + entropy_sum
        mean_softmax = mean_softmax.div_(dropout_settings.passes)
        return torch.stack(
            [_entropy_in_nats(mean_softmax), entropy_sum / dropout_settings.passes, to_float64(mean_softmax.amax(1))], dim=-1
        )

    set_dropout(network, True)
    try:
        with torch.random.fork_rng():
            quantities = map_images(dropout_quantities_of_batch, images, dataset, device, f"sample {draws_name}", np.arange(len(images)))
    finally:
        set_dropout(network, False)
    return dict(zip(DROPOUT_QUANTITIES, np.moveaxis(quantities, -1, 0), strict=True))


def save_dropout_samples(
    samples_folder: Path,
    dropout_samples_by_split: Mapping[str, Mapping[str, np.ndarray]],
    forward_pass_count: int,
    classifier_has_dropout: bool,
) -> None:
    """Write the quantities of forward passes with dropout as SPLIT/QUANTITY.npy, and facts.json; all files or none.

    dropout_samples_by_split: {split: {quantity: values (n,)}}, as from sample_dropout
    forward_pass_count, classifier_has_dropout: the entries "passes" and "dropout" of facts.json
    """
    with atomic_write(samples_folder) as temporary_folder:
        temporary_folder.mkdir()
        for split, array_of_dropout_quantity in dropout_samples_by_split.items():
            (temporary_folder / split).mkdir()
            for dropout_quantity, dropout_quantity_array in array_of_dropout_quantity.items():
                np.save(temporary_folder / split / f"{dropout_quantity}.npy", dropout_quantity_array)
        write_json(temporary_folder / "facts.json", {"passes": forward_pass_count, "dropout": classifier_has_dropout})


def _entropy_in_nats(probabilities: Float[Tensor, "b classes *pixels"]) -> Float64[Tensor, " b *pixels"]:
    """Return the entropy of class probabilities (b, classes, ...) in nats, computed in float64: (b, ...)."""
    return torch.special.entr(to_float64(probabilities)).sum(1)
