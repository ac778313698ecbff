"""What dvc.yaml must say of a stage, worked out from the stage's code, its docstring and params.yaml."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from project_code import REGISTRY_FOLDERS, REPORTING, ROOT, entries, has_code, looked_up_folders, reached, relative, tree

from confidnet_core.config.params import Benchmark

Stage = dict[str, Any]
MATRIX = {"benchmark": "${run}", "seed": "${seeds}", "method": "${methods}"}
DIGEST = {"datasets": "data/sources/${item.benchmark}/dataset.txt", "models": "data/sources/${item.benchmark}/model.txt"}


def script(name: str) -> Path:
    return ROOT / "stages" / f"{name}.py"


def paths(stage: Stage, *kinds: str) -> list[str]:
    """The paths of a stage's deps, outs, ...; DVC writes some of them as {path: options}."""
    listed = [entry for kind in kinds for entry in stage.get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed]


@cache
def code_of(name: str) -> frozenset[Path]:
    """Project files that a stage computes with, the entries of registry folders excepted."""
    # A figure is what the comparison makes; the training stages only show one of their data.
    reporting = REPORTING if name == "compare" else REPORTING | {"confidnet_core/reporting/plots.py"}
    files, looked_up = reached(script(name), without=reporting), set()
    while new := {registry_folder for path in files for registry_folder in looked_up_folders(path)} - looked_up:
        looked_up |= new
        for registry_folder in new:
            files |= reached(*entries(registry_folder), without=reporting)
    inside = {path for registry_folder in looked_up for path in entries(registry_folder)}
    # The digest of a data set or model covers the shared files of its folder, too.
    shared = {path for registry_folder in looked_up & set(DIGEST) for path in (ROOT / "confidnet_core" / registry_folder).glob("_*.py")}
    return frozenset(files - inside - (shared - reached(script(name), without=reporting)))


@cache
def code_dependencies(name: str) -> frozenset[str]:
    """The deps that stand for code: files, and what stands for the one entry that params.yaml names."""
    files = code_of(name)
    looked_up = {registry_folder for path in files for registry_folder in looked_up_folders(path)}
    # A stage that is called for one score computes with its file, another one with those of all.
    score_files = "confidnet_core/{}/${{item.method}}.py" if "method" in arguments(name) else "confidnet_core/{}"
    named = {DIGEST.get(registry_folder, score_files.format(registry_folder)) for registry_folder in looked_up}
    calls = ("entry_code_digest", "entry_attributes")
    folders = {f"confidnet_core/{registry_folder}" for path in files for call in calls for registry_folder in looked_up_folders(path, call)}
    registries = {entry for entry in folders | named if (ROOT / entry).is_dir()}
    return frozenset({entry for entry in folded(files) if str(Path(entry).parent) not in registries} | named | folders)


def folded(files: frozenset[Path] | set[Path]) -> set[str]:
    """FILES as dvc.yaml is to list them: a folder of the core in place of its files where the stage computes with all of them."""
    found, inside = set(), set()
    for folder in sorted({parent for path in files for parent in path.parents if _is_package(parent)}):
        if set(_code(folder)) <= files and not any(folder.is_relative_to(other) for other in inside):
            inside.add(folder)
            found.add(relative(folder))
    lone = {path for path in files if not any(path.is_relative_to(folder) for folder in inside)}
    # The data of a module that is listed by itself lie beside it.
    return found | {relative(path) for path in lone} | {relative(own) for path in lone if (own := path.with_suffix(".csv")).exists()}


def _is_package(folder: Path) -> bool:
    """Of the core, below its root and outside the registry folders, whose entries params.yaml names."""
    core = ROOT / "confidnet_core"
    return folder.is_relative_to(core) and folder != core and folder.relative_to(core).parts[0] not in REGISTRY_FOLDERS


def _code(folder: Path) -> Iterator[Path]:
    """Python files below a folder that hold more than a docstring."""
    return (path for path in folder.rglob("*.py") if has_code(path))


SECTION_FILE = "data/sources/${{item.benchmark}}/{}.json"  # of a benchmark's section of params.yaml, which may be absent, or another's


def section_files(name: str) -> set[str]:
    """The deps that stand for sections of the benchmark that the stage's code reads."""
    return {SECTION_FILE.format(section) for section in _read_settings(name)[0]}


def read_paths(name: str, stages: dict[str, Stage]) -> set[str]:
    """The deps that stand for data: what the script's docstring says that it reads, as outputs of other stages."""
    found = set()
    for path in _stated(name, "reads"):
        inside = {out for stage in stages.values() for out in paths(stage, "outs") if out == path or out.startswith(f"{path}/")}
        own = {out for out in inside if set(re.findall(r"item\.(\w+)", out)) <= set(stages[name].get("matrix", {}))}
        part = any(path.startswith(f"{out}/") for stage in stages.values() for out in paths(stage, "outs"))  # one folder of an output
        if not inside and not part and not path.startswith(("data/raw", "confidnet_core/")):  # raw data comes from outside, code is code
            raise ValueError(f"stages/{name}.py reads {path}, which no stage writes")
        found |= own or ({path} if inside or part else set())
    return found


def written_paths(name: str) -> set[str]:
    """What the script's docstring says that it writes: whole folders, and single files and folders of reports/."""
    return {re.sub(r"/\{.*", "", path) for path in _stated(name, "writes")}


def _stated(name: str, word: str) -> set[str]:
    """Project paths in a section of the docstring, with DVC's placeholders and every {a,b} written out."""
    section = re.search(rf"\n{word}\s+(.*?)(?=\n\w+\s\s|\n\n|$)", ast.get_docstring(tree(script(name))), re.DOTALL).group(1)
    found = set()
    for start, inner in re.findall(r"(?<![\w/$])((?:data|models|reports|confidnet_core)/[\w/]*(?:\.\w+)?)(?:\{(.*?)\})?", section):
        # A folder of a benchmark is one output, whatever is in it; of reports/, each thing is one.
        alone = word == "writes" and not start.startswith("reports/")
        parts = [""] if alone or not inner else [re.split(r"[/ ]", part.strip())[0] for part in inner.split(",")]
        found |= {f"{start}{part}".rstrip("/") for part in parts}
    for placeholder in ("BENCHMARK", "SEED", "METHOD"):
        found = {path.replace(placeholder, f"${{item.{placeholder.lower()}}}") for path in found}
    return found


# What several benchmarks share, and all of them.
SHARED = ("run", "seeds", "methods", "calibration_split", "bootstrap", "thresholds", "against", "benchmarks")

KEYED = ("calibration_split", "bootstrap", "thresholds")  # of these, a stage may read single keys


def parameters(name: str) -> frozenset[str]:
    """The params entries that the stage's code reads, without those of a benchmark: see section_files."""
    return frozenset({"run", "benchmarks"}) if name == "sources" else _read_settings(name)[1]  # which checks all of params.yaml


@cache
def _read_settings(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The sections of a benchmark, and the other params entries, that the stage's code reads."""
    if name == "sources":
        return frozenset(), frozenset()
    sections, found_sections, found, by_key = set(Benchmark.model_fields), set(), set(), set()
    for path in code_of(name) - {ROOT / "confidnet_core/config/params.py"}:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "training_job":
                found_sections.add(ast.literal_eval(node.args[4]))  # its recipe
            if not isinstance(node, ast.Attribute):
                continue
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            known_as = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if known_as == "benchmark" and node.attr in sections:
                found_sections.add(node.attr)
            elif known_as in KEYED and isinstance(owner, ast.Attribute) and getattr(owner.value, "id", "") == "params":
                found.add(f"{known_as}.{node.attr}")
                by_key.add(owner)
            elif known_as == "params" and node.attr in SHARED and node not in by_key:
                found.add(node.attr)
            elif known_as == "params" and node.attr == "method":
                found.add("methods.${item.method}")
    whole = frozenset(entry for entry in found if entry.partition(".")[0] not in found - {entry})  # a whole section has all of its keys
    return frozenset(found_sections), whole


def arguments(name: str) -> list[str]:
    """Names of the script's command line arguments: the keywords of run_stage()."""
    calls = [node for node in ast.walk(tree(script(name))) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_stage"]
    return [keyword.arg for keyword in calls[0].keywords if keyword.arg not in ("check_entries", "is_shared")]


def complaints(name: str, stages: dict[str, Stage]) -> list[str]:
    """Everything in which a stage of dvc.yaml differs from its code; empty if nothing does."""
    stage, given = stages[name], arguments(name)
    command = f"python -m stages.{name}" + (" ${item}" if given else "")
    expected = {
        "deps": (set(paths(stage, "deps")), code_dependencies(name) | section_files(name) | read_paths(name, stages)),
        "outs": (set(paths(stage, "outs", "metrics", "plots")), written_paths(name)),
        "params": (set(stage.get("params", [])), parameters(name)),
        "matrix": (set(stage.get("matrix", {}).items()), {(argument, MATRIX[argument]) for argument in given}),
        "cmd": ({stage["cmd"]}, {command}),
    }
    return [
        f"{name}: {part} {verb} {item}"
        for part, (found, wanted) in expected.items()
        for verb, items in (("lacks", wanted - found), ("needs no", found - wanted))
        for item in sorted(items)
    ]
