"""Seconds and peak memory of the stages as the images grow in number: n, 2n, 4n and 8n made images of 64x64, a process for each stage.

python -m benchmarks.growth [--images 1000] [--factors 1 2 4 8] [--size 64] [--classes 10] [--untrained] [--folder DIRECTORY]

The memory is that of the process alone, without pages of mapped files, which the system takes back when it needs them; it is sampled every
5 ms (Linux). In brackets, the peak with these pages, as `ps` and `top` show it. Behind both figures stand their ratios to those of the
smallest number of images: times that grow with it have the ratio of the images, bounded memory has 1. --untrained evaluates random weights
on a folder val/ alone, without training data. --size 224 --images 50000 --factors 1 --untrained is a validation set of ImageNet's size.
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
STAGES = (("prepare", BENCHMARK), ("train_baseline", BENCHMARK, "0"), ("predict", BENCHMARK, "0"), ("evaluate", BENCHMARK, "0", "mcp"))
SAMPLING_SECONDS = 0.005


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, the peak of its own memory in MB, and the peak with pages of mapped files in MB."""

    seconds: float
    own_megabytes: float
    megabytes_with_files: float


def write_images(folder: Path, split: str, count: int, size: int, classes: int) -> None:
    """Write made JPEG files, smooth and different, as SPLIT/CLASS/NUMBER.jpg."""
    for label in range(classes):
        (folder / split / f"{label:04}").mkdir(parents=True, exist_ok=True)

    def write_image(number: int) -> None:
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR)
        image.save(folder / split / f"{number % classes:04}/{number}.jpg", quality=85)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(write_image, range(count)))


def write_project(folder: Path, images_folder: Path, size: int, classes: int, untrained: bool) -> None:
    """Write a project whose only benchmark reads the images; its code is this checkout's."""
    for name in CODE:
        (folder / name).symlink_to(ROOT / name)
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    data = {"name": "image_folder", "folder": str(images_folder), "height": size, "width": size}
    baseline: dict[str, object] = dict(RECIPE)
    if untrained:
        data |= {"mean": "imagenet", "std": "imagenet"}
        torch.manual_seed(0)
        network = svhn_convnet(classes=classes, image_shape=(3, size, size), width=WIDTH)
        torch.save(network.state_dict(), folder / "weights.pt")
        baseline = {"weights": "weights.pt"}
    benchmark = {"data": data, "model": {"name": "svhn_convnet", "width": WIDTH}, "baseline": baseline}
    params |= {"run": [BENCHMARK], "methods": {"mcp": {}}, "against": ["mcp"], "benchmarks": {BENCHMARK: benchmark}}
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


def measure(folder: Path, images: int, size: int, classes: int, untrained: bool) -> dict[str, Cost]:
    """Return {stage: cost} of one project with this number of training images, and a fifth as many each for validation and test."""
    counts = {"val": images} if untrained else {"train": images, "val": images // 5, "test": images // 5}
    for split, count in counts.items():
        write_images(folder / "images", split, count, size, classes)
    project = folder / "project"
    project.mkdir()
    write_project(project, folder / "images", size, classes, untrained)
    costs = {}
    for stage, *arguments in STAGES:
        if stage == "evaluate":
            run_stage(project, "inputs", BENCHMARK, "0")
        costs[stage] = run_stage(project, stage, *arguments)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--folder", default=None)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, PyTorch {torch.__version__}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"{'stage':16}{'images':>9}{'seconds':>10}{'':8}{'peak MB':>9}{'':8}{'(with files)':>14}")
    first: dict[str, Cost] = {}
    for factor in given.factors:
        folder = Path(tempfile.mkdtemp(prefix="confidnet-growth-", dir=given.folder))
        try:
            costs = measure(folder, given.images * factor, given.size, given.classes, given.untrained)
        finally:
            shutil.rmtree(folder)
        first = first or costs
        for stage, cost in costs.items():
            times, memory = cost.seconds / first[stage].seconds, cost.own_megabytes / first[stage].own_megabytes
            print(
                f"{stage:16}{given.images * factor:9,}{cost.seconds:10.1f}{times:7.2f}x{cost.own_megabytes:9.0f}{memory:7.2f}x"
                f"{f'({cost.megabytes_with_files:,.0f})':>14}",
                flush=True,
            )


if __name__ == "__main__":
    main()
