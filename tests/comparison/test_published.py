"""The published numbers: typed here a second time from the paper's tables, validated, and shown beside ours."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from project_code import ROOT
from test_comparison import evaluation

from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.published import PUBLISHED_CSV_PATH, load_published_results, published_tables
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.tables import UNDEFINED_SIGN

NAN = math.nan

# FPR at 95 % TPR, AUPR-Error, AUPR-Success, AUC, of MCP, MC-dropout, Trust Score and ConfidNet.
TABLE_1 = {
    "mnist_mlp": [(14.87, 37.70, 99.94, 97.13), (15.15, 38.22, 99.94, 97.15), (12.31, 52.18, 99.95, 97.52), (11.79, 57.37, 99.95, 97.83)],
    "mnist_convnet": [(5.56, 35.05, 99.99, 98.63), (5.26, 38.50, 99.99, 98.65), (10.00, 35.88, 99.98, 98.20), (3.33, 45.89, 99.99, 98.82)],
    "svhn_convnet": [
        (31.28, 48.18, 99.54, 93.20),
        (36.60, 43.87, 99.52, 92.85),
        (34.74, 43.32, 99.48, 92.16),
        (28.58, 50.72, 99.55, 93.44),
    ],
    "cifar10_vgg16": [
        (47.50, 45.36, 99.19, 91.53),
        (49.02, 46.40, 99.27, 92.08),
        (55.70, 38.10, 98.76, 88.47),
        (44.94, 49.94, 99.24, 92.12),
    ],
    "cifar100_vgg16": [
        (67.86, 71.99, 92.49, 85.67),
        (64.68, 72.59, 92.96, 86.09),
        (71.74, 66.82, 91.58, 84.17),
        (62.96, 73.68, 92.68, 86.28),
    ],
    "camvid_segnet": [(63.87, 48.53, 96.37, 84.42), (62.95, 49.35, 96.40, 84.58), (NAN, 20.42, 92.72, 68.33), (61.52, 50.51, 96.58, 85.02)],
}
TABLE_1["camvid_segnet_full"] = TABLE_1["camvid_segnet"]
METHODS = ("mcp", "mc_dropout", "trust_score", "confidnet")
METRICS = ["fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc"]

# AUPR-Error by what the head was trained on, and with which loss; columns MLP, MNIST convnet, SVHN, CIFAR-10, CIFAR-100, CamVid.
ABLATIONS = {
    "trained_on_train": (57.34, 43.94, 50.72, 49.94, 73.68, 50.28),
    "trained_on_val": (33.41, 34.22, 47.96, 48.93, 73.85, 50.15),
    "loss_tcp_mse": (None, None, 50.72, 49.94, None, 50.51),
    "loss_bce": (None, None, 50.00, 47.95, None, 48.96),
    "loss_tcp_ratio": (None, None, None, 48.78, None, 51.35),
}
HEAD_ALONE = {"mnist_convnet": 43.94, "cifar100_vgg16": 72.68}

# How many errors each method accepts at 95 % TPR, and of how many: the fractions behind the printed FPRs.
FRACTIONS = {
    "mnist_mlp": ((29, 195), (30, 198), (24, 195), (23, 195)),
    "mnist_convnet": ((5, 90), (5, 95), (9, 90), (3, 90)),
    "cifar10_vgg16": ((371, 781), None, (435, 781), (351, 781)),
}


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return load_published_results()


def test_table_1_stands_there_as_printed(published: pd.DataFrame):
    rows = published[published["source"].str.startswith("Table 1")]
    assert rows["variant"].eq("").all() and len(rows) == 28
    for benchmark, expected in TABLE_1.items():
        found = rows[rows["benchmark"] == benchmark]
        assert tuple(found["method"]) == METHODS
        assert found[METRICS].to_numpy().tolist() == [pytest.approx(list(row), nan_ok=True, abs=0) for row in expected]


def test_the_ablations_stand_there_as_printed(published: pd.DataFrame):
    variants = published[published["variant"] != ""]
    found = {(row.variant, row.benchmark): row.aupr_error for row in variants.itertuples()}
    listed = {
        (variant, name): value for variant, row in ABLATIONS.items() for name, value in zip(TABLE_1, (*row, row[-1]), strict=True) if value
    }
    assert found == listed
    assert set(variants["method"]) == {"confidnet"}
    head = published[published["method"] == "confidnet_head"]
    assert dict(zip(head["benchmark"], head["aupr_error"], strict=True)) == HEAD_ALONE
    assert len(published) == 28 + len(listed) + len(HEAD_ALONE)


def test_derived_counts_explain_the_printed_rates(published: pd.DataFrame):
    derived = published[published["counts"] == "derived"].set_index(["benchmark", "method"])
    fractions = {(name, method): pair for name, row in FRACTIONS.items() for method, pair in zip(METHODS, row, strict=True) if pair}
    assert set(derived.index) == set(fractions)
    for key, (accepted, errors) in fractions.items():
        row = derived.loc[key]
        assert (row["errors"], row["samples"]) == (errors, 10000)
        assert round(100 * accepted / errors, 2) == row["fpr_at_95_tpr"]
        assert round(100 * (1 - errors / 10000), 2) == row["accuracy"]


def test_what_fits_beside_other_counts_is_marked_unverified(published: pd.DataFrame):
    rows = published[published["counts"] == "unverified"]
    assert rows[["benchmark", "method", "errors"]].to_numpy().tolist() == [["svhn_convnet", "mcp", 1186], ["cifar100_vgg16", "mcp", 3404]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("auroc", "auroq", "the column auroq is neither a metric nor a fact; did you mean auroc"),
        (",auroc", "", "the column auroc is missing"),
        ("mnist_mlp,mcp", "mnist_mlp,mpc", "line 2: method is mpc, which is no file of confidnet_core/scores; did you mean mcp"),
        ("mnist_mlp,mcp", ",mcp", "line 2: benchmark is empty"),
        ("14.87", "1487", "line 2: fpr_at_95_tpr is 1487; expected 0.00 to 100.00 in percent, with two decimals as printed"),
        ("14.87", "100.01", "line 2: fpr_at_95_tpr is 100.01; expected"),
        ("37.70", "37.7", "line 2: aupr_error is 37.7; expected"),
        ("97.13", "nan", "line 2: auroc is nan; expected"),
        ("195,", "19.5,", r"line 2: errors is 19\.5; expected a whole number above 0"),
        ("derived", "guessed", "line 2: counts is guessed; expected derived, unverified or nothing"),
        (",derived,", ",,", "line 2: accuracy, errors, samples and counts come together: give all of them or none"),
        ("98.05", "98.50", "line 2: accuracy is 98.50, but 195 errors among 10000 give another"),
        ("mnist_mlp,mc_dropout", "mnist_mlp,mcp", "line 3: its benchmark, method and variant stand in a line above, too"),
    ],
)
def test_a_slip_in_the_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str):
    text = PUBLISHED_CSV_PATH.read_text()
    if new == "":
        text = "\n".join(",".join(line.split(",")[:6] + line.split(",")[7:]) for line in text.splitlines())
    else:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "published.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"published\.csv: {message}"):
        load_published_results(tmp_path / "published.csv")


def beside(frame: pd.DataFrame, published: pd.DataFrame) -> dict[str, str]:
    """Each as Markdown."""
    return {name: table_to_markdown(table) for name, (table,) in published_tables(frame, published).items()}


def lines(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_ours_theirs_and_the_difference_stand_under_each_other(published: pd.DataFrame):
    ours = [
        evaluation("mcp", benchmark="mnist_convnet", errors=80, samples=10000, fpr_at_95_tpr=0.1, auroc=0.98),
        evaluation("margin", benchmark="mnist_convnet", errors=80, samples=10000),
        evaluation("confidnet", benchmark="mnist_convnet", errors=80, samples=10000, aupr_error=None, aupr_success=0.9998),
        evaluation("confidnet_head", benchmark="mnist_convnet", errors=80, samples=10000, aupr_error=0.4),
    ]
    header, _, *rows = lines(beside(comparison_frame(ours), published)["mnist_convnet"])
    assert header == ["method", "", "FPR@95%TPR ↓", "AUPR-Error ↑", "AUPR-Success ↑", "AUROC ↑", "accuracy ↑", "errors"]
    nothing = UNDEFINED_SIGN
    assert rows == [
        ["MCP", "ours", "10.00", "50.00", "50.00", "98.00", "99.20", "80 among 10,000"],
        ["", "published", "5.56", "35.05", "99.99", "98.63", "99.10", "90 among 10,000 (derived)"],
        ["", "difference", "+4.44", "+14.95", "-49.99", "-0.63", "+0.10", ""],
        ["ConfidNet", "ours", "50.00", nothing, "99.98", "50.00", "99.20", "80 among 10,000"],
        ["", "published", "3.33", "45.89", "99.99", "98.82", "99.10", "90 among 10,000 (derived)"],
        ["", "difference", "+46.67", nothing, "-0.01", "-48.82", "+0.10", ""],
        ["ConfidNet (head only)", "ours", "50.00", "40.00", "50.00", "50.00", "99.20", "80 among 10,000"],
        ["", "published", nothing, "43.94", nothing, nothing, nothing, nothing],
        ["", "difference", nothing, "-3.94", nothing, nothing, nothing, ""],
    ]


def test_what_differs_is_said_below_the_table(published: pd.DataFrame):
    names = ("mnist_convnet", "camvid_segnet", "camvid_segnet_full")
    frame = comparison_frame([evaluation(method, benchmark=name) for name in names for method in METHODS])
    convnet, camvid, full = beside(frame, published).values()
    assert "one run without deviation" in convnet and "two images of ninety" in convnet and "Derived: " in convnet
    assert "void pixels count there is unknown" in camvid and "small random sample of the pixels" in camvid and "Derived: " not in camvid
    assert camvid.count("360 x 480 and a SegNet of full width") == 1 and "full width" not in full
    assert full.count("void pixels count there is unknown") == 1
    alone = beside(comparison_frame([evaluation("trust_score", benchmark="mnist_convnet")]), published)["mnist_convnet"]
    assert "two images" not in alone and "MC-dropout" not in alone
    alone = beside(comparison_frame([evaluation("confidnet", benchmark="camvid_segnet")]), published)["camvid_segnet"]
    assert "full width" in alone and "small random sample" not in alone


@pytest.mark.parametrize("name", ["svhn_convnet", "cifar100_vgg16"])
def test_an_unverified_count_is_not_shown(published: pd.DataFrame, name: str):
    text = beside(comparison_frame([evaluation("mcp", benchmark=name)]), published)[name]
    assert [row[6:] for row in lines(text)[2:]] == [["93.33", "60 among 900"], [UNDEFINED_SIGN, UNDEFINED_SIGN], [UNDEFINED_SIGN, ""]]
    assert "1186" not in text and "3404" not in text and "erived" not in text


def test_benchmarks_and_methods_without_published_numbers_have_no_table(published: pd.DataFrame):
    frame = comparison_frame(
        [evaluation("mcp"), evaluation("entropy", benchmark="mnist_mlp"), evaluation("mcp", benchmark="cifar10_vgg16")]
    )
    assert list(beside(frame, published)) == ["cifar10_vgg16"]


def test_several_seeds_are_compared_by_their_mean(published: pd.DataFrame):
    seeds = [
        evaluation("mcp", seed, "cifar10_vgg16", errors=700 + seed, samples=10000, auroc=value) for seed, value in enumerate([0.9, 0.92])
    ]
    (_, _, ours, theirs, difference) = lines(beside(comparison_frame(seeds), published)["cifar10_vgg16"])
    assert (ours[5], theirs[5], difference[5]) == ("91.00 ± 1.41", "91.53", "-0.53")
    assert ours[7] == "700.5 among 10,000"


def test_the_table_is_aligned_and_no_wider_than_150_characters(published: pd.DataFrame):
    frame = comparison_frame(
        [
            evaluation(method, seed, name, errors=1476607 + seed, samples=40262400, fpr_at_95_tpr=0.98 + 0.02 * seed)
            for name in TABLE_1
            for method in (*METHODS, "confidnet_head")
            for seed in (0, 1)
        ]
    )
    below = beside(frame, published)
    for name in TABLE_1:
        drawn = [line for line in below[name].splitlines() if line.startswith("|")]
        bars = [[match.start() for match in re.finditer(r"\|", line)] for line in drawn]
        assert len(drawn) >= 14 and all(positions == bars[0] for positions in bars)
        assert max(map(len, drawn)) <= 150


def test_the_numbers_are_installed_with_the_package(tmp_path: Path):
    """setuptools' own list of what a wheel takes, by pyproject.toml."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "confidnet_core"):
        (tmp_path / name).symlink_to(ROOT / name)
    code = "import setuptools; setuptools.setup()"
    command = [sys.executable, "-c", code, "--quiet", "build_py", "--build-lib", "built"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "built/confidnet_core/comparison/published.csv").read_bytes() == PUBLISHED_CSV_PATH.read_bytes()
