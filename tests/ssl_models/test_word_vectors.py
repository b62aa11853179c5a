"""word2vec's formats to the byte, as its own code writes and gensim reads them; what cannot be one is named."""

import gzip
import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from ssl_models import word_vectors
from ssl_models.word_vectors import BINARY, TEXT, format_of, read, write

WORDS = ["the", "größe", "naïve_word", "東京", "don't", "1,000"]
KINDS = (TEXT, BINARY)


def written(words, vectors, kind):
    file = io.BytesIO()
    write(file, words, vectors, kind)
    return file.getvalue()


def drawn(words=WORDS, size=7):
    """float32 of all magnitudes, the smallest and the largest among them."""
    draws = np.random.default_rng(0)
    vectors = draws.normal(size=(len(words), size)) * 10.0 ** draws.integers(-30, 30, size=(len(words), size))
    limits = np.finfo(np.float32)
    vectors[0, :4] = limits.max, limits.tiny, limits.smallest_subnormal, -0.0
    return vectors.astype(np.float32)


def test_text_by_hand():
    vectors = np.array([[0.5, -1, 1e-5], [0.1, 3, 2.5e20]], np.float32)
    assert written(["a", "é"], vectors, TEXT) == "2 3\na 0.5 -1.0 1e-05\né 0.1 3.0 2.5e+20\n".encode()


def test_binary_by_hand():
    vectors = np.array([[0.5, -1], [0.1, 3]], np.float64)
    expected = b"2 2\n" + b"a " + struct.pack("<2f", 0.5, -1) + b"\n" + b"bc " + struct.pack("<2f", 0.1, 3) + b"\n"
    assert written(["a", "bc"], vectors, BINARY) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_to_the_bit(kind):
    words, vectors = read(io.BytesIO(written(WORDS, drawn(), kind)), kind)
    assert words == WORDS
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == drawn().tobytes()


@pytest.mark.parametrize("suffix", [".txt", ".vec", ".bin", ".txt.gz", ".bin.gz"])
def test_gensim_reads_them(suffix, tmp_path):
    path = tmp_path / f"vectors{suffix}"
    kind, zipped = format_of(path)
    content = written(WORDS, drawn(), kind)
    path.write_bytes(gzip.compress(content) if zipped else content)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        there = KeyedVectors.load_word2vec_format(str(path), binary=kind == BINARY)
    assert there.index_to_key == WORDS
    assert there.vectors.tobytes() == drawn().tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_those_of_gensim_are_read(kind, tmp_path):
    there = KeyedVectors(7)
    there.add_vectors(WORDS, drawn())
    there.save_word2vec_format(str(tmp_path / "file"), binary=kind == BINARY)
    with (tmp_path / "file").open("rb") as file:
        words, vectors = read(file, kind)
    assert words == WORDS
    assert vectors.tobytes() == drawn().tobytes()


def test_text_as_the_code_of_word2vec_writes_it_is_read():
    words, vectors = read(io.BytesIO(b"2 2\n</s> 0.500000 -1.000000 \nin 0.100000 3.000000 \n"), TEXT)
    assert words == ["</s>", "in"]
    assert (vectors == np.array([[0.5, -1], [0.1, 3]], np.float32)).all()


@pytest.mark.parametrize(
    ("words", "vectors", "told"),
    [
        (["new york"], np.ones((1, 2)), "the word 'new york' is empty or has a blank in it"),
        (["a\nb"], np.ones((1, 2)), r"the word 'a\\nb' is empty or has a blank"),
        (["a\u00a0b"], np.ones((1, 2)), "has a blank in it"),
        ([""], np.ones((1, 2)), "the word '' is empty"),
        (["\ud800"], np.ones((1, 2)), r"the word '\\ud800' cannot be written as UTF-8"),
        (["a", "b", "a"], np.ones((3, 2)), "the word 'a' stands twice"),
        (["a"], np.array([[1, np.nan]]), "not finite"),
        (["a"], np.array([[1, 1e300]]), "not finite"),
        (["a", "b"], np.ones((3, 2)), r"shape \(3, 2\) for 2 words"),
        (["a"], np.ones((1, 0)), r"shape \(1, 0\) for 1 words"),
        ([], np.ones((0, 2)), r"shape \(0, 2\) for 0 words"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_written_is_refused_before_the_first_byte(words, vectors, told, kind):
    file = io.BytesIO()
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=told):
        write(file, words, vectors, kind)
    assert file.getvalue() == b""


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"", TEXT, "the first line must be two whole numbers"),
        (b"the cat sat\n", TEXT, "the first line must be two whole numbers"),
        (b"2 x\n", BINARY, "the first line must be two whole numbers"),
        (b"0 5\n", TEXT, "the first line must be two whole numbers"),
        (b"1 99999999999999999999\na 1\n", BINARY, "the first line must be two whole numbers"),
        (b"2 2\na 1 2\n", TEXT, "tells of 2 words, and the file ends after 1"),
        (b"1 2\na 1 2\nb 1 2\n", TEXT, "tells of 1 words, and more follow"),
        (b"2 2\na 1 2\nb 1\n", TEXT, "line 3 has 1 numbers; the first line tells of 2"),
        (b"1 2\na 1 x\n", TEXT, "line 2 cannot be read"),
        (b"1 1\n\xff 1\n", TEXT, "line 2 cannot be read"),
        (b"2 1\na \0\0\0\0\nb \0\0", BINARY, "tells of 2 words, and the file ends in number 2"),
        (b"2 1\na \0\0\0\0\n", BINARY, "the file ends in number 2"),
        (b"1 1\n\xff \0\0\0\0", BINARY, "word number 1, .* is not UTF-8"),
        (b"1 1\na \0\0\0\0\nb \0\0\0\0\n", BINARY, "tells of 1 words, and more follow"),
    ],
)
def test_what_is_no_such_file_is_told(content, kind, told):
    with pytest.raises(ValueError, match=told):
        read(io.BytesIO(content), kind)


def test_a_file_cut_anywhere_is_refused():
    for kind in KINDS:
        whole = written(WORDS[:2], drawn(WORDS[:2], 4), kind)
        for length in range(len(whole) - 1):
            with pytest.raises(ValueError, match=r"first line|line \d"):
                read(io.BytesIO(whole[:length]), kind)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.bin", (BINARY, False)), ("a.TXT", (TEXT, False)), ("a.b.vec", (TEXT, False)), ("a.bin.gz", (BINARY, True))],
)
def test_the_suffix_tells_the_format(name, expected):
    assert format_of(Path(name)) == expected


@pytest.mark.parametrize("name", ["a", "a.gz", "a.npy", "a.bin.zip", ".bin", ".gz"])
def test_any_other_suffix_is_refused_with_those_that_there_are(name):
    with pytest.raises(ValueError, match=r"tells no format; use \.txt, \.vec, \.bin, or one of these with \.gz"):
        word_vectors.format_of(Path(name))
