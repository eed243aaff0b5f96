"""What the front must know of a statement, found with a small lexer: not a parser, the engine judges the SQL.

It tells apart inserts that carry data (and where the data begins), selects whose result can be streamed, and the
output format; and it refuses several statements in one request, which chDB would run one after the other and a server
does not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanhop.devstack.clickhouse_front.failure import SYNTAX_ERROR, QueryFailed, refusal

DEFAULT_FORMAT = "TabSeparated"
# Formats whose blocks, written one by one, make one valid document.
STREAMABLE_FORMATS = frozenset(
    {
        *("Native", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary"),
        *("JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow"),
    }
)
_READ_WORDS = frozenset(
    {"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "KILL"}
)
_SELECT_WORDS = frozenset({"SELECT", "WITH", "FROM", "("})
_TOKEN = re.compile(
    rb"""
      (?P<gap> [\s\0]+ | --[^\n]* | \#[!\ ][^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted> '(?:[^'\\]|\\.|'')*(?:'|\Z) | `(?:[^`\\]|\\.|``)*(?:`|\Z) | "(?:[^"\\]|\\.|"")*(?:"|\Z)
                | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<word> [^\W\d]\w* )
    | (?P<other> \d[\w.]* | . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: bytes
    start: int
    end: int

    @property
    def word(self) -> str:
        """In capitals; empty for anything but a bare word."""
        return self.text.decode().upper() if self.kind == "word" else ""


@dataclass(frozen=True)
class InsertWithData:
    """`head` [FROM INFILE ...] `settings` FORMAT `format_name`, then the data, from `data_offset` in the text."""

    head: bytes
    settings: bytes
    format_name: str
    data_offset: int

    def from_file(self, path: str) -> bytes:
        """The same insert, its data in the file `path` (a path of ours, free of quotes)."""
        source = f" FROM INFILE '{path}' COMPRESSION 'none' ".encode()
        return self.head + source + self.settings + f" FORMAT {self.format_name}".encode()


@dataclass(frozen=True)
class Statement:
    """`first_word` in capitals; `format_name` None where the statement names none."""

    text: bytes
    first_word: str
    format_name: str | None
    holds_insert: bool
    changes_session: bool

    @property
    def returns_rows(self) -> bool:
        return self.first_word in _READ_WORDS and not self.holds_insert

    def is_streamable(self, default_format: str) -> bool:
        streamable_format = (self.format_name or default_format) in STREAMABLE_FORMATS
        return self.first_word in _SELECT_WORDS and not self.holds_insert and streamable_format


def find_insert_with_data(text: bytes) -> InsertWithData | None:
    """None for any other statement, and for a text that ends before the data does begin."""
    tokens = _tokens(text)
    if next(tokens, _END).word != "INSERT":
        return None
    token = _skip_target(tokens)
    settings_at: int | None = None
    depth = 0
    while token.kind != "end":
        depth += (token.text == b"(") - (token.text == b")")
        if depth == 0 and token.word in ("SELECT", "WITH", "WATCH", "INFILE"):
            return None
        if depth == 0 and token.word == "SETTINGS":
            settings_at = token.start
        if depth == 0 and token.word in ("FORMAT", "VALUES"):
            return _insert_from(text, token, next(tokens, _END), settings_at)
        token = next(tokens, _END)
    return None


def parse_statement(text: bytes) -> Statement:
    """Raises QueryFailed for an empty text and for more than one statement."""
    first = previous = _END
    semicolon: Token | None = None
    format_name = _TrailingFormat()
    holds_insert = makes_temporary = False
    for token in _tokens(text):
        if token.text == b";":
            semicolon = semicolon or token
            continue
        if semicolon is not None:
            raise _multi_statement(semicolon)
        first = token if first is _END else first
        format_name.see(previous, token)
        holds_insert |= previous.word == "INSERT" and token.word == "INTO"  # WITH ... INSERT INTO ... SELECT
        makes_temporary |= previous.word == "TEMPORARY" and token.word == "TABLE"
        previous = token
    if first is _END:
        raise refusal(SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error: failed at position 1: empty query")
    return Statement(
        text=text,
        first_word=first.word or first.text.decode(errors="replace"),
        format_name=format_name.name,
        holds_insert=holds_insert,
        changes_session=first.word in ("SET", "USE") or (first.word == "CREATE" and makes_temporary),
    )


class _TrailingFormat:
    """The name in `FORMAT name [SETTINGS ...]` at the end of a statement; a column may be called format, too."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._just_named = False

    def see(self, previous: Token, token: Token) -> None:
        if self._just_named and token.word != "SETTINGS":
            self.name = None
        self._just_named = previous.word == "FORMAT" and token.kind == "word"
        if self._just_named:
            self.name = token.text.decode()


def _multi_statement(at: Token) -> QueryFailed:
    reason = f"Syntax error (Multi-statements are not allowed): failed at position {at.start + 1} (end of query)"
    return refusal(SYNTAX_ERROR, "SYNTAX_ERROR", reason)


_END = Token("end", b"", 0, 0)


def _tokens(text: bytes) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup if match.lastgroup != "tag" else "quoted"
        if kind is not None and kind != "gap":
            yield Token(kind, match[0], match.start(), match.end())


def _skip_target(tokens: Iterator[Token]) -> Token:
    """Go past INTO and the table's name, whatever it is called; the first token after it."""
    token = next(tokens, _END)
    if token.word == "INTO":
        token = next(tokens, _END)
    if token.word in ("TABLE", "FUNCTION"):
        token = next(tokens, _END)
    token = next(tokens, _END)
    while token.text == b".":
        next(tokens, _END)
        token = next(tokens, _END)
    return token


def _insert_from(text: bytes, keyword: Token, following: Token, settings_at: int | None) -> InsertWithData | None:
    format_name = "Values" if keyword.word == "VALUES" else following.text.decode(errors="replace")
    after = keyword.end if keyword.word == "VALUES" else following.end
    if keyword.word == "FORMAT" and following.kind != "word":
        return None
    head_end = keyword.start if settings_at is None else settings_at
    return InsertWithData(
        head=text[:head_end],
        settings=text[head_end : keyword.start],
        format_name=format_name,
        data_offset=_data_offset(text, after),
    )


def _data_offset(text: bytes, after_format: int) -> int:
    """Data begins after the first line break that follows the format, else after the blanks."""
    offset = after_format
    while text[offset : offset + 1] in (b" ", b"\t", b"\f"):
        offset += 1
    if text[offset : offset + 1] == b"\r":
        offset += 1
    if text[offset : offset + 1] == b"\n":
        offset += 1
    return offset
