"""The Markdown files for readers, taken apart: headings and their anchors, links, code and commands."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from project_code import ROOT

PROGRAMS = ("dvc", "make", "python", "confidnet", "mlflow", "git", "pip", "docker", "ruff", "pre-commit")
SHELL = ("export", "eval", ".", "cd")


def documents() -> list[Path]:
    """README.md, CONTRIBUTING.md and docs/*.md."""
    return [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))) if path.is_file()]


def tokens(path: Path) -> list[Token]:
    """All tokens, inline ones behind their block."""
    blocks = MarkdownIt("gfm-like", {"linkify": False}).parse(path.read_text(encoding="utf-8"))
    return [token for block in blocks for token in (block, *(block.children or ()))]


def anchors(path: Path) -> set[str]:
    """What a link into the file may name behind #, made from its headings as code hosts do."""
    blocks, seen, out = tokens(path), Counter(), set()
    for place, block in enumerate(blocks):
        if block.type == "heading_open":
            slug = re.sub(r"[^\w\- ]", "", blocks[place + 1].content.replace("`", "").lower()).replace(" ", "-")
            out.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return out


def links(path: Path) -> Iterator[str]:
    """Targets of all links and pictures, those in HTML among them."""
    for token in tokens(path):
        if token.type in ("link_open", "image"):
            yield str(token.attrs.get("href") or token.attrs.get("src"))
        elif token.type in ("html_block", "html_inline"):
            yield from re.findall(r'(?:src|srcset|href)="([^"]+)"', token.content)


def inline_code(path: Path) -> list[str]:
    return [token.content for token in tokens(path) if token.type == "code_inline"]


def code_blocks(path: Path, language: str) -> list[str]:
    return [token.content for token in tokens(path) if token.type == "fence" and token.info == language]


def commands(path: Path) -> Iterator[list[str]]:
    """Every command as words: the lines of shell blocks, and code in the text that begins with a program's name or with -S."""
    shown = [line for block in code_blocks(path, "sh") for line in block.replace("\\\n", " ").splitlines()]
    for code in inline_code(path):
        first = _words(code)[:1]
        if code.startswith("-S "):
            shown.append(f"dvc exp run {code}")
        elif first and ((first[0] in PROGRAMS and " " in code) or first == ["."]):
            shown.append(code)
    for line in shown:
        words = _words(line)
        while words:
            end = next((place for place, word in enumerate(words) if word in ("&&", ";", "|", ">")), len(words))
            command = words[:end]
            end += words[end : end + 1] == [">"]  # and the file behind it
            while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):  # a variable for this command alone
                command = command[1:]
            if command:
                yield command
            words = words[end + 1 :]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an apostrophe: no command
        return []
