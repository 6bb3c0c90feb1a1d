"""Text files: what is read, and what errors name."""

import pytest

from compressors.naming import LONGEST, shown, unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import TABLE, line_of_key, parse_toml, read_json, read_lines, read_text


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.txt"


def refused(function, *arguments):
    with pytest.raises(ConfigurationError) as caught:
        function(*arguments)
    return str(caught.value)


def test_a_text_that_is_larger_than_the_limit_is_refused_before_it_is_read(file):
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert "more than 8 MiB" in refused(read_text, file)
    assert "more than 4 KiB" in refused(read_text, file, 4096)
    assert "line 1 has more than 1 MiB" in refused(lambda: list(read_lines(file)))


def test_a_table_is_read_line_by_line_up_to_its_limit(file, monkeypatch):
    file.write_bytes(b"a\n" * 10)
    assert list(read_lines(file)) == ["a\n"] * 10
    monkeypatch.setattr("hvd_qgenx.reading.TABLE", 9)
    lines = read_lines(file)
    assert [next(lines) for _ in range(4)] == ["a\n"] * 4
    assert "cannot be read: it has more than" in refused(next, lines)
    assert TABLE > 9


@pytest.mark.parametrize("read", [read_text, lambda path: list(read_lines(path))])
def test_a_byte_that_is_not_utf_8_has_its_line(file, read):
    file.write_bytes(b"a\nb\n\xffc\n")
    assert refused(read, file) == f"{file} cannot be read: line 3 is not UTF-8 text"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1,\n"b" 2}', "line 2 is not JSON (Expecting ':' delimiter)"),
        ("[1,\n" + "9" * 5000 + "]", "line 2 has a number of thousands of digits"),
        ("[" * 5000, "its values are nested too deeply"),
    ],
)
def test_damaged_json(file, text, fault):
    file.write_text(text)
    assert refused(read_json, file) == f"{file} cannot be read: {fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = 1\nb = \n", "is not TOML: Invalid value (at line 2, column 5)"),
        ("a = [1,\n", "is not TOML: Invalid value (at line 2, the end)"),
        ("a = 1\nb = 2001-99-99\n", "is not TOML: Expected newline or end of document after a statement (at line 2"),
        ("a = 1\nb = " + "9" * 5000, "cannot be read: line 2 has a number of thousands of digits"),
        ("a = " + "[" * 5000, "cannot be read: its values are nested too deeply"),
        ("a = 1\n" + "b." * 50_000 + "c = 1", "cannot be read: line 2 has a key of too many parts"),
    ],
)
def test_damaged_toml(text, fault):
    assert refused(parse_toml, text, "f.toml").startswith(f"f.toml {fault}")


def test_lines_of_keys():
    text = "a = 1\n[one]\nb = 2\n[two]\n  b=3\n"
    assert [line_of_key(text, *where) for where in (("a",), ("b", "one"), ("b", "two"), ("b",))] == [1, 3, 5, None]


def _deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


LARGE = ("x" * 10**6, 16**20_000, -(16**20_000), _deep(10**5), [["x"] * 50] * 50, {"k" * 999: 1}, b"y" * 999)


@pytest.mark.parametrize("value", LARGE, ids=range(len(LARGE)))
def test_of_a_value_however_large_no_more_is_shown_than_a_sentence_can_hold(value):
    assert len(shown(value)) <= LONGEST
    assert len(unknown("name", value, ["a", "b"])) <= 2 * LONGEST


def test_small_values_are_shown_as_they_are():
    for value in ("it's", 3, -0.5, None, [1, "a"], {"b": 1}, float("nan"), 10**30, True, ("a",)):
        assert shown(value) == repr(value)
