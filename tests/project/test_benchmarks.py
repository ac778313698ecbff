"""Benchmarks run and compare like with like. How fast is for the benchmark to say: a timed test fails on busy cores."""

import re
import subprocess
import sys

import numpy as np
import pytest
from project_code import ROOT

from benchmarks import interval_coverage, training_scatter
from benchmarks._normal_scores import Images, Samples

LINE = re.compile(r"^  (.+?) +([\d,]+) images/s +([\d.]+)x   fed: mean +(-?[\d.]+), deviation ([\d.]+)$", re.MULTILINE)


@pytest.mark.slow
def test_the_input_pipeline_is_timed_on_the_same_images_as_a_data_loader():
    command = [sys.executable, "-m", "benchmarks.input_pipeline", "--samples", "400", "--repeats", "1"]
    lines = LINE.findall(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert len(lines) == 15  # three pipelines for each of five tasks
    for (ours, *speed), *loaders in (lines[start : start + 3] for start in range(0, 15, 3)):
        assert ours == "TrainingBatches" and speed[1] == "1.0"
        for name, _, ratio, mean, deviation in loaders:
            assert name.startswith("DataLoader") and float(ratio) > 0
            assert [float(mean), float(deviation)] == pytest.approx([float(speed[2]), float(speed[3])], abs=0.05)


@pytest.mark.slow
def test_the_bootstrap_is_timed_against_measuring_each_resample():
    command = [sys.executable, "-m", "benchmarks.bootstrap", "--samples", "300", "--resamples", "100", "--pixels", "50"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    ratios = re.findall(r"^  .*? +([\d.]+) s +([\d.]+)x$", printed, re.MULTILINE)
    assert len(ratios) == 3 and ratios[0][1] == "1.0" and all(float(seconds) >= 0 for seconds, _ in ratios)
    assert "100 resamples of 233 images, 11,650 pixels: " in printed


@pytest.mark.slow
def test_the_bootstrap_in_groups_is_compared_with_single_draws_of_the_same_samples():
    command = [sys.executable, "-m", "benchmarks.large_bootstrap", "--samples", "100001", "--resamples", "60", "--exact", "20"]
    command += ["--shapes", "few_errors"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    assert "few_errors: 20 errors among 100,001" in printed
    ratios = re.findall(r"^  (\w+) +[\d.e+-]+ +([\d.]+) +-?[\d.]+ +-?[\d.]+ +(?:[\d.]+|nan)$", printed, re.MULTILINE)
    assert len(ratios) == 9 and all(0.3 < float(ratio) < 3 for _, ratio in ratios)


@pytest.mark.slow
def test_a_table_of_any_size_is_made_measured_and_deleted(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.billion_rows",
        "200000",
        "--type",
        "DOUBLE",
        "--resamples",
        "20",
        "--folder",
        str(tmp_path),
    ]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    assert len(re.findall(r"^ +200,000 rows, .* s, peak [\d.]+ GB, load .*, AUROC 0\.7\d+$", printed, re.MULTILINE)) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_memory_of_stages_is_measured_on_made_images_that_are_deleted(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.growth",
        "--images",
        "240",
        "--factors",
        "1",
        "--untrained",
        "--size",
        "16",
        "--classes",
        "4",
    ]
    command += ["--folder", str(tmp_path)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout
    rows = re.findall(r"^(\w+(?: \w+)?) +240 +[\d.]+ +1\.00x +(\d+) +1\.00x +\(([\d,]+)\)$", printed, re.MULTILINE)
    assert [stage for stage, *_ in rows] == ["prepare", "train_baseline", "predict", "inputs", "evaluate mcp"]
    assert all(0 < int(own) <= int(with_files.replace(",", "")) for _, own, with_files in rows) and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_metrics_are_timed_and_compared_with_other_libraries_one_by_one():
    command = [sys.executable, "-m", "benchmarks.failure_metrics", "3000", "500", "--rounds", "1"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    for part in re.split(r"^(?:3,000|500) samples: \d+ metrics in ", printed, flags=re.MULTILINE)[1:]:
        lines = re.findall(r"^  (\w+) +scikit-learn +[\d.]+ s +[\d.]+x  (.+)$", part, re.MULTILINE)
        assert dict(lines) == dict.fromkeys(("fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc"), "agrees")
        metrics, together = re.search(r"single calls together / ours, (\d+) metrics: [\d.]+ s ([\d.]+)x$", part, re.MULTILINE).groups()
        assert int(metrics) >= 4 and float(together) > 0


@pytest.mark.slow
def test_intervals_cover_the_truth_and_equal_scores_are_rarely_significant_from_no_error_on():
    """250 repetitions: 3 standard deviations below 93 % are 88, below 92 % are 86, above 6 % are 11."""
    generator = np.random.default_rng(0)
    settings = [Samples(200, errors) for errors in (0, 1, 3, 8)] + [Samples(200, 10, 3.5), Images(6), Images(12)]
    for setting in settings:
        found = interval_coverage.simulate(setting, 250, 150, generator)
        shown, covered, significant = found["ours"]
        assert significant.max() < 11, setting
        if setting in (Samples(200, 0), Samples(200, 1)):
            assert shown.max() < 2
        elif shown.min() > 40:
            assert covered.min() > (86 if isinstance(setting, Images) else 88), setting
        if setting == Samples(200, 3):  # what the percentiles of the resamples would say
            assert found["percentile"][1].min() < 80 and found["percentile"][2].max() > 12


@pytest.mark.slow
def test_methods_whose_trainings_scatter_rarely_get_a_false_verdict():
    """80 repetitions: 3 standard deviations above 7 % are 15."""
    generator = np.random.default_rng(0)
    for tau in (0.0, 0.3):
        found = training_scatter.simulate(training_scatter.Study(5, tau, 0.5), 80, 100, generator)
        assert found["ours"].max() < 15
    assert found["networks"].min() > 15  # what the verdict on the trained networks would be


@pytest.mark.slow
def test_the_probabilities_of_calibrators_are_printed_with_the_coverage_of_intervals():
    command = [sys.executable, "-m", "benchmarks.probabilities", "--repetitions", "10", "--resamples", "200"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = {row[0]: [float(cell) for cell in row[1].split()] for row in re.findall(r"^(\S.*?) {2,}([-\d. ]+)$", printed, re.MULTILINE)}
    fits = [row for label, row in rows.items() if label.endswith("%")]
    assert len(fits) == 35 and all(row[8] == row[9] for row in fits)  # AUPR-Error: ours and the score
    assert all(row[8] > row[6] + 1 for row in fits[:25])  # isotonic; the other shapes are steep and reversed
    better = re.search(r"^ours is better than isotonic in (\d+) of 35 rows by NLL, in (\d+) by Brier score$", printed, re.MULTILINE)
    assert better and min(map(int, better.groups())) >= 24
    assert rows["good, 200"][0] == 0 and all(rows[f"good, {size}"][1] > 80 for size in (200, 1000, 5000))


@pytest.mark.slow
def test_thresholds_keep_their_guarantee_and_a_learned_start_gains_coverage_for_samples_and_images():
    """Row 4 has overconfident errors; 3 standard deviations above 5 % are 11 % of 120 repetitions."""
    command = [sys.executable, "-m", "benchmarks.guarantee", "--repetitions", "120", "--image-repetitions", "8", "--rows", "1", "4"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = [line for line in printed.splitlines() if " %" in line and "(" in line]
    found = [[(float(a), float(b)) for a, b in re.findall(r"([\d.]+) \(([\d.]+)\)", row)] for row in rows]
    assert [len(ways) for ways in found] == [4, 4, 2, 2, 2]
    assert max(violated for ways in found[:2] for _, violated in ways) <= 11 and max(ways[0][1] for ways in found[2:]) == 0
    (plain, *_), (overconfident, fixed, *_) = found[:2]
    assert plain[0] > 0.9 and overconfident[0] > fixed[0] + 0.05 and found[4][0][0] > found[4][1][0] + 0.2
    served = dict(re.findall(r"served target, (.*?): +([\d.]+) % violated", printed))
    assert float(served["fixed beforehand"]) <= min(11, float(served["least feasible"]))


@pytest.mark.slow
def test_watch_rarely_raises_false_alarms_and_sees_changes():
    """40 repetitions: 3 standard deviations above 5 % are 6."""
    command = [sys.executable, "-m", "benchmarks.watch", "--repetitions", "40", "--with-change", "5", "--days", "12", "--change", "7"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = {line[:45].strip(): [float(share) for share in re.findall(r"([\d.]+) %", line[45:])] for line in printed.splitlines()}
    assert max(rows["none                                        -"]) <= 15
    assert min(rows["coverage 40 points lower                    7"]) == 100
    broken, kept = [float(share) for share in re.findall(r"([\d.]+) %", next(line for line in printed.splitlines() if line[:3] == "5  "))]
    assert broken <= 15 and kept <= 15 and float(re.search(r"^25 +([\d.]+) %", printed, re.MULTILINE)[1]) == 100


@pytest.mark.slow
def test_dropout_from_random_bits_is_timed_against_the_dropout_of_pytorch():
    command = [sys.executable, "-m", "benchmarks.training_steps", "--repeats", "1", "--dropout-alone"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    lines = re.findall(r"^  (.+?) +([\d.]+) s +([\d.]+)x$", printed, re.MULTILINE)
    assert [name for name, *_ in lines] == ["nn.Dropout", "random bits"]
    assert lines[0][2] == "1.00" and all(float(seconds) > 0 for _, seconds, _ in lines)
