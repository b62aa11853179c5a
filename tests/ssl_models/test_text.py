"""The reader of text: documents, vocabulary and rows by hand, its lists of questions, and the counts."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models.datasets import text
from ssl_models.datasets._text import stream, tokens
from ssl_models.datasets._text.corpus import Corpus
from ssl_models.datasets._text.vocabulary import part
from tests.ssl_models.texts import LINES, QUICK, every_row, rows, write

REAL = Path(os.environ.get("COVEY_DATA", "")) / "reviews.txt.gz"


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    monkeypatch.delenv("COVEY_DATA", raising=False)


def test_vocabulary_counts_and_rows_by_hand(tmp_path):
    source = write(tmp_path / "a.txt", "b a a c.\nA b, b a!\na d d\n\n")
    # One of three documents is for testing: whichever it is, the words of the others make the vocabulary.
    by_test_document = (
        (["", "a", "b", "d"], [0, 3, 2, 2], ["a", "a b b", "a d d"], ["b a a"]),
        (["", "a", "d"], [0, 3, 2], ["a a", "a d d"], ["a a"]),
        (["", "a", "b"], [0, 4, 3], ["a", "a b b", "b a a"], ["a"]),
    )
    met = set()
    for seed in range(12):
        data = text.load(source=source, length=3, min_count=2, test_fraction=0.3, seed=seed)
        found = (data.known["words"], data.known["counts"], sorted(rows(data.train, data)), rows(data.test, data))
        met.add(by_test_document.index(found))
    assert met == {0, 1, 2}
    assert data.train.parts["tokens"].dtype == torch.int32
    assert data.train.labels is None
    assert data.classes == ()


def test_the_test_split_has_no_say_in_the_vocabulary():
    # Documents 0 0 | 1 1 | 2 2 | 3 3, of words w0 ... w3: whichever is held out is unknown, and so is its split.
    ids, lengths = np.repeat(np.arange(4, dtype=np.int32), 2), np.full(4, 2)
    with pytest.raises(ValueError, match="none of the 1 test documents holds a word of the vocabulary"):
        part(ids, lengths, ["w0", "w1", "w2", "w3"], seed=0, test_fraction=0.25, min_count=1, most=10)
    shared = np.array([9, 0, 9, 1, 9, 2, 9, 3], np.int32) % 9 + (np.arange(8) % 2)  # w0 beside a word of its own
    found = part(shared, lengths, ["every", "a", "b", "c", "d"], seed=0, test_fraction=0.25, min_count=1, most=10)
    assert found.words[:2] == ["", "every"]
    assert len(found.words) == 5
    assert found.counts.tolist() == [0, 3, 1, 1, 1]
    assert found.test.ids.tolist() == [1]
    assert found.covered == 1


def test_words_of_equal_counts_are_in_alphabetical_order_and_cut_off(tmp_path):
    source = write(tmp_path / "a.txt", "pear fig fig apple\n" * 20)
    assert text.load(source=source, **QUICK).known["words"] == ["", "fig", "apple", "pear"]
    few = text.load(source=source, vocabulary=2, **QUICK)
    assert few.known["words"] == ["", "fig", "apple"]
    assert set(every_row(few)) == {"fig fig apple"}
    assert few.notes == ("2 words; 25.0% of the training split's words are others and left out",)


def test_left_out_words_leave_no_holes(tmp_path):
    lines = [f"one rare{number} two odd{number} three" for number in range(10)]
    data = text.load(source=write(tmp_path / "a.txt", "\n".join(lines)), seed=0, length=4, min_count=2)
    assert set(every_row(data)) == {"one two three"}
    assert data.train.parts["tokens"].tolist() == [[1, 3, 2, 0]] * 9


def test_rows_hold_one_document_and_splits_none_of_the_same(tmp_path):
    lines = [" ".join(f"d{number}" for _ in range(3 + number % 5)) + " end" for number in range(40)]
    data = text.load(source=write(tmp_path / "a.txt", "\n".join(lines)), length=3, test_fraction=0.25, **QUICK)
    own = [{word for word in row.split() if word != "end"} for row in rows(data.train, data)]
    assert max(map(len, own)) == 1
    assert len(set.union(*own)) == 30  # no word of a test document, for these occur nowhere else
    assert set(rows(data.test, data)) == {"end"}
    assert len(data.test) == 10
    padding = data.train.parts["tokens"] == 0
    assert (padding[:, 1:] >= padding[:, :-1]).all()


def test_seeds(tmp_path):
    source = write(tmp_path / "a.txt")
    first, again, other = (text.load(source=source, seed=seed, min_count=1) for seed in (1, 1, 2))
    assert torch.equal(first.train.parts["tokens"], again.train.parts["tokens"])
    assert first.known == again.known
    assert first.known["words"] != other.known["words"]


def test_what_a_word_is():
    assert tokens.words("It's 'quoted', a_b DC-10 — «naïve» don’t…", lower=True) == (
        ["it's", "quoted", "a", "b", "dc", "10", "naïve", "don't"]
    )
    assert tokens.words("Paris", lower=False) == ["Paris"]
    assert tokens.words("cafe\u0301 हिन्दी", lower=True) == ["café", "हिन्दी"]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("lines", ["a b", "c", "d e", "f"]),
        ("blank_lines", ["a b c", "d e", "f"]),
        ("files", ["a b c d e", "f"]),
        ("auto", ["a b c d e", "f"]),
    ],
)
def test_documents(tmp_path, monkeypatch, documents, expected):
    write(tmp_path / "one.txt", "a b\r\nc\r\n \r\n\r\nd e")
    write(tmp_path / "sub" / "two.txt.gz", "\nf")
    monkeypatch.setattr(text, "part", kept_whole := Whole())
    text.load(source=str(tmp_path), documents=documents, **QUICK)
    assert kept_whole.documents == expected


class Whole:
    """In place of vocabulary.part: keeps the documents as text."""

    def __call__(self, ids, lengths, words, **settings):
        ends = lengths.cumsum()
        parted = np.split(ids, ends[:-1])
        self.documents = [" ".join(words[word] for word in document) for document in parted]
        return part(np.zeros_like(ids), lengths, words, **settings)


def test_one_file_is_a_document_a_line_also_in_a_folder(tmp_path):
    write(tmp_path / "one.txt")
    assert every_row(text.load(source=str(tmp_path), **QUICK)) == every_row(
        text.load(source=str(tmp_path / "one.txt"), **QUICK)
    )


def test_gzip_is_told_by_its_content(tmp_path):
    plain = text.load(source=write(tmp_path / "a.txt"), **QUICK)
    packed = text.load(source=write(tmp_path / "a.txt.gz"), **QUICK)
    (tmp_path / "unnamed").write_bytes((tmp_path / "a.txt.gz").read_bytes())
    unnamed = text.load(source=str(tmp_path / "unnamed"), **QUICK)
    for other in (packed, unnamed):
        assert torch.equal(plain.train.parts["tokens"], other.train.parts["tokens"])


def test_a_line_longer_than_a_piece_is_one_document_of_whole_words(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "PIECE", 16)
    words = [f"wörd{number}" for number in range(50)]
    source = write(tmp_path / "a.txt", " ".join(words) + "\nnext " + "ü" * 40 + "\n")
    monkeypatch.setattr(text, "part", kept_whole := Whole())
    data = text.load(source=source, **QUICK)
    first, second = kept_whole.documents
    assert first == " ".join(words)
    assert second.replace(" ", "") == "next" + "ü" * 40
    assert not any("UTF-8" in note for note in data.notes)


def test_a_folder_takes_texts_at_any_depth_and_counts_the_others(tmp_path):
    for name in ("b.txt", "a/c.TXT", "a/d.txt.gz"):
        write(tmp_path / name)
    for name in ("table.csv", "a/picture.png", ".hidden.txt", ".git/x.txt"):
        write(tmp_path / name, "hidden or other\n" * 9)
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to("nowhere")
    data = text.load(source=str(tmp_path), **QUICK)
    assert "hidden" not in data.known["words"]
    assert data.notes[:2] == (
        "1 file of .csv passed over: no suffix of a text that is read",
        "1 file of .png passed over: no suffix of a text that is read",
    )
    assert sorted(data.skipped) == [
        "a/round: a circle of links: it leads to a folder that it lies in",
        "gone.txt: a link to nothing",
    ]


def test_count_and_describe_say_what_load_gives(tmp_path):
    source = write(tmp_path / "a.txt", "\n".join(LINES * 7))
    settings = {"source": source, "length": 3, "min_count": 2, "seed": 4, "test_fraction": 0.3}
    data = text.load(**settings)
    assert text.count(**settings) == (len(data.train), len(data.test))
    shapes, known = text.describe(**settings)
    assert shapes == {"tokens": (3,)} == {"tokens": tuple(data.train.parts["tokens"].shape[1:])}
    assert len(known["words"]) == len(known["counts"])
    assert (known["words"][0], known["counts"][0]) == ("", 0)
    assert min(known["counts"][1:]) > 0
    assert json.loads(json.dumps(data.known)) == data.known


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_large_source_is_counted_by_its_beginning(tmp_path, monkeypatch, name):
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(["alpha", "beta", "gamma", "delta"], 70)) for _ in range(6000)]
    source = write(tmp_path / name, "\n".join(lines))
    monkeypatch.setattr(text, "COUNTED", 2**20)
    read = []
    monkeypatch.setattr(text, "Corpus", lambda *given, **named: read.append(Corpus(*given, **named)) or read[-1])
    assert text.count(source=source, seed=0) == pytest.approx((10_800, 1_200), rel=0.1)
    assert len(read[0].lengths) < 3000


@pytest.mark.skipif(not REAL.is_file(), reason="$COVEY_DATA has no reviews.txt.gz")
def test_the_reviews(monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(REAL.parent))
    lists = {"similarity": "wordsim353.tsv", "analogies": "questions-words.txt"}
    data = text.load(source=str(REAL), seed=0, **lists)
    assert text.count(source=str(REAL), seed=0, **lists) == (len(data.train), len(data.test))
    assert data.known["words"][1] == "the"
    assert 12_000 < len(data.known["words"]) < 13_000
    assert 1_000_000 < sum(data.known["counts"]) < 1_200_000
    assert len(data.known["similarity"]) == 231
    assert sum(map(len, data.known["analogies"].values())) == 5029
    assert data.skipped == ()
