"""Every input that the reader of text cannot use, each with its word."""

import gzip
import os

import numpy as np
import pytest

from ssl_models.datasets import text
from ssl_models.datasets._text import stream
from tests.ssl_models.texts import LINES, QUICK, write


def test_bytes_that_are_not_utf8_are_counted(tmp_path):
    good = "schön \ufffd\n".encode() * 9
    path = write(tmp_path / "a.txt", good + b"sch\xf6n ja \xef\xbf\xbd\n" * 3)  # of which the second is U+FFFD itself
    data = text.load(source=path, **QUICK)
    assert data.notes[0] == "a.txt: bytes that are not UTF-8 in 3 places, read as no letter"
    assert set(data.known["words"]) <= {"", "schön", "sch", "n", "ja"}


def test_a_byte_order_mark_belongs_to_no_word(tmp_path):
    data = text.load(source=write(tmp_path / "a.txt", "\ufeff" + "one two\n" * 9), **QUICK)
    assert data.known["words"] == ["", "one", "two"]


BAD = {
    "empty.txt": (b"", "it holds no words"),
    "empty.gz": (b"", "it holds no words"),
    "marks.txt": (b"... --- ...\n\n!!\n", "it holds no words"),
    "one.txt": (
        b"a single line of text",
        "it is one document only, and none is left for the test split; set `documents`",
    ),
    "rare.txt": (
        b"a b\nc d\n",
        "no word occurs min_count = 5 times in the training documents; the most frequent, '[acbd]'",
    ),
    "binary.txt": (b"\x7fELF\0\0\1text", "it holds zero bytes, so it is binary or UTF-16; save it as text in UTF-8"),
    "utf16.txt": ("\n".join(LINES).encode("utf-16"), "it holds zero bytes, so it is binary or UTF-16"),
    "named.txt.gz": (b"plain text\nof two lines", "it is named .gz, but is not gzip; rename it"),
    "cut.txt.gz": (gzip.compress(os.urandom(4000).hex().encode())[:-1000], "it cannot be read to its end .*; fetch it"),
    "damaged.txt.gz": (
        gzip.compress(b"text\n" * 900)[:30] + b"\xff" * 20,
        "it cannot be read to its end .*; fetch it again",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_sources_that_cannot_be_used_are_refused_by_name(tmp_path, name):
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    for function in (text.load, text.count):
        with pytest.raises(ValueError, match=rf"{name}': {words}"):
            function(source=str(tmp_path / name), seed=0)


def test_a_gzip_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "FREE_BYTES", 1000)
    write(tmp_path / "bomb.gz", b"a " * 1_000_000)
    with pytest.raises(ValueError, match=r"bomb.gz': it unpacks to over [\d,]+ bytes, more than 200 times its size"):
        text.load(source=str(tmp_path / "bomb.gz"), **QUICK)


def test_a_folder_s_bad_files_are_left_out_and_named(tmp_path):
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    write(tmp_path / "good.txt", "\n".join(LINES))
    data = text.load(source=str(tmp_path), documents="lines", **QUICK)
    assert [entry.split(":")[0] for entry in data.skipped] == (
        ["binary.txt", "cut.txt.gz", "damaged.txt.gz", "named.txt.gz", "utf16.txt"]
    )
    assert "elf" not in data.known["words"]
    for name in BAD:
        if name not in ("binary.txt", "cut.txt.gz"):
            (tmp_path / name).unlink()
    (tmp_path / "good.txt").unlink()
    with pytest.raises(ValueError, match=r"holds no text that can be read; binary.txt: it holds zero bytes"):
        text.load(source=str(tmp_path), **QUICK)


def test_nothing_of_a_damaged_file_is_kept(tmp_path):
    random = np.random.default_rng(0)
    lines = [" ".join(f"cut{word}" for word in random.integers(10**6, size=20)) for _ in range(2000)]
    whole = gzip.compress("\n".join(lines).encode())
    (tmp_path / "cut.txt.gz").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "good.txt")
    write(tmp_path / "more.txt")
    data = text.load(source=str(tmp_path), documents="lines", **QUICK)
    assert not [word for word in data.known["words"] if word.startswith("cut")]
    assert len(data.train) + len(data.test) == 2 * len(LINES)


def test_places_without_text_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder '.*gone'"):
        text.load(source=str(tmp_path / "gone"), **QUICK)
    with pytest.raises(ValueError, match=r"holds no text file \(\.txt or \.txt\.gz\); name a file"):
        text.load(source=str(tmp_path), **QUICK)
    write(tmp_path / "table.csv")
    with pytest.raises(ValueError, match=r"holds no text file .*; 1 file of \.csv passed over"):
        text.count(source=str(tmp_path), **QUICK)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe': a pipe, not a file"):
        text.count(source=str(tmp_path / "pipe"), **QUICK)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ValueError, match="link': a link to nothing"):
        text.count(source=str(tmp_path / "link"), **QUICK)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"length": 0}, "length is 0"),
        ({"min_count": 0}, "min_count is 0"),
        ({"vocabulary": 0}, "vocabulary is 0"),
        ({"test_fraction": 0.0}, "test_fraction is 0.0"),
        ({"documents": "pages"}, "documents is 'pages'; choose one of auto, lines, blank_lines, files"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings, words):
    source = write(tmp_path / "a.txt")
    for function in (text.load, text.count):
        with pytest.raises(ValueError, match=words):
            function(source=source, seed=0, **settings)
