"""The table at the end of `make ci` says of each part what came of it, and what was skipped and why."""

from __future__ import annotations

from pathlib import Path

from stress.ci import Part, Result, parts, read, run, table

TESTS = Part("tests", ("test",))
OUTPUT = """
....s [100%]
=========================== short test summary info ============================
SKIPPED [3] tests/workers/test_kills.py:12: needs nginx. On Debian: apt-get install nginx
SKIPPED [2] tests/workers/test_kills.py:40: needs nginx. On Debian: apt-get install nginx
RERUN tests/workers/test_late.py::test_it
4 passed, 5 skipped, 1 rerun in 12.30s
make: *** [Makefile:7: test] Error 1
"""


def test_a_run_of_tests_is_read() -> None:
    """Its counts, and how many tests were skipped for each reason."""
    result = read(TESTS, OUTPUT.splitlines())
    assert result.summary == "4 passed, 5 skipped, 1 rerun"
    assert result.skipped == {"needs nginx. On Debian: apt-get install nginx": 5}


def test_of_other_programs_the_last_line_counts() -> None:
    """The simulation ends with its figures, in colours or not."""
    assert read(TESTS, ["seed 5: no", "", "\x1b[1m3 seeds in 4 s, 1 seeds failed\x1b[0m", ""]).summary == (
        "3 seeds in 4 s, 1 seeds failed"
    )


def test_the_table_names_what_failed_and_what_was_skipped() -> None:
    """With the reason; and says so where nothing was skipped."""
    failed, fine = read(TESTS, OUTPUT.splitlines()), Result(Part("lint", ("lint",)), 61.2, summary="all good")
    failed.failed, failed.seconds = True, 100.0
    shown = table([fine, failed])
    assert "lint            61 s  all good" in shown
    assert "tests          100 s  FAILED: 4 passed, 5 skipped, 1 rerun" in shown
    assert "all            161 s" in shown
    assert "Skipped:\n  tests (5 tests): needs nginx. On Debian: apt-get install nginx" in shown
    assert table([fine]).endswith("Nothing was skipped.")


def test_a_part_that_fails_is_said_to_have_failed() -> None:
    """By what its program returned, whatever it printed."""
    assert run(TESTS, ("sh", "-c", "echo fine; exit 3")).failed
    result = run(TESTS, ("sh", "-c", "echo fine"))
    assert (result.failed, result.summary) == (False, "fine")


def test_without_a_real_mas_its_part_is_skipped_with_the_reason() -> None:
    """And with one it is run."""
    (without,) = (part for part in parts("") if part.name == "MAS")
    assert "MAS=/path/to/mas-cli" in without.without
    assert run(without, ("false",)).skipped == {without.without: 1}
    (part,) = (part for part in parts("/opt/mas-cli") if part.name == "MAS")
    assert part.without == "" and "MAS=/opt/mas-cli" in part.target


def test_each_part_is_a_target_of_the_makefile() -> None:
    """One that was renamed would fail only at the end of an hour."""
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    assert {part.target[0] for part in parts("") if f"\n{part.target[0]}: " not in makefile} == set()
