"""How large the house may grow: rooms, floors and arrows of confidnet_core, and what dvc.yaml lists for a stage."""

from pathlib import Path

import pytest
from project_code import ROOT

from benchmarks.structure import Structure, measure

# A score may read whatever there is, on other images, too; everything side by side.
CODE_OF_A_STAGE = {"evaluate": 25, "evaluate_shifts": 28, "compare": 21, "thresholds": 19}
LIMIT = 17  # of any other stage


@pytest.fixture(scope="module")
def found() -> Structure:
    return measure(ROOT)


def test_the_core_has_few_rooms_on_few_floors_with_few_arrows(found: Structure):
    assert (len(found.rooms) <= 28, found.floors <= 9, len(found.arrows) <= 130) == (True, True, True)


def test_arrows_lead_down_and_never_round(found: Structure):
    assert (found.cycle, found.upward) == ([], set())


def test_a_stage_lists_little_code(found: Structure):
    assert {name: code for name, (code, _) in found.stages.items() if code > CODE_OF_A_STAGE.get(name, LIMIT)} == {}


def test_dvc_yaml_can_be_read_to_its_end(found: Structure):
    assert found.lines <= 39 * len(found.stages)
    assert sum(lines for _, lines in found.stages.values()) < found.lines


def test_rooms_arrows_floors_and_what_goes_up_are_counted_as_in_a_drawing(tmp_path: Path):
    package = tmp_path / "confidnet_core"
    (package / "wing").mkdir(parents=True)
    (package / "templates").mkdir()  # holds no code
    files = {
        "__init__.py": '"""A row imports only rows below it:\n\n    top\n    wing middle\n    low\n\nEach is a room.\n"""',
        "top.py": "from confidnet_core.wing.inside import value\nimport confidnet_core.low",
        "middle.py": "def later():\n    from confidnet_core import wing",
        "low.py": "import os",
        "wing/inside.py": "from confidnet_core.wing import other\nfrom confidnet_core import low",
        "wing/other.py": "",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  one:\n    cmd: a\n    deps:\n    - stages/one.py\n    - data/x\n\n  two:\n    cmd: b\nplots: []\n"
    )
    found = measure(tmp_path)
    assert found.rooms == ["low", "middle", "top", "wing"]
    assert found.arrows == {("top", "wing"), ("top", "low"), ("middle", "wing"), ("wing", "low")}
    assert (found.floors, found.cycle, found.upward) == (3, [], {("middle", "wing")})
    assert (found.stages, found.lines) == ({"one": (1, 5), "two": (0, 2)}, 10)


def test_a_cycle_is_named_from_its_first_room_to_itself(tmp_path: Path):
    package = tmp_path / "confidnet_core"
    package.mkdir()
    (tmp_path / "dvc.yaml").write_text("stages:\n  one:\n    cmd: a\n")
    for name, text in {"__init__": "", "a": "import confidnet_core.b", "b": "import confidnet_core.a"}.items():
        (package / f"{name}.py").write_text(text)
    found = measure(tmp_path)
    assert found.cycle[0] == found.cycle[-1] and set(found.cycle) == {"a", "b"} and found.upward is None
