"""What a confidence head on a frozen encoder is trained on, where the encoder need not run in each step, or the head not on each pixel."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, Int64
from torch import Generator, Tensor

from confidnet_core.config.recipes import ConfidenceHeadRecipe
from confidnet_core.networks.batches import TrainingBatches, inference_batches, labels_to_tensor
from confidnet_core.networks.confidnet import ConfidNet
from confidnet_core.networks.device import autocast
from confidnet_core.training.loop import Training, derive_random_seed

BYTES_PER_GIB = 2**30


class StoredFeatureBatches:
    """Batches of features and class logits from `feature_passes` stored passes of a frozen encoder over the training images.

    Each pass has its own dropout and augmentation; in each epoch, every sample draws one of the passes. A dropout layer at the end of the
    encoder acts on stored values anew in each step, so that a head cannot learn the features of few passes by heart. All draws follow from
    the stage, the seed, and the number of the pass or the epoch: an interrupted training goes on with the same features.
    """

    def __init__(self, confidnet: ConfidNet, training: Training[ConfidenceHeadRecipe]) -> None:
        """Run the encoder, in train mode and in the recipe's precision, which leaves the network in train mode.

        Raises ValueError if what is stored takes more memory than the recipe allows.
        """
        dataset, recipe = training.dataset, training.recipe
        images = TrainingBatches(dataset, recipe.batch_size, recipe.augmentation, training.device)
        self.labels = labels_to_tensor(images.labels, training.device)
        self.encoder, self.training, self.pass_count = confidnet.encoder, training, recipe.feature_passes
        encode, self.last_dropout = confidnet.encoder.split_at_last_dropout()
        self.stored: list[Tensor] = []  # (passes, n, d) before the last dropout; or features, and class logits (passes, n, classes)
        confidnet.train()
        for pass_index in range(self.pass_count):
            random_seed = derive_random_seed(*training.random_seed_key, "features", pass_index)
            torch.manual_seed(random_seed)  # dropout
            for batch_slice, image_batch in images.in_order(torch.Generator().manual_seed(random_seed)):
                with torch.no_grad(), autocast(training.device, recipe.precision):
                    activations = encode(image_batch)
                    values = [activations] if self.last_dropout else [activations, confidnet.encoder.classify(activations)]
                if not self.stored:
                    _require_memory(training, len(self.labels), *values)
                    self.stored = [each.new_empty((self.pass_count, len(self.labels), each.shape[1])) for each in values]
                for stored, batch_values in zip(self.stored, values, strict=True):
                    stored[pass_index, batch_slice] = batch_values

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.training.recipe.batch_size)

    def epoch(self, generator: Generator) -> Iterator[tuple[Float[Tensor, "b d"], Float[Tensor, "b classes"], Int64[Tensor, " b"]]]:
        """Yield the batches of one epoch on the device: features (b, d), class logits (b, classes), and labels int64 (b,).

        generator: shuffles the samples and draws their passes; it must be on the CPU. Torch's own generator draws the last dropout.
        """
        sample_order = torch.randperm(len(self.labels), generator=generator)
        drawn_passes = torch.randint(self.pass_count, (len(self.labels),), generator=generator)
        for unsorted_indices in sample_order.split(self.training.recipe.batch_size):
            batch_indices = unsorted_indices.sort().values  # as in TrainingBatches
            samples, passes = batch_indices.to(self.labels.device), drawn_passes[batch_indices].to(self.labels.device)
            features, *class_logits = (stored[passes, samples] for stored in self.stored)
            if self.last_dropout is not None:
                with torch.no_grad(), autocast(self.training.device, self.training.recipe.precision):
                    features = self.last_dropout(features)
                    class_logits = [self.encoder.classify(features)]
            yield features, class_logits[0], self.labels[samples]


def stored_validation_features(confidnet: ConfidNet, training: Training[ConfidenceHeadRecipe]) -> list[tuple[slice, Tensor, Tensor]] | None:
    """Return the slice, features and class logits of each batch of the validation split, which a frozen encoder in eval mode repeats.

    Return None for segmentation, whose features are maps, and for features that take more memory than the recipe allows.
    """
    dataset, recipe = training.dataset, training.recipe
    if dataset.is_segmentation:
        return None
    confidnet.eval()
    images, batches = dataset.split("val")[0], []
    with torch.inference_mode():
        for batch_slice, image_batch in inference_batches(images, dataset, training.device):
            with autocast(training.device, recipe.precision):
                features, class_logits = confidnet.encode_with_logits(image_batch)
            if len(images) * _bytes_per_sample(features, class_logits) > recipe.feature_memory * BYTES_PER_GIB:
                return None
            batches.append((batch_slice, features, class_logits))
    return batches


def sample_pixels(
    features: Float[Tensor, "b d h w"], class_logits: Float[Tensor, "b classes h w"], labels: Int[Tensor, "b h w"], pixel_share: float
) -> tuple[Float[Tensor, "1 d m 1"], Float[Tensor, "1 classes m 1"], Int[Tensor, "1 m 1"]]:
    """Return the values of m pixels, drawn at random without replacement by torch's generator, as maps of one column.

    pixel_share: m as a share of the pixels of the batch, in (0, 1]; m is rounded, and at least 1. Void pixels are drawn like others.
    """
    pixel_count = labels.numel()
    drawn_count = max(1, round(pixel_share * pixel_count))
    drawn_pixels = torch.randperm(pixel_count)[:drawn_count].to(labels.device)

    def values_of_pixels(maps: Tensor) -> Tensor:
        # In the memory format channels-last, in which the networks compute, the values of a pixel are one row, and this copies no map.
        return maps.movedim(1, -1).flatten(0, 2)[drawn_pixels].t()[None, :, :, None]

    return values_of_pixels(features), values_of_pixels(class_logits), labels.flatten()[drawn_pixels][None, :, None]


def _bytes_per_sample(*stored_values: Float[Tensor, "b _"]) -> int:
    return sum(values.shape[1] * values.element_size() for values in stored_values)


def _require_memory(training: Training[ConfidenceHeadRecipe], sample_count: int, *stored_values: Tensor) -> None:
    recipe = training.recipe
    gib_per_pass = sample_count * _bytes_per_sample(*stored_values) / BYTES_PER_GIB
    if recipe.feature_passes * gib_per_pass <= recipe.feature_memory:
        return
    size_text = f"{recipe.feature_passes * gib_per_pass:.3g} GiB, {gib_per_pass:.3g} a pass"
    limit_text = f"feature_memory allows {recipe.feature_memory:g}"
    possible_passes = math.floor(recipe.feature_memory / gib_per_pass)
    fewer_text = f"set feature_passes to {possible_passes}" if possible_passes else "remove feature_passes"
    remedy_text = f"{fewer_text}, or raise feature_memory where the memory is there"
    raise ValueError(
        f"{training.stage}: feature_passes is {recipe.feature_passes}; these features take {size_text}; {limit_text}; {remedy_text}"
    )
