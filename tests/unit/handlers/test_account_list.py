"""Lists of accounts: what is read, what is passed over, and what is refused as a whole."""

from __future__ import annotations

import pytest

from handlers.account_list import AccountList, BadList, ListProblem, read_file, read_lines

SERVER = "lethe.test"


def lines(text: str) -> AccountList:
    return read_lines(text.splitlines(), SERVER)


def test_what_is_no_account_is_counted_and_named() -> None:
    """Blank lines, comments, duplicates and wrong lines are passed over, never guessed."""
    found = lines("@a:lethe.test\n\n# known spammers\n@b\n@a\nnobody\n<https://matrix.to/#/@c:lethe.test>\n@d lethe")
    assert found.user_ids == ("@a:lethe.test", "@b:lethe.test", "@c:lethe.test")
    assert dict(found.skipped) == {"blank": 1, "comment": 1, "duplicate": 1, "wrong": 2}
    assert found.notes == ("6: nobody", "8: @d lethe")


@pytest.mark.parametrize(
    "text",
    [
        "user_id,when\n@a:lethe.test,2026\n@b:lethe.test,2025",
        "when;MXID\n2026;@a:lethe.test\n2025;@b:lethe.test",
        "Account\tWhen\n@a:lethe.test\t2026\n@b:lethe.test\t2025",
        '"2026","@a:lethe.test"\n"2025","@b:lethe.test"',
        "'@a:lethe.test,R1\n'@b:lethe.test,R2",
        "name,displayname\n@a:lethe.test,Anna\n@b:lethe.test,Bert",
        "user_id\n@a:lethe.test\n@b:lethe.test",
    ],
)
def test_the_column_is_found_by_name_or_content(text: str) -> None:
    """Whatever stands in other columns, and whether there is a heading."""
    found = lines(text)
    assert found.user_ids == ("@a:lethe.test", "@b:lethe.test")
    assert found.notes == ()


def test_utf16_of_a_spreadsheet_is_read() -> None:
    """With its byte order mark, the encoding is no guess."""
    assert read_file("@a:lethe.test\r\n".encode("utf-16"), "list.txt", SERVER).user_ids == ("@a:lethe.test",)


@pytest.mark.parametrize(
    ("data", "name", "problem", "detail"),
    [
        (b"@a:lethe.test", "42.zip", ListProblem.ENDING, "42.zip"),
        (b"@a:lethe.test", "a.csv.gz", ListProblem.ENDING, "a.csv.gz"),
        (b"a" * 10_000_000, "list.txt", ListProblem.TOO_LARGE, "10000000"),
        (b"\x89PNG\r\n\x00\x1a\xff" * 9, "list.txt", ListProblem.BINARY, ""),
        (b"PK\x03\x04abc", "list.txt", ListProblem.BINARY, ""),
        ("@a:lethe.test\nä".encode("latin-1"), "list.txt", ListProblem.ENCODING, ""),
        (b"@a:lethe.test\n" + b"x" * 1_000_000, "list.csv", ListProblem.LONG_LINE, "2"),
        (b"@a:lethe.test\n" * 20_001, "list.csv", ListProblem.TOO_MANY_LINES, "20001"),
        (b"by,why,whom\n@m:a.org,x,@a:b.org\n@m:a.org,x,@c:b.org", "a.csv", ListProblem.TWO_COLUMNS, "1, 3"),
        (b"=cmd|'/c calc'!A1\n=1+1", "list.txt", ListProblem.NO_ACCOUNT, ""),
        (b"", "list.txt", ListProblem.NO_ACCOUNT, ""),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_what_cant_be_read_for_sure_is_refused(data: bytes, name: str, problem: ListProblem, detail: str) -> None:
    """Files made to hurt, and files that could mean two things."""
    with pytest.raises(BadList) as refused:
        read_file(data, name, SERVER)
    assert refused.value.problem is problem
    assert detail in refused.value.detail
