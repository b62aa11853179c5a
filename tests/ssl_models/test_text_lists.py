"""Lists of similar words and of analogies that the reader of text takes, and those that it refuses."""

import pytest

from ssl_models.datasets import text
from tests.ssl_models.texts import QUICK, write


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    monkeypatch.delenv("COVEY_DATA", raising=False)


@pytest.fixture
def corpus(tmp_path):
    return write(tmp_path / "text" / "a.txt", "\n".join(["Paris France Rome Italy cat dog"] * 10))


def test_similarity_is_read_beside_the_source_and_in_the_data(tmp_path, monkeypatch, corpus):
    lists = "# a comment\nword 1\tword 2\tmean\ncat\tDog\t7.35\ncat\tcat\t10\ttold twice\ncat\tjaguar\t7.4\n"
    write(tmp_path / "text" / "pairs.tsv", lists)
    data = text.load(source=corpus, similarity="pairs.tsv", **QUICK)
    assert data.known["similarity"] == [["cat", "dog", 7.35], ["cat", "cat", 10.0]]
    assert data.notes[-1] == "2 of 3 pairs of similar words are kept; the others have a word outside the vocabulary"
    monkeypatch.setenv("COVEY_DATA", str(tmp_path / "data"))
    write(tmp_path / "data" / "other.csv", "cat,dog,1\n")
    assert text.load(source=corpus, similarity="other.csv", **QUICK).known["similarity"] == [["cat", "dog", 1.0]]
    assert "similarity" not in text.load(source=corpus, **QUICK).known


def test_analogies_are_read_by_section(tmp_path, corpus):
    lists = ": capitals\nParis France Rome Italy\nParis France Oslo Norway\n\n: none\na b c d\n"
    path = write(tmp_path / "elsewhere" / "questions.txt", lists)
    data = text.load(source=corpus, analogies=path, **QUICK)
    assert data.known["analogies"] == {"capitals": [["paris", "france", "rome", "italy"]]}
    assert data.notes[-1] == "1 of 3 analogies are kept; the others have a word outside the vocabulary"
    kept = text.load(source=corpus, analogies=path, lower=False, **QUICK)
    assert kept.known["analogies"] == {"capitals": [["Paris", "France", "Rome", "Italy"]]}


def test_lists_in_the_source_s_folder_are_no_part_of_the_corpus(tmp_path):
    write(tmp_path / "a.txt", "\n".join(["cat dog"] * 10))
    write(tmp_path / "questions.txt", "cat dog bat bird\n")
    data = text.load(source=str(tmp_path), analogies="questions.txt", **QUICK)
    assert data.known["words"] == ["", "cat", "dog"]
    assert len(data.train) + len(data.test) == 10


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("similarity", "cat\tdog\t1\ncat dog\n", r"list', line 2: 'cat dog' is not WORD WORD SCORE"),
        ("similarity", "cat\tdog\t1\ncat\tdog\tnan\n", r"list', line 2: 'cat\tdog\tnan' is not"),
        ("similarity", "a\tb\tc\n", "list' has no line WORD WORD SCORE"),
        ("similarity", "", "list' has no line WORD WORD SCORE"),
        ("analogies", ": one\na b c\n", r"list', line 2: 'a b c' is neither four words nor ': section'"),
        ("analogies", ": one\n", "list' has no line of four words"),
        ("analogies", b"\0\1\2", "list': it holds zero bytes"),
    ],
)
def test_lists_that_cannot_be_read_are_refused(tmp_path, corpus, setting, content, words):
    write(tmp_path / "text" / "list", content)
    for function in (text.load, text.count):
        with pytest.raises(ValueError, match=words):
            function(source=corpus, **{setting: "list"}, **QUICK)


def test_a_list_that_is_not_there_is_named_with_the_places(monkeypatch, tmp_path, corpus):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError, match=r"similarity = 'x.tsv' was not found: .*text/x.tsv' nor '.*data/x.tsv"):
        text.count(source=corpus, similarity="x.tsv", **QUICK)
