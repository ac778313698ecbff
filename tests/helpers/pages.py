"""Pages for tests: what the stages store of a made-up classifier, laid out in folders; and HTML read back."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from confidnet_core import paths
from confidnet_core.config.params import Thresholds
from confidnet_core.data import PREPARED_SPLITS, Dataset, save_dataset
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.result import evaluate, save_evaluation
from confidnet_core.evaluation.stored import save_bootstrap_replicates
from confidnet_core.evaluation.thresholds import guaranteed_thresholds, reliability, save_thresholds
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.networks.artifacts import save_history
from confidnet_core.networks.inference import Predictions, save_predictions
from confidnet_core.reporting.histories import TRAINING_NAMES
from confidnet_core.scoring.shifted_results import save_shifted_results

CLASSES = ("ant", '<b>&"', "cat")
METHODS = {"mcp": {}, "entropy": {}, "margin": {}, "tcp": {}}
SCORED_SPLITS = ("test", "val", "calibration")
RESAMPLING = {"resample_count": 100, "seed": 0}


def image_width(path: Path) -> int:
    """Width of a picture in pixels."""
    with Image.open(path) as image:
        return image.width


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Of METHODS; the margin is made one that knows too little, and tcp is the oracle. logits: (n, 3), labels: (n,)"""
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    top = np.sort(softmax, axis=1)
    noise = np.random.default_rng(1).random(len(labels))
    return {
        "mcp": top[:, -1],
        "entropy": (softmax * np.log(softmax)).sum(1),
        "margin": noise,
        "tcp": softmax[np.arange(len(labels)), labels],
    }


def lay_out(name: str, labels: np.ndarray, seeds: tuple[int, ...], blur: float = 6.0, void: int | None = None, tests: int = 30) -> None:
    """What the stages store, of a classifier that sees the true class through noise. labels: (80,) or (80, height, width)

    tests: how many of the 30 images of the test split stay in it
    """
    size = labels.shape[1:] or (6, 6)
    images = np.random.default_rng(0).integers(0, 256, (80, 3 if labels.ndim > 1 else 1, *size), dtype=np.uint8)
    splits = dict(zip(PREPARED_SPLITS, np.split(np.arange(80), [10, 30, 60]), strict=True))
    splits["test"] = splits["test"][:tests]
    stats = (0.5,) * images.shape[1]
    dataset = Dataset(images, labels.astype(np.uint8), splits, CLASSES, stats, stats, "made up", void)
    save_dataset(dataset, Path("data/prepared") / name)
    save_shifted_results(paths.shifted_results_folder(name), ())
    for seed in seeds:
        draw, stored, scored = np.random.default_rng(seed), {}, {}
        for split in SCORED_SPLITS:
            own = labels[splits[split]]
            counted = np.ones(own.shape, bool) if void is None else own != void
            logits = np.moveaxis(4.0 * np.eye(4)[own][..., :3] + draw.normal(0, blur, (*own.shape, 3)), -1, 1)
            stored[split] = Predictions(logits.astype(np.float32), logits.argmax(1).astype(np.uint8))
            sizes = counted.reshape(len(own), -1).sum(1) if own.ndim > 1 else None
            correct = (logits.argmax(1) == own)[counted]
            for method, confidence in scores(np.moveaxis(logits, 1, -1)[counted], own[counted]).items():
                scored.setdefault(method, {})[split] = ScoredSplit(confidence, correct, sizes)
        save_predictions(Path(f"data/predictions/{name}/seed{seed}"), stored, {"mean_iou": 0.5, "class_iou": dict.fromkeys(CLASSES, 0.5)})
        for method, of in scored.items():
            facts = {"benchmark": name, "seed": seed, "method": method, "oracle": method == "tcp", "scale": "rank"}
            test, place = of["test"], f"{name}/seed{seed}/{method}"
            one = evaluate(test.confidence, test.correct, **facts)
            save_evaluation(Path("data/scores") / place, {split: of[split].confidence for split in SCORED_SPLITS}, one, one, {})
            promised = guaranteed_thresholds(of["val"], of["calibration"], test, Thresholds(risks=(0.3,), serve=0.3, delta=0.1))
            save_thresholds(Path("data/thresholds") / place, reliability(of["val"], test, "rank", **RESAMPLING), promised)
            save_bootstrap_replicates(
                paths.bootstrap_replicates_path(name, seed, method), bootstrap(test.confidence, test.correct, **RESAMPLING)
            )
        for training in TRAINING_NAMES:
            history = [{"epoch": epoch, "train_loss": 2 / epoch, "val_loss": 3 / epoch, "val_auroc": epoch / 9} for epoch in (1, 2, 3)]
            save_history(paths.history_path(name, seed, training), [{**row, "val_accuracy": 0.5} for row in history], best_epoch=2)


class Page(HTMLParser):
    """elements: tag, attributes and all text inside, in order. Whatever is opened is closed."""

    VOID = ("meta", "link", "img", "br", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[dict] = []
        self._open: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        element = {"tag": tag, "attributes": dict(attrs), "text": ""}
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element["text"] += data

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()["tag"] == tag

    def all(self, *tags: str) -> list[dict]:
        return [element for element in self.elements if element["tag"] in tags]

    def texts(self, *tags: str) -> list[str]:
        return [element["text"].strip() for element in self.all(*tags)]

    def charts(self) -> list[dict]:
        kinds = [element for element in self.all("script") if element["attributes"].get("type") == "application/json"]
        return [json.loads(element["text"]) for element in kinds]
