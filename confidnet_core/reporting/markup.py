"""The Markdown of the comparison as HTML for its page: tables that scroll in boxes of their own, with headers that can be read out.

Nothing in it is a link, a picture or HTML: names from params.yaml and from data sets stay text.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

INTERVAL = re.compile(r" ?(\[[^][]*\])")
VERDICTS = ("better", "worse")  # bold in a cell for what they mean, not as the best number of a column


def html(markdown: str) -> Markup:
    """A table's heading is its label: the nearest one above it."""
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable(["link", "image", "autolink", "reference"])
    tokens = parser.parse(markdown)
    _headers(tokens)
    _cells(tokens)
    _label(tokens)
    rules = parser.renderer.rules
    rules["text"] = lambda tokens, at, *_: escape(tokens[at].content).replace("_", Markup("_<wbr>"))  # long names may break there
    rules["interval"] = lambda tokens, at, *_: f' <span class="interval">{escape(tokens[at].content)}</span>'
    rules["table_open"] = lambda tokens, at, *_: _opened(tokens[at].meta["label"])
    rules["table_close"] = lambda *_: "</table></div>\n"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _opened(label: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {escape(label)}"><table>\n'


def _label(tokens: Sequence[Token]) -> None:
    heading = "numbers"
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open":
            heading = token.content
        if token.type == "table_open":
            token.meta["label"] = heading


def _headers(tokens: Sequence[Token]) -> None:
    """Cells of the head are headers of columns, the first of a row is its header."""
    first = inside = False
    for token in tokens:
        if token.type == "tr_open":
            first = True
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "td_open" and first:
            token.tag, first, inside = "th", False, True
            token.attrSet("scope", "row")
        elif token.type == "td_close" and inside:
            token.tag, inside = "th", False


def _cells(tokens: Sequence[Token]) -> None:
    """Intervals become tokens of their own, verdicts bear their class."""
    for cell in (token for before, token in pairwise(tokens) if before.type == "td_open"):
        children = []
        for child in cell.children or ():
            for place, part in enumerate(INTERVAL.split(child.content)) if child.type == "text" else ():
                if part:
                    children.append(Token("interval" if place % 2 else "text", "", 0, content=part))
            if child.type != "text":
                children.append(child)
        for opened, text in pairwise(children):
            if opened.type == "strong_open" and text.content in VERDICTS:
                opened.attrSet("class", text.content)
        cell.children = children
