"""Heads of requests for tests: what must be turned away, what looks odd and is taken, and what phones send."""

from edge.http_head import HeaderBlock, HeadReader, RequestLine, check_framing, parse_request_line
from tests.routes import PHONE

END = b"\r\n\r\n"
LINE = b"GET /r/abc2345 HTTP/1.1"
HOST = b"Host: qr.example"
HTTP_11 = b" HTTP/1.1\r\nHost: qr.example\r\n\r\n"


def head(*lines: bytes, first: bytes = LINE) -> bytes:
    """A request without a body; `first` is its request line."""
    return b"\r\n".join((first, *lines)) + END


def get(*lines: bytes) -> bytes:
    """With a Host, and `lines` behind it."""
    return head(HOST, *lines)


def post(*lines: bytes) -> bytes:
    return head(HOST, *lines, first=b"POST /r/abc2345 HTTP/1.1")


def phone(target: bytes = b"/r/abc2345", *lines: bytes) -> bytes:
    """What a phone sends."""
    return head(
        HOST,
        b"User-Agent: " + PHONE,
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"Accept-Language: de-AT,de;q=0.9,en;q=0.5",
        b"Accept-Encoding: gzip, deflate",
        b"Connection: keep-alive",
        *lines,
        first=b"GET " + target + b" HTTP/1.1",
    )


def read(reader: HeadReader, data: bytes) -> tuple[RequestLine, HeaderBlock]:
    """`data` is one whole head. Raises BadHead."""
    text, _, raw = data.partition(b"\r\n")
    line, block = parse_request_line(text), reader.read_block(raw)
    check_framing(line, block.framing)
    return line, block


# What must be turned away, and with which status. Each is whole as far as its sender is concerned.
MALFORMED: dict[str, tuple[bytes, int]] = {
    # the request line
    "HTTP/0.9": (b"GET /r/abc2345\r\n\r\n", 400),
    "version 1.2": (head(HOST, first=b"GET / HTTP/1.2"), 400),
    "version 2.0": (head(HOST, first=b"GET / HTTP/2.0"), 400),
    "version 1.10": (head(HOST, first=b"GET / HTTP/1.10"), 400),
    "version 01.1": (head(HOST, first=b"GET / HTTP/01.1"), 400),
    "version 1.": (head(HOST, first=b"GET / HTTP/1."), 400),
    "version 1,1": (head(HOST, first=b"GET / HTTP/1,1"), 400),
    "version in lower case": (head(HOST, first=b"GET / http/1.1"), 400),
    "another protocol": (head(HOST, first=b"GET / RTSP/1.0"), 400),
    "something behind the version": (head(HOST, first=b"GET / HTTP/1.1 x"), 400),
    "a space behind the version": (head(HOST, first=b"GET / HTTP/1.1 "), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no target": (head(HOST, first=b"GET HTTP/1.1"), 400),
    "an empty target": (head(HOST, first=b"GET  HTTP/1.1"), 400),
    "two spaces before the target": (head(HOST, first=b"GET  / HTTP/1.1"), 400),
    "two spaces behind the target": (head(HOST, first=b"GET /  HTTP/1.1"), 400),
    "a tab before the target": (head(HOST, first=b"GET\t/ HTTP/1.1"), 400),
    "a tab behind the target": (head(HOST, first=b"GET /\tHTTP/1.1"), 400),
    "a space in the target": (head(HOST, first=b"GET /r/abc 2345 HTTP/1.1"), 400),
    "a space before the method": (head(HOST, first=b" GET / HTTP/1.1"), 400),
    "no method": (head(HOST, first=b" / HTTP/1.1"), 400),
    "a method that is no token": (head(HOST, first=b"G(T / HTTP/1.1"), 400),
    "a method without end": (head(HOST, first=b"G" * 33 + b" / HTTP/1.1"), 400),
    "NUL in the target": (head(HOST, first=b"GET /r/\x00 HTTP/1.1"), 400),
    "DEL in the target": (head(HOST, first=b"GET /r/\x7f HTTP/1.1"), 400),
    "bytes beyond ASCII in the target": (head(HOST, first=b"GET /r/\xc3\xa9 HTTP/1.1"), 400),
    "a bare CR in the target": (head(HOST, first=b"GET /r/a\rb HTTP/1.1"), 400),
    "a bare LF in the target": (head(HOST, first=b"GET /r/a\nb HTTP/1.1"), 400),
    "a bare LF behind the request line": (b"GET / HTTP/1.1\nHost: qr.example\r\n\r\n", 400),
    "a relative target": (head(HOST, first=b"GET r/abc2345 HTTP/1.1"), 400),
    "a query for a target": (head(HOST, first=b"GET ?a=b HTTP/1.1"), 400),
    "the asterisk, not of OPTIONS": (head(HOST, first=b"GET * HTTP/1.1"), 400),
    "authority for a target": (head(HOST, first=b"GET qr.example:80 HTTP/1.1"), 400),
    "CONNECT": (head(HOST, first=b"CONNECT qr.example:443 HTTP/1.1"), 400),
    "an absolute target of another scheme": (head(HOST, first=b"GET ftp://qr.example/ HTTP/1.1"), 400),
    "an absolute target without a host": (head(HOST, first=b"GET http:///r/abc2345 HTTP/1.1"), 400),
    "an absolute target with a user name": (head(HOST, first=b"GET http://me@qr.example/ HTTP/1.1"), 400),
    "an absolute target with a bad port": (head(HOST, first=b"GET http://qr.example:8x/ HTTP/1.1"), 400),
    # header lines
    "a line without a colon": (get(b"X-Thing"), 400),
    "a line with a name alone, then a value": (get(b"X-Thing", b" value"), 400),
    "a space before the colon": (get(b"X-Thing : a"), 400),
    "a tab before the colon": (get(b"X-Thing\t: a"), 400),
    "a space before the colon of Host": (head(b"Host : qr.example"), 400),
    "a space before the colon of Content-Length": (post(b"Content-Length : 5"), 400),
    "a space before the colon of Transfer-Encoding": (post(b"Transfer-Encoding : chunked"), 400),
    "a space before the name": (head(b" " + HOST), 400),
    "a folded line": (get(b"X-Thing: a", b" b"), 400),
    "a line folded by a tab": (get(b"X-Thing: a", b"\tb"), 400),
    "a first line that is folded": (head(b" X: a", HOST), 400),
    "a folded Transfer-Encoding": (post(b"Transfer-Encoding:", b" chunked"), 400),
    "a folded Content-Length": (post(b"Content-Length: 1", b" 0"), 400),
    "an empty name": (get(b": a"), 400),
    "a name that is no token": (get(b"X(Thing): a"), 400),
    "a name in quotes": (get(b'"Host": a'), 400),
    "a name beyond ASCII": (get(b"X-Th\xc3\xafng: a"), 400),
    "a name with a NUL": (get(b"X-\x00Thing: a"), 400),
    "a value with a NUL": (get(b"X-Thing: a\x00b"), 400),
    "a value with an escape": (get(b"X-Thing: \x1b[31m"), 400),
    "a value with DEL": (get(b"X-Thing: a\x7f"), 400),
    "a value with a bare CR": (get(b"X-Thing: a\rTransfer-Encoding: chunked"), 400),
    "a value that ends in CR": (get(b"X-Thing: a\r"), 400),
    "a value with a bare LF": (get(b"X-Thing: a\nTransfer-Encoding: chunked"), 400),
    "lines that end in LF": (b"GET / HTTP/1.1\nHost: qr.example\n\n", 400),
    "an end of two LF": (b"GET / HTTP/1.1\r\nHost: qr.example\n\n", 400),
    "an end of LF CR LF": (b"GET / HTTP/1.1\r\nHost: qr.example\n\r\n", 400),
    # Host
    "no Host": (head(), 400),
    "two Hosts": (head(HOST, b"Host: other.example"), 400),
    "the same Host twice": (head(HOST, HOST), 400),
    "two Hosts in two cases": (head(HOST, b"hOST: qr.example"), 400),
    "a Host with a user name": (head(b"Host: me@qr.example"), 400),
    "a Host with a path": (head(b"Host: qr.example/r"), 400),
    "a Host with a scheme": (head(b"Host: http://qr.example"), 400),
    "a list of Hosts": (head(b"Host: a.example, b.example"), 400),
    "a Host with a space": (head(b"Host: a b"), 400),
    "a Host with a query": (head(b"Host: qr.example?a"), 400),
    "a Host with a fragment": (head(b"Host: qr.example#a"), 400),
    "a Host with a backslash": (head(b"Host: qr.example\\a"), 400),
    "a Host in angle brackets": (head(b"Host: <qr.example>"), 400),
    "a Host beyond ASCII": (head(b"Host: qr.ex\xc3\xa4mple"), 400),
    "a Host with a port that is no number": (head(b"Host: qr.example:8a"), 400),
    "a Host with a negative port": (head(b"Host: qr.example:-1"), 400),
    "a Host with two ports": (head(b"Host: qr.example:80:80"), 400),
    "an IPv6 Host without brackets": (head(b"Host: 2001:db8::1"), 400),
    "an IPv6 Host that is not closed": (head(b"Host: [2001:db8::1"), 400),
    "brackets around a name": (head(b"Host: [qr.example]"), 400),
    "an absolute target and no Host": (head(first=b"GET http://qr.example/ HTTP/1.1"), 400),
    "an absolute target and two Hosts": (head(HOST, HOST, first=b"GET http://qr.example/ HTTP/1.1"), 400),
    "HTTP/1.0 with two Hosts": (head(HOST, HOST, first=b"GET / HTTP/1.0"), 400),
    "HTTP/1.0 with a bad Host": (head(b"Host: a b", first=b"GET / HTTP/1.0"), 400),
    # bodies
    "a body on GET": (get(b"Content-Length: 5") + b"hello", 400),
    "a body on HEAD": (head(HOST, b"Content-Length: 5", first=b"HEAD / HTTP/1.1") + b"hello", 400),
    "a chunked body on GET": (get(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "a chunked body": (post(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 411),
    "a chunked body in capitals": (post(b"TRANSFER-ENCODING: CHUNKED"), 411),
    "a chunked body of HTTP/1.0": (head(HOST, b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"), 411),
    "a chunked body, quoted": (post(b'Transfer-Encoding: "chunked"'), 411),
    "a chunked body behind a tab": (post(b"Transfer-Encoding:\tchunked"), 411),
    "a chunked body behind a vertical tab": (post(b"Transfer-Encoding: \x0bchunked"), 400),
    "identity": (post(b"Transfer-Encoding: identity"), 411),
    "an unknown coding": (post(b"Transfer-Encoding: xchunked"), 411),
    "gzip, then chunked": (post(b"Transfer-Encoding: gzip, chunked"), 411),
    "chunked, then identity": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 411),
    "an empty coding": (post(b"Transfer-Encoding:"), 411),
    "both framings": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "both framings, the other way round": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "both framings in odd cases": (post(b"tRANSFER-eNCODING: xchunked", b"content-LENGTH: 0"), 400),
    "two lengths": (post(b"Content-Length: 5", b"Content-Length: 6") + b"hello!", 400),
    "two lengths in one line": (post(b"Content-Length: 5, 6"), 400),
    "the same length twice in one line": (post(b"Content-Length: 5, 5"), 400),
    "a negative length": (post(b"Content-Length: -5"), 400),
    "a length with a plus sign": (post(b"Content-Length: +5"), 400),
    "a length with a fraction": (post(b"Content-Length: 5.0"), 400),
    "a length with an underscore": (post(b"Content-Length: 1_0"), 400),
    "a length in hexadecimal": (post(b"Content-Length: 0x5"), 400),
    "a length with a space within": (post(b"Content-Length: 1 0"), 400),
    "an empty length": (post(b"Content-Length:"), 400),
    "a length in Arabic digits": (post(b"Content-Length: \xd9\xa5"), 400),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551621"), 400),
    "a length of a thousand digits": (post(b"Content-Length: " + b"9" * 1000), 400),
    "a form that is too long": (post(b"Content-Length: 1025"), 413),
    "a form that is far too long": (post(b"Content-Length: 999999999999999999"), 413),
    # too much
    "a URL that is too long": (b"GET /r/" + b"a" * 8190 + HTTP_11, 414),
    "a query that is too long": (b"GET /r/a?" + b"q" * 8190 + HTTP_11, 414),
    "a URL without end": (b"GET /r/" + b"a" * 20_000, 414),
    "a header line without end": (get(b"X-Thing: " + b"a" * 40_000), 431),
    "a header line whose end never comes": (LINE + b"\r\nX-Thing: " + b"a" * 40_000, 431),
    "many header lines": (get(*(b"X-%d: a" % number for number in range(100))), 431),
    "many empty headers": (get(*[b"a:"] * 100), 431),
    "many bytes of headers": (get(*(b"X-%d: " % number + b"a" * 500 for number in range(80))), 431),
}

# What looks odd and is taken all the same, and why that does no harm.
ODD: dict[str, tuple[bytes, str]] = {
    "an empty line before the request line": (b"\r\n" + get(), "RFC 9112 2.2: a server should ignore one"),
    "empty lines before the request line": (b"\r\n" * 5 + get(), "RFC 9112 2.2: one at least"),
    "an empty Host": (head(b"Host:"), "RFC 9112 3.2: sent where the target has no authority; the default domain"),
    "a Host with a comma": (head(b"Host: a,b"), "RFC 3986 3.2.2: a name may hold one; it is no domain of ours"),
    "a Host with percent": (head(b"Host: a%41"), "RFC 3986 3.2.2; it is looked up as it stands"),
    "a Host with an underscore": (head(b"Host: my_host"), "RFC 3986 3.2.2; local networks have them"),
    "a Host with an empty port": (head(b"Host: qr.example:"), "RFC 3986 3.2.3: the port may be empty"),
    "a Host with a great port": (head(b"Host: qr.example:99999"), "the port means nothing to us"),
    "a Host with the root's dot": (head(b"Host: qr.example."), "the same name, absolute"),
    "an IPv6 Host": (head(b"Host: [2001:db8::1]:8080"), "usual in tests and local networks"),
    "no Host in HTTP/1.0": (head(first=b"GET / HTTP/1.0"), "HTTP/1.0 had none; the default domain"),
    "an absolute target": (head(HOST, first=b"GET http://a.example/r/x HTTP/1.1"), "RFC 9112 3.2.2: must be taken"),
    "an absolute target in HTTPS": (head(HOST, first=b"GET HTTPS://a.example/ HTTP/1.1"), "behind a proxy"),
    "an absolute target without a path": (head(HOST, first=b"GET http://a.example HTTP/1.1"), "its path is /"),
    "an absolute target with a query alone": (head(HOST, first=b"GET http://a.example?x HTTP/1.1"), "its path is /"),
    "the asterisk of OPTIONS": (head(HOST, first=b"OPTIONS * HTTP/1.1"), "RFC 9112 3.2.4; answered 405 or 404"),
    "a fragment": (head(HOST, first=b"GET /r/abc2345#top HTTP/1.1"), "careless programs send it; it is cut off"),
    "a target of slashes": (head(HOST, first=b"GET //// HTTP/1.1"), "a path is not interpreted, only matched"),
    "dots in a path": (head(HOST, first=b"GET /r/../x HTTP/1.1"), "a path is not interpreted, only matched"),
    "percent garbage": (head(HOST, first=b"GET /r/%zz%2 HTTP/1.1"), "stays as it is, and is no code"),
    "an encoded NUL": (head(HOST, first=b"GET /r/%00 HTTP/1.1"), "decoded it is no code"),
    "an encoded slash": (head(HOST, first=b"GET /r%2Fabc2345 HTTP/1.1"), "it is no separator"),
    "characters that a URL has to encode": (head(HOST, first=b'GET /r/"<>\\^`{|} HTTP/1.1'), "browsers send some"),
    "a method nobody knows": (head(HOST, first=b"BREW / HTTP/1.1"), "a token; answered 405"),
    "a method in lower case": (head(HOST, first=b"get / HTTP/1.1"), "another method; answered 405"),
    "Content-Length: 0 on GET": (get(b"Content-Length: 0"), "that is no body"),
    "the same length twice": (post(b"Content-Length: 0", b"Content-Length: 0"), "RFC 9110 8.6: they agree"),
    "a length with leading zeros": (post(b"Content-Length: 000"), "RFC 9110 8.6: 1*DIGIT"),
    "a header without a value": (get(b"X-Thing:"), "RFC 9110 5.5: may be empty"),
    "a value of spaces": (get(b"X-Thing: \t "), "RFC 9110 5.5: empty, without the white space"),
    "no space behind the colon": (get(b"X-Thing:a"), "RFC 9112 5: white space is optional"),
    "white space behind a value": (get(b"X-Thing: a \t"), "RFC 9112 5: is no part of it"),
    "a tab within a value": (get(b"X-Thing: a\tb"), "RFC 9110 5.5"),
    "a value beyond ASCII": (get(b"User-Agent: caf\xe9"), "RFC 9110 5.5: opaque; phones send model names"),
    "a colon in a value": (get(b"X-Thing: a:b"), "the first one counts"),
    "odd characters in a name": (get(b"!#$%&'*+-.^_`|~09aZ: a"), "RFC 9110 5.6.2: a token"),
    "a name with an underscore": (get(b"X_Forwarded_For: 192.0.2.1"), "a token, and another name than with hyphens"),
    "the same header twice": (get(b"X-Thing: a", b"X-Thing: b"), "RFC 9110 5.3"),
    "Connection: close twice": (get(b"Connection: close", b"Connection: keep-alive, CLOSE"), "a list; close wins"),
    "Upgrade": (get(b"Connection: Upgrade", b"Upgrade: h2c"), "RFC 9110 7.8: may be ignored"),
    "an expectation without a body": (get(b"Expect: 100-continue"), "nothing is waited for"),
    "an expectation nobody knows": (get(b"Expect: 200-ok"), "RFC 9110 10.1.1: may be ignored"),
    "a URL as long as may be": (b"GET /" + b"a" * 8191 + HTTP_11, "8 KB in all"),
    "as many headers as may be": (get(*[b"a: b"] * 99), "100 in all"),
}
