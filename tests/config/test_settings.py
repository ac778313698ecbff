"""What params.yaml refuses before any work: one table of overrides, KEY=VALUE with a value in YAML, and messages.

It need not name every setting: test_ranges.py sees that each has its range, or the words that it may be, in its type.
"""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from project_code import ROOT
from ruamel.yaml import YAML
from small_params import VALID
from stage_processes import run_here

from confidnet_core.config.params import load_params

CONTENT = VALID | {"run": ["digits"], "benchmarks": {"digits": VALID["benchmarks"]["small"]}}
FOLDER = "{name: image_folder, folder: birds, height: 8, width: 8}"
CELLS = "{name: segmentation_folder, folder: cells, height: 8, width: 8, classes: {cell: 255, rest: 0}}"
LIMIT = 2**31 - 1

REFUSED = {
    # scores
    "methods.trust_score.neighbour=-5": "methods.trust_score.neighbour is -5; expected at least 1",
    "methods.trust_score.neighbour=0": "methods.trust_score.neighbour is 0; expected at least 1",
    "methods.trust_score.neighbour=1.0": "methods.trust_score.neighbour is 1.0; expected int",
    "methods.trust_score.neighbour=true": "methods.trust_score.neighbour is True; expected int",
    f"methods.trust_score.neighbour={10**30}": f"methods.trust_score.neighbour is {10**30}; expected at most {LIMIT}",
    "methods.trust_score.neighbour=null": "methods.trust_score.neighbour is None; expected int",
    "methods.trust_score.samples_per_class=0": "methods.trust_score.samples_per_class is 0; expected at least 1",
    "methods.trust_score.alpha=1": "methods.trust_score.alpha is 1; expected at least 0 and below 1",
    "methods.trust_score.alpha=.nan": "methods.trust_score.alpha is nan; expected a finite number",
    "methods.trust_score.k=0": "methods.trust_score.k is 0; expected at least 1",
    "methods.trust_score.neighbor=1": "methods.trust_score has neighbor, which nothing reads; did you mean neighbour?",
    "methods.knn={neighbour: 0}": "methods.knn.neighbour is 0; expected at least 1",
    "methods.knn={samples_per_class: -1}": "methods.knn.samples_per_class is -1; expected at least 1",
    "methods.stack={shift: 5}": "methods.stack.shift is 5; expected at least 0 and below 1",
    "methods.stack={samples_per_class: 0}": "methods.stack.samples_per_class is 0; expected at least 1",
    "methods.tta={shift: -0.1}": "methods.tta.shift is -0.1; expected at least 0 and below 1",
    "methods.tta={shift: .nan}": "methods.tta.shift is nan; expected a finite number",
    "methods.energy={temperature: 0.0}": "methods.energy.temperature is 0.0; expected a number above 0",
    "methods.energy={temperature: .inf}": "methods.energy.temperature is inf; expected a finite number",
    "methods.gen={gamma: 1.0}": "methods.gen.gamma is 1.0; expected a number between 0 and 1",
    "methods.gen={classes: 0}": "methods.gen.classes is 0; expected at least 1",
    "methods.mcp=[1]": "methods.mcp is [1]; expected keys and values",
    "methods.margn={}": "methods.margn names margn, but confidnet_core/scores/margn.py does not exist; did you mean margin?",
    "methods=[mcp]": "methods is ['mcp']; expected keys and values",
    # what is selected
    "run=digits": "run is 'digits'; expected a list of str; write run: [digits]",
    "run=[digits,digits]": "run is ['digits', 'digits']; expected digits once only",
    "run=[digit]": "run names digit, which is not under benchmarks; did you mean digits?",
    "run=[]": "run is []; expected at least one entry",
    "seeds=0": "seeds is 0; expected a list of int; write seeds: [0]",
    "seeds=[0,0]": "seeds is [0, 0]; expected 0 once only",
    "seeds=[-1]": "seeds is [-1]; expected whole numbers from 0 to 2**63 - 1",
    f"seeds=[{2**63}]": f"seeds is [{2**63}]; expected whole numbers from 0 to 2**63 - 1",
    "seeds=[true]": "seeds is [True]; expected a list of int",
    "against=[mcp,mcp]": "against is ['mcp', 'mcp']; expected mcp once only",
    "against=mcp": "against is 'mcp'; expected a list of str; write against: [mcp]",
    "against=[mpc]": "against names mpc, but confidnet_core/scores/mpc.py does not exist; did you mean mcp?",
    # what all benchmarks share
    "calibration_split=0.3": "calibration_split is 0.3; expected keys and values",
    "calibration_split.share=0": "calibration_split.share is 0; expected a number between 0 and 1, as 0.3333",
    "calibration_split.gap=0.7": "calibration_split.gap is 0.7; expected at least 0 and below 0.6667, what share leaves",
    "calibration_split.seed=-1": "calibration_split.seed is -1; expected at least 0",
    "bootstrap.resamples=10": "bootstrap.resamples is 10; expected 100 to 1,000,000: ends of intervals are quantiles",
    "bootstrap.level=95": "bootstrap.level is 95; expected a number between 0 and 1, as 0.95",
    "thresholds.risks=[]": "thresholds.risks is []; expected 1 to 100 error rates",
    "thresholds.risks=0.05": "thresholds.risks is 0.05; expected a list of float; write risks: [0.05]",
    "thresholds.risks=[0.05,0.05]": "thresholds.risks is [0.05, 0.05]; expected 0.05 once only",
    "thresholds.risks=[5]": "thresholds.risks is [5]; expected numbers between 0 and 1, as 0.05 for 5 %",
    "thresholds.serve=0.02": "thresholds.serve is 0.02; expected one of thresholds.risks, 0.05, 0.3",
    "thresholds.serve=5": "thresholds.serve is 5; expected one of risks, as 0.05",
    "thresholds={risks: [0.05], delta: 0.1}": "thresholds lacks serve; it must hold risks, serve, delta",
    "thresholds.delta=.nan": "thresholds.delta is nan; expected a finite number",
    # data sets
    "benchmarks.digits.data.train=0": "benchmarks.digits.data.train is 0; expected at least 1",
    "benchmarks.digits.data.test=true": "benchmarks.digits.data.test is True; expected int",
    "benchmarks.digits.data.split_seed=-1": "benchmarks.digits.data.split_seed is -1; expected at least 0",
    f"benchmarks.digits.data.split_seed={2**32}": f"benchmarks.digits.data.split_seed is {2**32}; expected below {2**32}",
    "benchmarks.digits.data={name: mnist, val: 0}": "benchmarks.digits.data.val is 0; expected at least 1",
    "benchmarks.digits.data={name: svhn, val: 0.5}": "benchmarks.digits.data.val is 0.5; expected int",
    "benchmarks.digits.data={name: cifar10, split_seed: 1.5}": "benchmarks.digits.data.split_seed is 1.5; expected int",
    "benchmarks.digits.data={name: camvid, height: 0}": "benchmarks.digits.data.height is 0; expected at least 1",
    "benchmarks.digits.data={name: camvid, void_as_class: 1}": "benchmarks.digits.data.void_as_class is 1; expected bool",
    "benchmarks.digits.data={name: image_folder, height: 8, width: 8}": (
        "benchmarks.digits.data lacks folder; it must hold folder, height, width"
    ),
    f"benchmarks.digits.data={FOLDER[:-1]}, val: 1.5}}": (
        "benchmarks.digits.data.val is 1.5; expected a number of training images, or a share of them below 1"
    ),
    f"benchmarks.digits.data={FOLDER[:-1]}, val: -1}}": (
        "benchmarks.digits.data.val is -1; expected a number of training images, or a share of them below 1"
    ),
    f"benchmarks.digits.data={FOLDER.replace('birds', '7')}": "benchmarks.digits.data.folder is 7; expected str",
    f"benchmarks.digits.data={CELLS.replace('255', '65536')}": (
        "benchmarks.digits.data.classes is {'cell': 65536, 'rest': 0}; expected a value from 0 to 65535"
    ),
    f"benchmarks.digits.data={CELLS.replace('{cell: 255, rest: 0}', '[cell]')}": (
        "benchmarks.digits.data.classes is ['cell']; expected 2 to 255 names, or names with values"
    ),
    f"benchmarks.digits.data={CELLS[:-1]}, void: 65536}}": (
        "benchmarks.digits.data.void is 65536; expected a value from 0 to 65535, or null"
    ),
    # models
    "benchmarks.digits.model.hidden=0": "benchmarks.digits.model.hidden is 0; expected at least 1",
    "benchmarks.digits.model.dropout=1.5": "benchmarks.digits.model.dropout is 1.5; expected at least 0 and below 1",
    "benchmarks.digits.model={name: mnist_convnet, width: 0}": (
        "benchmarks.digits.model.width is 0; expected a number above 0, at most 16; 1.0 is the published size"
    ),
    "benchmarks.digits.model={name: vgg16, dropout: 2.5}": (
        "benchmarks.digits.model.dropout is 2.5; expected 0 to 2, which multiplies rates of up to 0.5"
    ),
    "benchmarks.digits.model={name: segnet, feature: unpoled}": (
        "benchmarks.digits.model.feature is 'unpoled'; expected dense or unpooled"
    ),
    "benchmarks.digits.model={name: segnet, pretrained: 1}": "benchmarks.digits.model.pretrained is 1; expected bool or str",
    "benchmarks.digits.model=mlp": "benchmarks.digits.model is 'mlp'; expected keys and values",
    # recipes
    "benchmarks.digits.baseline.epochs=0": "benchmarks.digits.baseline.epochs is 0; expected at least 1",
    f"benchmarks.digits.baseline.epochs={2**31}": f"benchmarks.digits.baseline.epochs is {2**31}; expected at most 100000",
    f"benchmarks.digits.baseline.epochs={10**30}": f"benchmarks.digits.baseline.epochs is {10**30}; expected at most 100000",
    "benchmarks.digits.baseline.epochs=1e30": "benchmarks.digits.baseline.epochs is 1e+30; expected int",
    f"bootstrap.resamples={10**9}": f"bootstrap.resamples is {10**9}; expected 100 to 1,000,000: ends of intervals are quantiles",
    f"benchmarks.digits.mc_dropout.passes={10**6}": f"benchmarks.digits.mc_dropout.passes is {10**6}; expected at most 100000",
    "benchmarks.digits.data={name: camvid, width: 30000}": "benchmarks.digits.data.width is 30000; expected at most 16384",
    "benchmarks.digits.baseline.optimizer=sgdd": "benchmarks.digits.baseline.optimizer is 'sgdd'; expected sgd or adam",
    "benchmarks.digits.finetune.swa_epochs=3": "benchmarks.digits.finetune.swa_epochs is 3; expected 0 to 2, the epochs",
    "benchmarks.digits.confidnet.loss=focal": (
        "benchmarks.digits.confidnet.loss is 'focal'; expected mse or bce with the target tcp: the others are for the target correctness"
    ),
    "benchmarks.digits.mc_dropout.passes=-1": "benchmarks.digits.mc_dropout.passes is -1; expected at least 0",
}
SHOWN_BY_THE_STAGE = ["methods.trust_score.neighbour=-5", "run=digits", "against=[mcp,mcp]", "methods.stack={shift: 5}"]


def project(folder: Path, *overrides: str) -> Path:
    """A params.yaml with these overrides."""
    content, yaml, path = deepcopy(CONTENT), YAML(typ="safe"), folder / "params.yaml"
    for key, _, value in (override.partition("=") for override in overrides):
        *parents, last = key.split(".")
        section = content
        for name in parents:
            section = section[name]
        section[last] = yaml.load(value)
    yaml.dump(content, path)
    return path


@pytest.mark.parametrize("override", REFUSED)
def test_an_override_that_cannot_be_is_refused_with_key_value_and_what_was_expected(tmp_path: Path, override: str):
    with pytest.raises(ValueError) as caught:
        load_params(project(tmp_path, override))
    assert str(caught.value) == f"{tmp_path}/params.yaml: {REFUSED[override]}"


@pytest.mark.slow
@pytest.mark.parametrize("override", SHOWN_BY_THE_STAGE)
def test_the_first_stage_refuses_it_in_one_line_and_writes_nothing(tmp_path: Path, override: str):
    project(tmp_path, override)
    done = run_here(tmp_path, "sources", "digits")
    assert (done.returncode, done.stderr) == (1, f"sources: params.yaml: {REFUSED[override]}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_the_first_stage_refuses_an_empty_file(tmp_path: Path):
    (tmp_path / "params.yaml").touch()
    done = sources(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("sources: params.yaml: the top level lacks run; it must hold run, seeds, methods, ")


def sources(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "stages.sources", "digits"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False)


def test_of_several_mistakes_an_unknown_key_comes_first(tmp_path: Path):
    renamed = "benchmarks.digits.baseline={epoch: 3, batch_size: 0, learning_rate: 0.1, optimizer: sgd}"
    with pytest.raises(ValueError, match=r"baseline has epoch, which nothing reads; did you mean epochs"):
        load_params(project(tmp_path, renamed))


def test_a_number_of_thousands_of_digits_is_refused_in_one_short_line(tmp_path: Path):
    path = project(tmp_path, "methods.trust_score.neighbour=LONG")
    path.write_text(path.read_text().replace("LONG", f"0x1{'0' * 6000}"))
    with pytest.raises(ValueError, match=r"methods\.trust_score\.neighbour is a number of thousands of digits; expected at most"):
        load_params(path)
