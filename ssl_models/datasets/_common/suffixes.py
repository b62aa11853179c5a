"""Suffixes of files, in lower case, by which readers of one's own folders take them."""

from __future__ import annotations

SOUNDS = frozenset(
    """
    .3gp .aac .aif .aifc .aiff .amr .ape .asf .au .avi .caf .flac .flv .m4a .m4b .m4v .mka .mkv .mov .mp2 .mp3 .mp4
    .mpeg .mpg .nist .oga .ogg .ogv .opus .snd .sph .tta .voc .w64 .wav .wave .weba .webm .wma .wmv .wv
    """.split()  # noqa: SIM905 - a list would take a line a suffix
)
"""Of sound, and of video, whose sound is read. Written out, so that which files make up a data set does not depend on
how FFmpeg was built."""
VIDEOS = frozenset(
    """
    .3g2 .3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .vob .webm .wmv .y4m
    """.split()  # noqa: SIM905 - a list would take a line a suffix
)
"""Of video, most of which are among SOUNDS as well."""
TEXTS = frozenset({".txt", ".txt.gz"})
VECTORS = frozenset({".npy", ".npz", ".csv"})
"""Of tables of numbers, a row a sample."""
