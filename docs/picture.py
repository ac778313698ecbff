"""The picture at the top of the README, light and dark: python -m docs.picture [CURVES]

reads   docs/camvid.png (a street of CamVid's test split, CC BY-NC 4.0, with the maps of the study in reports/studies/camvid_segnet/),
        CURVES: reports/curves/risk_coverage.csv of the committed study on digits unless another file is given
writes  docs/overview-light.png, docs/overview-dark.png, 1660 pixels wide for a page of 830

The confidence maps are scaled by rank within the image: the least confident tenth of its pixels has the same colours in each of them.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from PIL import Image

DOCS = Path(__file__).parent
SHEET, ROW = DOCS / "camvid.png", slice(116, 201)  # pixels of the second street in the sheet
STEP, INSIDE = 125, slice(6, 120)  # pixels from one column of the sheet to the next, and of a picture in its column
COLUMNS = {"image": 0, "prediction": 2, "errors": 3, "MCP": 4, "ConfidNet": 11, "Test-time augmentation": 13}
SCORES = ("MCP", "ConfidNet", "Test-time augmentation")
VOID = (217, 217, 217)
CURVES = {"mcp": "MCP", "confidnet": "ConfidNet", "stack": "Stack", "tcp (oracle)": "Oracle (TCP)"}
THEMES = {
    "light": {"background": "#FFFFFF", "text": "#1F2328", "grid": "#D8DEE4", "lines": ("#0072B2", "#A2145F", "#D55E00", "#808080")},
    "dark": {"background": "#0D1117", "text": "#E6EDF3", "grid": "#30363D", "lines": ("#4DA3FF", "#FF8AC4", "#FF8A3D", "#A0A0A0")},
}


def main(curves: Path) -> None:
    sheet = np.asarray(Image.open(SHEET).convert("RGB"))
    pictures = {title: sheet[ROW, STEP * column + INSIDE.start : STEP * column + INSIDE.stop] for title, column in COLUMNS.items()}
    lines = pd.read_csv(curves).query("benchmark == 'digits' and seed == 0")
    for theme, colours in THEMES.items():
        draw(pictures, lines, colours, DOCS / f"overview-{theme}.png")


def draw(pictures: dict[str, np.ndarray], lines: pd.DataFrame, colours: dict, path: Path) -> None:
    settings = {f"{part}.color": colours["text"] for part in ("text", "xtick", "ytick")}
    settings |= {"font.size": 9, "axes.edgecolor": colours["text"], "axes.labelcolor": colours["text"]}
    with plt.rc_context(settings):
        figure = plt.figure(figsize=(8.3, 3.2), dpi=200, facecolor=colours["background"])
        grid = figure.add_gridspec(2, 3, left=0.005, right=0.63, top=0.86, bottom=0.01, wspace=0.04, hspace=0.2)
        for place, (title, pixels) in zip(grid, pictures.items(), strict=True):
            axes = figure.add_subplot(place)
            axes.imshow(ranked(pixels) if title in SCORES else pixels, interpolation="nearest", aspect="auto")
            axes.set_title(f"confidence: {title}".replace("Test-time augmentation", "TTA") if title in SCORES else title, fontsize=9, pad=3)
            axes.set(xticks=[], yticks=[])
        curve(figure.add_axes((0.705, 0.15, 0.27, 0.71)), lines, colours)
        figure.text(0.005, 0.95, "CamVid: where is this classifier wrong?", weight="bold", fontsize=10)
        figure.text(0.65, 0.95, "Digits: fewer answers, fewer errors", weight="bold", fontsize=10)
        figure.savefig(path, facecolor=colours["background"])
        plt.close(figure)


def curve(axes: Axes, lines: pd.DataFrame, colours: dict) -> None:
    axes.set_facecolor(colours["background"])
    for (method, label), colour in zip(CURVES.items(), colours["lines"], strict=True):
        rows = lines[lines["method"] == method]
        axes.plot(rows["coverage"], rows["risk"], color=colour, label=label, linewidth=1.8, linestyle="--" if "oracle" in method else "-")
    axes.set(xlim=(0.3, 1), ylim=(0, 0.08), xlabel="coverage: accepted answers", ylabel="risk: error rate among them")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(color=colours["grid"], linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", fontsize=9)


def ranked(pixels: np.ndarray) -> np.ndarray:
    """A map (h, w, 3) in the colours of viridis with its values replaced by their ranks; pixels near the grey of void become that grey."""
    viridis = np.rint(255 * plt.get_cmap("viridis")(np.arange(256))[:, :3])
    distance = np.linalg.norm(pixels[..., None, :] - viridis, axis=-1)
    value, void = distance.argmin(axis=-1), np.linalg.norm(pixels - np.array(VOID), axis=-1) < distance.min(axis=-1)
    rank = pd.Series(value[~void]).rank(method="max", pct=True).to_numpy()
    out = np.broadcast_to(np.array(VOID, np.uint8), pixels.shape).copy()
    out[~void] = np.rint(255 * plt.get_cmap("viridis")(rank)[:, :3])
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS.parent / "reports/curves/risk_coverage.csv")
