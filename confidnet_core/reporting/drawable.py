"""Text in figures made drawable: as it stands, without mathematics, and in a font that has its letters."""

from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from confidnet_core.display import display_lines

MISSING_LETTER = "□"  # in place of a letter that no font has; the page, drawn by a browser, shows the name itself

_PLACEHOLDERS = "Last Resort"  # matplotlib's font that has a sign in place of each letter


def make_text_drawable(figure: Figure) -> None:
    """Change the texts of a figure, which may hold names of classes and scores, so that each can be drawn without a warning.

    "$" begins no formula. Letters that matplotlib's own font lacks, such as Japanese ones, are drawn in an installed font that has them,
    and else as MISSING_LETTER.
    """
    for text in figure.findobj(Text):
        if not isinstance(text, Text) or not text.get_text():
            continue
        text.set_parse_math(False)
        shown = display_lines(text.get_text())
        foreign_letters = frozenset(letter for letter in shown if letter != "\n" and ord(letter) not in _letters_of_font(_default_font()))
        if foreign_letters:
            font_path = _font_with(foreign_letters)
            if font_path is None:
                shown = "".join(MISSING_LETTER if letter in foreign_letters else letter for letter in shown)
            else:
                families = text.get_fontfamily()
                names = [families] if isinstance(families, str) else list(families)
                text.set_fontfamily([*names, font_manager.FontProperties(fname=font_path).get_name()])
        if shown != text.get_text():
            text.set_text(shown)


@cache
def _default_font() -> str:
    return font_manager.findfont(font_manager.FontProperties())


@cache
def _letters_of_font(path: str) -> frozenset[int]:
    """Return the code points of the letters of a font; none for a file that is no font."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _font_with(letters: frozenset[str]) -> str | None:
    """Return the file of an installed font that has all these letters; None if no font has them."""
    code_points = set(map(ord, letters))
    fonts = [font for font in font_manager.fontManager.ttflist if font.style == "normal" and not font.name.startswith(_PLACEHOLDERS)]
    paths = sorted({font.fname for font in fonts})
    return next((path for path in paths if code_points <= _letters_of_font(path)), None)
