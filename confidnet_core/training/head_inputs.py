"""What a confidence head on a frozen encoder is trained on, where the encoder need not run in each step, or the head not on each pixel."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, Int64
from torch import Generator, Tensor

from confidnet_core.config.recipes import ConfidenceHeadRecipe
from confidnet_core.networks.batches import TrainingBatches, batch_slices, inference_batches, labels_to_tensor
from confidnet_core.networks.confidnet import ConfidNet
from confidnet_core.networks.device import autocast
from confidnet_core.networks.ranks import BatchRows, complete_batches, computed_rows, computing, exchange, share_of_batch
from confidnet_core.training.loop import Training

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
            for batch_slice, image_batch in images.in_order(*training.random_seed_key, "features", pass_index):
                with torch.no_grad(), autocast(training.device, recipe.precision):
                    activations = encode(image_batch)
                    values = [activations] if self.last_dropout else [activations, confidnet.encoder.classify(activations)]
                if not self.stored:
                    self._allocate([(each.shape[1], each.dtype) for each in values])
                for stored, batch_values in zip(self.stored, values, strict=True):
                    stored[pass_index, batch_slice] = batch_values
            layouts = exchange([(stored.shape[2], stored.dtype) for stored in self.stored])
            if not self.stored:  # no batch was left for this process
                self._allocate(next(filter(None, layouts)))
            complete_batches(batch_slices(len(self.labels), recipe.batch_size), *(stored[pass_index] for stored in self.stored))

    def _allocate(self, layouts: list[tuple[int, torch.dtype]]) -> None:
        """Allocate what is stored of all passes: for each layout, the numbers of a sample and their type, one tensor."""
        _require_memory(self.training, len(self.labels), sum(width * dtype.itemsize for width, dtype in layouts))
        shape, device = (self.pass_count, len(self.labels)), self.training.device
        self.stored = [torch.empty((*shape, width), dtype=dtype, device=device) for width, dtype in layouts]

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.training.recipe.batch_size)

    def epoch(
        self, generator: Generator
    ) -> Iterator[tuple[BatchRows, tuple[Float[Tensor, "b d"], Float[Tensor, "b classes"], Int64[Tensor, " b"]]]]:
        """Yield the batches of one epoch: rows, and on the device features (b, d), class logits (b, classes), and labels int64 (b,).

        generator: shuffles the samples and draws their passes; it must be on the CPU. Torch's own generator draws the last dropout.
        """
        sample_order = torch.randperm(len(self.labels), generator=generator)
        drawn_passes = torch.randint(self.pass_count, (len(self.labels),), generator=generator)
        for unsorted_indices in sample_order.split(self.training.recipe.batch_size):
            rows = share_of_batch(len(unsorted_indices))
            batch_indices = unsorted_indices.sort().values[rows.own]  # sorted as in TrainingBatches
            samples, passes = batch_indices.to(self.labels.device), drawn_passes[batch_indices].to(self.labels.device)
            features, *class_logits = (stored[passes, samples] for stored in self.stored)
            if self.last_dropout is not None:
                with computing(rows), torch.no_grad(), autocast(self.training.device, self.training.recipe.precision):
                    features = self.last_dropout(features)
                    class_logits = [self.encoder.classify(features)]
            yield rows, (features, class_logits[0], self.labels[samples])


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
    """Return the values of m pixels, as many of each image, drawn without replacement by torch's generator, as maps of one column.

    pixel_share: the share of an image's pixels that is drawn, in (0, 1], rounded, and at least 1. Void pixels are drawn like others.
    """
    rows, pixels_per_image = computed_rows() or share_of_batch(len(labels)), labels[0].numel()
    drawn_count = max(1, round(pixel_share * pixels_per_image))
    # One of several processes draws for all images of the batch, and uses what belongs to its own.
    drawn_by_image = torch.stack([torch.randperm(pixels_per_image)[:drawn_count] for _ in range(rows.total)])[rows.own]
    drawn_pixels = (drawn_by_image + torch.arange(len(labels)).unsqueeze(1) * pixels_per_image).flatten().to(labels.device)

    def values_of_pixels(maps: Tensor) -> Tensor:
        # In the memory format channels-last, in which the networks compute, the values of a pixel are one row, and this copies no map.
        return maps.movedim(1, -1).flatten(0, 2)[drawn_pixels].t()[None, :, :, None]

    return values_of_pixels(features), values_of_pixels(class_logits), labels.flatten()[drawn_pixels][None, :, None]


def _bytes_per_sample(*stored_values: Float[Tensor, "b _"]) -> int:
    return sum(values.shape[1] * values.element_size() for values in stored_values)


def _require_memory(training: Training[ConfidenceHeadRecipe], sample_count: int, bytes_per_sample: int) -> None:
    recipe = training.recipe
    gib_per_pass = sample_count * bytes_per_sample / BYTES_PER_GIB
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
