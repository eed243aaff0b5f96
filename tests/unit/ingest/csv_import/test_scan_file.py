"""Bytes to rows: encodings, delimiters, quotes, gzip, and what is not a table."""

import gzip

import pytest

from ingest.csv_import.failure import ImportRefused
from ingest.csv_import.scan_file import MAX_FIELD, MAX_LINE, FileRow, find_form, open_scan_file


@pytest.fixture
def read(tmp_path):
    def rows(data: bytes, **how: str) -> tuple[list[str], list[FileRow]]:
        path = tmp_path / "scans.csv"
        path.write_bytes(data)
        with open_scan_file(path, find_form(path, **how)) as file:
            return file.header, list(file.rows())

    return rows


@pytest.fixture
def form(tmp_path):
    def find(data: bytes):
        path = tmp_path / "scans.csv"
        path.write_bytes(data)
        return find_form(path)

    return find


def fields(rows):
    return [list(row.fields) for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(read, delimiter):
    header, rows = read(delimiter.join("abc").encode() + b"\n" + delimiter.join("123").encode() + b"\n")
    assert header == ["a", "b", "c"]
    assert fields(rows) == [["1", "2", "3"]]


def test_a_delimiter_inside_quotes_is_none(read):
    header, _ = read(b'"a,b,c";d\n1;2\n')
    assert header == ["a,b,c", "d"]


def test_a_delimiter_that_was_asked_for_is_taken(read):
    header, _ = read(b"a,b;c,d\n", delimiter=";")
    assert header == ["a,b", "c,d"]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\0\0"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_unicode_is_known_by_its_mark_or_by_being_utf_8(read, encoding, mark, pack):
    header, rows = read(pack(mark + "stadt,b\nWörgl €,x\n".encode(encoding)))
    assert header == ["stadt", "b"]
    assert fields(rows) == [["Wörgl €", "x"]]


def test_what_is_not_utf_8_is_taken_for_windows_1252_and_said_to_be_guessed(form, read):
    data = "stadt\n€ Wörgl\n".encode("cp1252")
    assert (form(data).encoding, form(data).is_guessed) == ("cp1252", True)
    assert fields(read(data)[1]) == [["€ Wörgl"]]


def test_bytes_that_windows_1252_has_not_make_it_latin_1(form):
    assert form(b"stadt\nW\xf6rgl \x81\n").encoding == "latin-1"


def test_a_byte_that_is_not_utf_8_is_found_at_the_very_end(form):
    assert form(b"a\n" + b"x" * (3 << 20) + b"\n\xf6").encoding == "cp1252"


def test_an_encoding_that_was_asked_for_is_taken(read):
    assert fields(read("a\nж\n".encode("cp1251"), encoding="cp1251")[1]) == [["ж"]]


@pytest.mark.parametrize("encoding", ["no-such", "base64"])
def test_an_encoding_that_is_none_is_refused(read, encoding):
    with pytest.raises(ImportRefused, match="there is no encoding"):
        read(b"a\n", encoding=encoding)


def test_bytes_outside_the_encoding_asked_for_are_refused(read):
    with pytest.raises(ImportRefused, match="not in the encoding"):
        read(b"a\n\xf6\n", encoding="utf-8")


def test_utf_16_without_a_mark_is_refused_with_advice(read):
    with pytest.raises(ImportRefused, match="utf-16-le"):
        read("a,b\n1,2\n".encode("utf-16-le"))


def test_line_breaks_in_quotes_belong_to_the_field_and_lines_are_counted_as_an_editor_does(read):
    _, rows = read(b'a,b\r\n"x\r\ny",1\r\n\r\nz,"2""q"\r\n')
    assert rows == [FileRow(2, 3, ["x\r\ny", "1"]), FileRow(5, 5, ["z", '2"q'])]


def test_a_quote_that_is_never_closed_costs_one_bad_row_and_is_told(read):
    _, rows = read(b'a,b\n1,"2\n' + b"3,4\n" * (MAX_FIELD // 4) + b"5,6\n")
    assert rows[0].fault
    assert "never closed" in rows[0].fault
    assert (rows[0].line, rows[-1].fields) == (2, ["5", "6"])


def test_an_endless_line_is_a_bad_row_and_the_next_is_read(read):
    _, rows = read(b"a\n" + b"x" * (3 * MAX_LINE) + b"\nlast\n")
    assert [(row.line, bool(row.fault)) for row in rows] == [(2, True), (3, False)]
    assert rows[1].fields == ["last"]


@pytest.mark.parametrize("cut", [-1, -9, 40])
def test_a_gzip_that_ends_early_is_refused(read, cut):
    with pytest.raises(ImportRefused, match="damaged gzip"):
        read(gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 100)[:cut])


def test_an_empty_file_has_no_header(read):
    assert read(b"") == ([], [])
