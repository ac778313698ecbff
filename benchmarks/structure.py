"""How large the house is: rooms, floors and arrows of confidnet_core, and what dvc.yaml lists for each stage.

    python benchmarks/structure.py [--root ANOTHER_CHECKOUT]

A room is a module or package directly in confidnet_core, an arrow an import from one room into another, wherever it stands in a file.
"""

import argparse
import ast
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ruamel.yaml import YAML

PACKAGE = "confidnet_core"
CODE = (f"{PACKAGE}/", "stages/")


@dataclass(frozen=True)
class Structure:
    """Figures of one checkout.

    rooms: their names; arrows: pairs (importer, imported); floors: rooms on the longest path of imports, 0 with a cycle
    cycle: the rooms of one cycle, the first again at its end; empty if there is none
    upward: arrows that do not lead into a lower row of the map in the package's docstring; None if it has no map
    stages: (code dependencies, lines of dvc.yaml) by stage; lines: of dvc.yaml
    """

    rooms: list[str]
    arrows: set[tuple[str, str]]
    floors: int
    cycle: list[str]
    upward: set[tuple[str, str]] | None
    stages: dict[str, tuple[int, int]]
    lines: int


def measure(root: Path) -> Structure:
    """ValueError where ROOT holds no confidnet_core."""
    package = root / PACKAGE
    if not package.is_dir():
        raise ValueError(f"{root} holds no {PACKAGE}; give the root of a checkout")
    rooms = sorted(path.stem for path in package.iterdir() if path.name != "__init__.py" and (path.suffix == ".py" or _is_package(path)))
    arrows = {
        (room, imported)
        for path in package.rglob("*.py")
        if (room := path.relative_to(package).parts[0].removesuffix(".py")) in rooms
        for imported in _imported(path, rooms)
        if imported != room
    }
    below = {room: {imported for importer, imported in arrows if importer == room} for room in rooms}
    try:
        order, cycle = list(TopologicalSorter(below).static_order()), []
    except CycleError as error:
        order, cycle = [], list(error.args[1])
    floors: dict[str, int] = {}
    for room in order:  # what a room imports comes before it
        floors[room] = 1 + max((floors[imported] for imported in below[room]), default=0)
    text = (root / "dvc.yaml").read_text(encoding="utf-8")
    return Structure(rooms, arrows, max(floors.values(), default=0), cycle, _upward(package, arrows), _stages(text), len(text.splitlines()))


def _is_package(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.py"))


def _imported(path: Path, rooms: list[str]) -> set[str]:
    """The rooms that a file imports, its own among them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == PACKAGE and len(part) > 1} & set(rooms)


def _upward(package: Path, arrows: set[tuple[str, str]]) -> set[tuple[str, str]] | None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    known, rows = {room for arrow in arrows for room in arrow}, {}
    for depth, line in enumerate(line for line in docstring.splitlines() if line.startswith("    ")):
        for word in line.split():
            if word not in known:
                break  # the words about the row
            rows[word] = depth
    return {(a, b) for a, b in arrows if rows.get(a, -1) >= rows.get(b, -1)} if rows else None


def _stages(text: str) -> dict[str, tuple[int, int]]:
    stages = YAML().load(text)["stages"]
    starts = [stages.lc.key(name)[0] for name in stages]
    others = [number for number, line in enumerate(text.splitlines()) if line[:1].isalpha() and number > starts[-1]]
    ends = [*starts[1:], others[0] if others else len(text.splitlines())]
    found = {}
    for (name, stage), start, end in zip(stages.items(), starts, ends, strict=True):
        deps = [dep if isinstance(dep, str) else next(iter(dep)) for dep in stage.get("do", stage).get("deps", [])]
        lines = [line for line in text.splitlines()[start:end] if line.strip()]
        found[name] = (sum(dep.startswith(CODE) for dep in deps), len(lines))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Rooms, floors and arrows of confidnet_core; code dependencies and lines of each stage.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="another checkout, also one of the flat layout")
    found = measure(parser.parse_args().root)
    upward = "no map" if found.upward is None else len(found.upward)
    print(
        f"rooms {len(found.rooms)}  floors {found.floors}  arrows {len(found.arrows)}  cycle {' -> '.join(found.cycle) or 'none'}  ", end=""
    )
    print(f"upward {upward}  lines of dvc.yaml {found.lines}")
    print(f"{'stage':20} {'code':>5} {'lines':>6}")
    for name, (code, lines) in found.stages.items():
        print(f"{name:20} {code:5} {lines:6}")


if __name__ == "__main__":
    main()
