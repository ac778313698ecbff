"""The licences of the packages in requirements.txt, as the installed packages state them: a table of docs/licences.md, by `make docs`."""

import re
from importlib.metadata import metadata

from docs.markdown import DASH, markdown_table
from docs.study_files import ROOT

MAX_TEXT = 60  # characters of a licence's name; longer ones are whole licences
TOOLS_FROM = "pytest"  # the first package in requirements.txt that serves the tests alone


def licences() -> str:
    """Return a table of the packages: name, version, licence, and whether a study needs it or the tests alone."""
    rows, purpose = [["package", "version", "licence", "for"]], "studies"
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        pinned = re.match(r"(?P<name>[\w.-]+)(\[[\w,]+\])?==(?P<version>\S+)", line)
        if pinned:
            purpose = "tests" if pinned["name"] == TOOLS_FROM else purpose
            rows.append([pinned["name"], pinned["version"], licence(pinned["name"]), purpose])
    return markdown_table(rows, left=4)


def licence(package: str) -> str:
    """Return the licence of an installed package: its SPDX expression, else its classifier or the name that it gives."""
    stated = metadata(package)
    classifiers = [text.rpartition(" :: ")[2] for text in stated.get_all("Classifier") or [] if text.startswith("License ::")]
    first_line = (stated.get("License") or "").strip().partition("\n")[0]
    named = stated.get("License-Expression") or ", ".join(classifiers) or first_line
    return named if 0 < len(named) <= MAX_TEXT or stated.get("License-Expression") else DASH
