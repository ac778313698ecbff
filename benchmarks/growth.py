"""Seconds and peak memory of the stages as the images grow in number: n, 2n, 4n and 8n made images of 64x64, a process for each stage.

python -m benchmarks.growth [--images 1000] [--factors 1 2 4 8] [--size 64] [--classes 10] [--masks] [--untrained]
    [--methods mcp ...] [--folder DIRECTORY]

The memory is that of the process alone, without pages of mapped files, which the system takes back when it needs them; it is sampled every
5 ms (Linux). In brackets, the peak with these pages, as `ps` and `top` show it. Behind both figures stand their ratios to those of the
smallest number of images: times that grow with it have the ratio of the images, bounded memory has 1. Each training has one epoch, and
MC-dropout two passes. --masks trains a SegNet on made label maps. Without confidnet among --methods, no head is trained, and nothing
compared. --untrained evaluates random weights on a folder val/ alone, without training data. --size 224 --images 50000 --factors 1
--untrained is a validation set of ImageNet's size.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML

from confidnet_core.models.svhn_convnet import svhn_convnet

ROOT, BENCHMARK, WIDTH = Path(__file__).parents[1], "growth", 0.125
CODE = ("confidnet_core", "stages", "dvc.yaml")
RECIPE = {"epochs": 1, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.01}
METHODS: dict[str, dict] = {
    "mcp": {},
    "mc_dropout": {},
    "trust_score": {"neighbour": 1, "samples_per_class": 1000},
    "confidnet": {},
    "tta": {"shift": 0.04},
    "stack": {"samples_per_class": 1000, "shift": 0.04},
}
HEAD_STAGES = ("train_confidnet", "finetune", "train_corrected_mcp")
METHOD_STAGES = ("evaluate", "bootstrap", "thresholds")
SAMPLING_SECONDS = 0.005


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, the peak of its own memory in MB, and the peak with pages of mapped files in MB."""

    seconds: float
    own_megabytes: float
    megabytes_with_files: float


def write_images(folder: Path, split: str, count: int, size: int, classes: int, masks: bool) -> None:
    """Write made JPEG files, smooth and different, as SPLIT/CLASS/NUMBER.jpg; with masks, as images/SPLIT/NUMBER.jpg with masks/."""
    for name in ("images/" + split, "masks/" + split) if masks else (f"{split}/{label:04}" for label in range(classes)):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def write_image(number: int) -> None:
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR)
        if masks:
            image.save(folder / f"images/{split}/{number}.jpg", quality=85)
            mask = np.asarray(image.convert("L")) // (256 // classes + 1)
            Image.fromarray(mask.astype(np.uint8)).save(folder / f"masks/{split}/{number}.png")
        else:
            image.save(folder / split / f"{number % classes:04}/{number}.jpg", quality=85)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(write_image, range(count)))


@dataclass(frozen=True)
class Work:
    """What the stages work on: made images of a size, with label maps or without, and a network of a width, trained or not."""

    size: int
    classes: int
    width: float
    masks: bool
    untrained: bool
    methods: tuple[str, ...]

    def stages(self) -> list[tuple[str, ...]]:
        """Return the stages in the order of the pipeline, each with its arguments."""
        seed = (BENCHMARK, "0")
        if self.untrained:
            return [("prepare", BENCHMARK), ("train_baseline", *seed), ("predict", *seed), ("inputs", *seed), ("evaluate", *seed, "mcp")]
        of_methods = [(stage, *seed, method) for stage in METHOD_STAGES for method in self.methods]
        head_stages = HEAD_STAGES if "confidnet" in self.methods else ()
        of_seed = [(stage, *seed) for stage in ("train_baseline", *head_stages, "predict", "sample")]
        comparison = [("compare",)] if head_stages else []  # it shows all trainings
        start = [("sources", BENCHMARK), ("prepare", BENCHMARK), *of_seed]
        return [*start, ("ensemble", BENCHMARK), ("inputs", *seed), *of_methods, *comparison]


def write_project(folder: Path, images_folder: Path, work: Work) -> None:
    """Write a project whose only benchmark reads the images; its code is this checkout's."""
    for name in CODE:
        (folder / name).symlink_to(ROOT / name)
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    data: dict[str, object] = {"name": "image_folder", "folder": str(images_folder), "height": work.size, "width": work.size}
    model: dict[str, object] = {"name": "svhn_convnet", "width": work.width}
    recipe = dict(RECIPE)
    if work.masks:
        data |= {"name": "segmentation_folder", "classes": [f"class {index}" for index in range(work.classes)]}
        model, recipe = {"name": "segnet", "width": work.width, "feature": "dense", "pretrained": False}, recipe | {"batch_size": 4}
    head = recipe | {"dropout": True} | ({"kernel": 1} if work.masks else {})
    benchmark = {"data": data, "model": model, "baseline": recipe, "confidnet": head, "finetune": recipe, "corrected_mcp": head}
    benchmark |= {"mc_dropout": {"passes": 2}}
    methods = {name: METHODS[name] for name in work.methods}
    if work.untrained:
        data |= {"mean": "imagenet", "std": "imagenet"}
        torch.manual_seed(0)
        network = svhn_convnet(classes=work.classes, image_shape=(3, work.size, work.size), width=work.width)
        torch.save(network.state_dict(), folder / "weights.pt")
        benchmark, methods = {"data": data, "model": model, "baseline": {"weights": "weights.pt"}}, {"mcp": {}}
    params |= {"run": [BENCHMARK], "methods": methods, "against": ["mcp"], "benchmarks": {BENCHMARK: benchmark}}
    YAML().dump(params, folder / "params.yaml")
    (folder / "data").mkdir()


def run_stage(folder: Path, *arguments: str) -> Cost:
    """Run a stage in a process of its own; CalledProcessError, after its output, if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "CONFIDNET_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(folder), "CONFIDNET_DEVICE": "cpu", "CONFIDNET_PROGRESS": "0"}
    command, start = [sys.executable, "-m", f"stages.{arguments[0]}", *arguments[1:]], time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peaks = {"RssAnon": 0, "VmHWM": 0}
    sampler = threading.Thread(target=_sample_memory, args=(process, peaks))
    sampler.start()
    output, _ = process.communicate()
    sampler.join()
    if process.returncode:
        print(output, file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(time.perf_counter() - start, peaks["RssAnon"] / 1024, peaks["VmHWM"] / 1024)


def _sample_memory(process: subprocess.Popen, peaks: dict[str, int]) -> None:
    """Keep the largest value of each field of /proc/PID/status, in kB, until the process ends."""
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        for field in peaks:
            if found := re.search(rf"^{field}:\s+(\d+)", status, re.MULTILINE):
                peaks[field] = max(peaks[field], int(found[1]))
        time.sleep(SAMPLING_SECONDS)


def measure(folder: Path, images: int, evaluated: int, work: Work) -> dict[str, Cost]:
    """Return {stage: cost} of one project with these numbers of images, for training, and for validation and test each."""
    counts = {"val": images} if work.untrained else {"train": images, "val": evaluated, "test": evaluated}
    for split, count in counts.items():
        write_images(folder / "images", split, count, work.size, work.classes, work.masks)
    project = folder / "project"
    project.mkdir()
    write_project(project, folder / "images", work)
    return {
        " ".join([stage, *(argument for argument in arguments if argument in METHODS)]): run_stage(project, stage, *arguments)
        for stage, *arguments in work.stages()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--width", type=float, default=WIDTH, help="of the network")
    parser.add_argument("--evaluated", type=int, help="validation and test images each; a fifth of the training images if not given")
    parser.add_argument("--masks", action="store_true")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--folder", default=None)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, PyTorch {torch.__version__}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"{'stage':24}{'images':>9}{'seconds':>10}{'':8}{'peak MB':>9}{'':8}{'(with files)':>14}")
    first: dict[str, Cost] = {}
    work = Work(given.size, given.classes, given.width, given.masks, given.untrained, tuple(given.methods))
    for factor in given.factors:
        folder = Path(tempfile.mkdtemp(prefix="confidnet-growth-", dir=given.folder))
        try:
            images = given.images * factor
            costs = measure(folder, images, (given.evaluated or given.images // 5) * factor, work)
        finally:
            shutil.rmtree(folder)
        first = first or costs
        for stage, cost in costs.items():
            times, memory = cost.seconds / first[stage].seconds, cost.own_megabytes / first[stage].own_megabytes
            print(
                f"{stage:24}{images:9,}{cost.seconds:10.1f}{times:7.2f}x{cost.own_megabytes:9.0f}{memory:7.2f}x"
                f"{f'({cost.megabytes_with_files:,.0f})':>14}",
                flush=True,
            )


if __name__ == "__main__":
    main()
