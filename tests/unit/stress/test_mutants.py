"""What `make mutate` says of the mutants: who survives, by line; and that no explanation outlives its mutant."""

from __future__ import annotations

import pytest

from stress.mutants import EQUIVALENT, ROOT, Change, Mutant, change_of, explained, line_of, report

DIFF = """--- removal/a.py
+++ removal/a.py
@@ -1,3 +1,3 @@
 def a() -> int:
-    return 1
+    return 2
"""
CHANGE = Change("removal/a.py", "return 1", "return 2")


def mutants(survived: int, killed: int = 97) -> list[Mutant]:
    dead = [Mutant(f"k{number}", "killed", Change("removal/a.py", "", ""), 0) for number in range(killed)]
    return dead + [Mutant(f"s{number}", "survived", CHANGE, 2) for number in range(survived)]


def test_a_change_is_read_from_its_diff() -> None:
    """The line as it was and as it becomes, and where it stands."""
    assert change_of("removal/a.py", DIFF) == CHANGE
    assert line_of("def a() -> int:\n    return 1\n", CHANGE) == 2


def test_the_goal_is_held() -> None:
    """97 of 100 are enough, 96 aren't; who survived is named by line."""
    text, good = report(mutants(3), {})
    assert good and "97.0%" in text and "removal/a.py:2: survived (s0)\n    - return 1\n    + return 2" in text
    assert not report(mutants(4), {})[1]


def test_what_is_explained_does_not_count() -> None:
    """An equivalent mutant can't be killed. Once it is, or is made no more, its explanation is out of date."""
    text, good = report(mutants(50), {CHANGE: "nobody can see it"})
    assert good and "100.0%" in text and "survived (" not in text
    text, good = report(mutants(0), {CHANGE: "nobody can see it"})
    assert not good and "survives no more" in text


def test_what_was_not_tried_is_counted_apart() -> None:
    """A run of a part says nothing about the others, nor about their explanations."""
    untried = [Mutant("u", "not checked", Change("removal/b.py", "", ""), 0)]
    text, good = report(mutants(0) + untried, {Change("removal/b.py", "x", "y"): "why"})
    assert good and "removal/b.py" in text


def test_each_explanation_has_a_reason() -> None:
    """And is there once."""
    entry = '[[equivalent]]\nfile = "a.py"\nwas = "x"\nbecomes = "y"\nwhy = "{}"\n'
    assert explained(entry.format("because")) == {Change("a.py", "x", "y"): "because"}
    for text in (entry.format(""), entry.format("because") * 2):
        with pytest.raises(ValueError, match="reason"):
            explained(text)


def test_the_lines_of_the_explanations_are_there() -> None:
    """Each names a line that the code still has."""
    for change in explained(EQUIVALENT.read_text()):
        assert line_of((ROOT / change.file).read_text(), change) > 0, change
