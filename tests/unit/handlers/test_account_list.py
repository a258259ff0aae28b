"""Lists of accounts: what is read, what is passed over, and what is refused as a whole."""

from __future__ import annotations

import pytest

from handlers.account_list import AccountList, BadList, ListProblem, read_file, read_lines
from handlers.message import lines_of

SERVER = "lethe.test"


def lines(text: str) -> AccountList:
    return read_lines(lines_of(text), SERVER)


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


@pytest.mark.parametrize(
    "text",
    [
        "user_id,displayname\n@spam:lethe.test,x\u2028@victim:lethe.test\n@b:lethe.test,\x85@victim:lethe.test,y",
        "user_id,displayname\n@spam:lethe.test,@victim:lethe.test\n@b:lethe.test,@victim:lethe.test,",
        "id,name\n1,@victim:lethe.test\n2,Bert\n3,Carl",
        "id,name\n@spam:lethe.test,@victim:lethe.test\n@b:lethe.test,Bert",
        "1,@victim:lethe.test\n2,Bert\n3,Carl",
        "note\tuser_id\tdisplayname\n\t@spam:lethe.test\t@victim:lethe.test\nx\t@b:lethe.test\tBert",
        "displayname,user_id\nBert,@b:lethe.test\nx,@victim:lethe.test,@spam:lethe.test",
        "```\n@spam:lethe.test\n@b:lethe.test\n```\n@victim:lethe.test",
        "user_id,decision\n@spam:lethe.test,to be removed\n'@victim:lethe.test,excluded",
        "user_id,request,outcome\n'@spam:lethe.test,R1,failed\n'@victim:lethe.test,,excluded",
    ],
)
def test_nobody_gets_on_a_list_by_what_somebody_else_wrote(text: str) -> None:
    """Neither by a display name that breaks a line, looks like an account or holds a comma, nor by talk around a list,
    nor by a row of our own file that says that somebody was left alone."""
    try:
        found = lines(text).user_ids
    except BadList:
        found = ()
    assert "@victim:lethe.test" not in found


def test_what_was_left_out_before_stays_out() -> None:
    """Our own list, uploaded again."""
    found = lines("user_id,decision\n'@a:lethe.test,to be removed\n'@b:lethe.test,excluded\n'@c:lethe.test,refused")
    assert found.user_ids == ("@a:lethe.test",)
    assert dict(found.skipped) == {"left_out": 2}


def test_twenty_thousand_lines_are_read() -> None:
    """The last line's end begins no other one."""
    whole = "".join(f"@spam{number}:lethe.test\n" for number in range(20_000)).encode()
    assert len(read_file(whole, "list.txt", SERVER).user_ids) == 20_000


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
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_what_cant_be_read_for_sure_is_refused(data: bytes, name: str, problem: ListProblem, detail: str) -> None:
    """Files made to hurt, and files that could mean two things."""
    with pytest.raises(BadList) as refused:
        read_file(data, name, SERVER)
    assert refused.value.problem is problem
    assert detail in refused.value.detail
