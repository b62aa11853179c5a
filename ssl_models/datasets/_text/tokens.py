"""Text to words: runs of letters, digits and their marks; apostrophes belong to a word only inside it, as in don't."""

from __future__ import annotations

import re
import unicodedata

MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
"""Accents and vowel signs that stand as characters of their own, which `\\w` leaves out."""
ASCII = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
UNICODE = re.compile(rf"[\w{MARKS}]+(?:'[\w{MARKS}]+)*")


def words(text: str, lower: bool) -> list[str]:
    """The words in order. Typographic apostrophes become plain ones, and equal letters equal characters (NFC).

    Scripts without spaces between words, as Chinese, are not split: put spaces between the words first.
    """
    text = text.lower() if lower else text
    if text.isascii():
        return ASCII.findall(text)
    return UNICODE.findall(unicodedata.normalize("NFC", text).replace("\u2019", "'").replace("_", " "))
