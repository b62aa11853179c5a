"""Suffixes of files, in lower case, by which readers of one's own folders take them."""

from __future__ import annotations

SOUNDS = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".au", ".wma"})
TEXTS = frozenset({".txt", ".txt.gz"})
