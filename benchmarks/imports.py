"""Seconds until a command or a stage has imported what it needs, against Python without any import and against importing torch.

python -m benchmarks.imports [--repeats 5]

The rounds are mixed, and the least processor time of each is taken, so that a busy machine slows all of them alike.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SLOW_PACKAGES = ("torch", "mlflow", "pandas", "matplotlib", "sklearn", "scipy", "plotly", "jinja2")
COMMANDS = ((), ("--help",), ("list", "benchmarks"), ("list", "methods"), ("show",), ("send",))
STAGES = ("sources", "prepare", "inputs", "bootstrap", "thresholds", "predict", "evaluate", "train_confidnet", "compare")


def imported_packages(module: str, *arguments: str) -> list[str]:
    """Return those of SLOW_PACKAGES that `python -m MODULE ARGUMENTS`, run to its end in the project's root, has imported."""
    lines = [
        "import atexit, runpy, sys",
        f"atexit.register(lambda: print('imported:', *[name for name in {SLOW_PACKAGES} if name in sys.modules]))",
        f"sys.argv[1:] = {list(arguments)}",
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.stdout.rpartition("imported:")[2].split()


def processor_seconds(*arguments: str) -> float:
    """Return the processor time of a Python process with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    timed = {"Python alone": ("-c", "pass"), "import torch": ("-c", "import torch")}
    timed |= {" ".join(["confidnet", *words]): ("-m", "confidnet_core", *words) for words in COMMANDS}
    timed |= {f"imports of the stage {stage}": ("-c", f"import stages.{stage}") for stage in STAGES}
    rounds = [{name: processor_seconds(*arguments) for name, arguments in timed.items()} for _ in range(repeats)]
    least = {name: min(seconds[name] for seconds in rounds) for name in timed}
    print(f"least of {repeats}; ratio: so many times the processor time of importing torch")
    for name, seconds in least.items():
        print(f"  {name:34} {seconds:6.2f} s {seconds / least['import torch']:6.2f}x")


if __name__ == "__main__":
    main()
