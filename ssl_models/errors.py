"""What a method or a protocol may lack."""

from __future__ import annotations


class NeedsLabels(ValueError):
    """A method or a protocol that learns from labels was given data that have none."""
