"""Files that are left out, counted by one rule wherever a reader leaves them out."""

import pytest

from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.split import OTHER, UNLABELLED, UNREADABLE, LeftOut
from ssl_models.datasets._common.tally import Tally
from ssl_models.datasets._pictures.facts import Facts, Failure
from ssl_models.datasets._pictures.found import Picture
from ssl_models.datasets._pictures.labels import counted


def test_counts_are_by_suffix_and_reason_with_the_first_as_the_example():
    tally = Tally()
    for name, reason in (("b.MOV", "x"), ("c/a.mov", "x"), ("a.mov", "w"), ("a.avi", "x")):
        tally.add(name, reason, UNREADABLE)
    tally.add("a.avi", "x", OTHER)
    tally.add("a.gz", "x", UNREADABLE, ".txt.gz")
    assert tally.left_out() == (
        LeftOut(".avi", "x", 1, "a.avi", UNREADABLE),
        LeftOut(".avi", "x", 1, "a.avi", OTHER),
        LeftOut(".mov", "w", 1, "a.mov"),
        LeftOut(".mov", "x", 2, "b.MOV"),
        LeftOut(".txt.gz", "x", 1, "a.gz"),
    )


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.b/c", ""), ("a/b.", "."), ("a.tar.GZ", ".gz"), ("a.\udce9", r".\xe9")]
)
def test_all_who_count_have_one_rule_of_suffixes_and_print_names_alike(name, suffix):
    def passed_over():
        found = PassedOver()
        found.add(name)
        return found.left_out()

    def failed():
        facts = Facts(8)
        facts.fail(name, Failure("words", "kind"))
        return facts.left_out()

    for (found,) in (passed_over(), failed(), counted([Picture(name, b"")], "no label", UNLABELLED)):
        assert (found.suffix, found.example) == (suffix, name.replace("\udce9", r"\xe9"))
