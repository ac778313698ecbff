"""Seconds of `confidnet predict` against the bare forward pass of the same network on the same images, in the same run.

OMP_NUM_THREADS=1 python -m benchmarks.predict MODEL IMAGES... [--repeats 5] [--batch-size N]

MODEL and IMAGES are those of the command. The rounds are mixed, and the median is taken, so that a busy machine slows all parts alike.
Decoding the files is timed apart: in the command it runs in threads beside the network.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from confidnet_core.data import Dataset
from confidnet_core.networks.batches import inference_batches
from confidnet_core.networks.device import select_device
from confidnet_core.serving.answering import Task, write_answers
from confidnet_core.serving.image_files import images_of_paths
from confidnet_core.serving.new_images import image_reader
from confidnet_core.serving.opening import open_model
from confidnet_core.serving.predicting import default_batch_size, predict_files
from confidnet_core.serving.selective_classifier import SelectiveClassifier


def parts(model: SelectiveClassifier, paths: list[str], batch: int, folder: Path) -> dict[str, Callable[[], object]]:
    """The functions to time, the bare forward pass first."""
    images = np.concatenate([found.images for found in predict_files(model, paths, batch=batch)])
    device, read_image = select_device(), image_reader(model.model_metadata)
    classifier = model._contiguous_classifier.to(device).eval()
    dataset: Dataset = model._images_as_dataset(images[:1])
    normalised = [normalised for _, normalised in inference_batches(images, dataset, device)]

    def forward_pass() -> None:
        with torch.inference_mode():
            for image_batch in normalised:
                classifier(image_batch)
            if device.type == "cuda":
                torch.cuda.synchronize()

    def decode() -> None:
        for source in images_of_paths(paths):
            content = source.read()
            if isinstance(content, bytes):
                read_image(content, source.name)

    def predict_arrays() -> None:
        for start in range(0, len(images), batch):
            model.answers_at_threshold(images[start : start + batch], None)

    def command() -> None:
        write_answers(Task(model, "", tuple(paths), folder / "answers.csv", batch=batch), folder / "answers.csv", lambda sentence: None)

    return {
        "forward pass of the classifier": forward_pass,
        "the model on arrays, with its score": predict_arrays,
        "decoding alone, in one thread": decode,
        "files to answers.csv": command,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int)
    arguments = parser.parse_args()
    model = open_model(arguments.model)
    batch = arguments.batch_size or default_batch_size(model)
    with TemporaryDirectory() as folder:
        functions = parts(model, arguments.images, batch, Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for round_index in range(arguments.repeats + 1):
            for name, function in functions.items():
                start = time.perf_counter()
                function()
                if round_index:  # the first one warms up
                    seconds[name].append(time.perf_counter() - start)
    medians = {name: median(values) for name, values in seconds.items()}
    forward_pass, *_ = medians.values()
    print(f"{model.model_metadata['method']}, {model.model_metadata['recipes']['model']['name']}, batches of {batch}")
    for name, value in medians.items():
        print(f"  {name:36} {value:8.3f} s {value / forward_pass:6.2f}x")


if __name__ == "__main__":
    main()
