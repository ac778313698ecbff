"""Names that users chose, such as those of class folders, made fit to be shown: on one line, in reading order, and not too long."""

import unicodedata

# Marks that change the order in which the letters around them are read. Joiners, which Persian and Hindi need, are none of them.
_DIRECTION_MARKS = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_UNSHOWN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters (bytes that are no text), ends of lines


def display_text(text: object, max_length: int | None = None) -> str:
    """Return a text in which characters that move the cursor or the reading order are written as \\u202e.

    max_length: in characters; a longer text is cut in its middle, since names often differ at their ends
    """
    shown = "".join(_escaped(character) if _is_unshown(character) else character for character in str(text))
    if max_length is None or len(shown) <= max_length:
        return shown
    head_length = (max_length - 1) // 2
    return f"{shown[:head_length]}…{shown[len(shown) - (max_length - 1 - head_length) :]}"


def display_lines(text: str) -> str:
    """Return a text of several lines with each line as `display_text` returns it."""
    return "\n".join(map(display_text, text.split("\n")))


def _is_unshown(character: str) -> bool:
    return character in _DIRECTION_MARKS or unicodedata.category(character) in _UNSHOWN_CATEGORIES


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
