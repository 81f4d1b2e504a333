"""Where fuzzing begins: records of each shape, good and bad, and the words that they are made of."""

from __future__ import annotations

from typing import Final

_AT: Final = b'"timestamp": "2026-03-01T12:00:00Z"'
_OWN: Final = b'{"event_id": "1", "name": "call", "customer_id": "ada", ' + _AT

METADATA: Final = (
    b"{}",
    b"null",
    b'{"n": 1, "t": "x", "f": true, "z": null}',
    b'{"n": 0.1234567890123, "m": 7.057e-05, "k": -1E+5}',
    b'{"n": 999999999999999, "o": 1e400}',
    b'{"a": {"b": {"c": 1}}, "l": [1, {"x": null}]}',
    b'{"a.b": 1, "a": {"c": "\\u00e9\\ud83d\\ude00"}}',
    b'{"n": 1, "n": 2}',
    b'{"id": 1, "ID": 2, "": 3}',
    b'{"t": "\\ud800", "n": NaN}',
    b'{"__proto__": {"x": "\\u0000"}, "\\n%,": false}',
)

SHAPES: Final = (
    _OWN + b', "received_at": "2026-03-01 13:00:00.5+05:30", "source": "system"}',
    b'{"name": "call", "external_id": "2", "external_customer_id": "ada", "member_id": null}',
    b'{"event_id": "3", "event_name": "call", "customer_id": "ada", ' + _AT + b"}",
    (
        b'{"specversion": "1.0", "id": "4", "type": "call", "source": "/s", "subject": "ada", '
        b'"time": "2026-03-01T12:00:00Z", "data": {"n": 1}}'
    ),
    (
        b'{"identifier": "5", "event_name": "call", "timestamp": 1772366400, '
        b'"payload": {"stripe_customer_id": "ada", "value": "25"}}'
    ),
    (
        b'{"transaction_id": "6", "code": "call", "external_subscription_id": "s", "timestamp": 1772366400.5, '
        b'"properties": {"gb": 10}}'
    ),
)

_CSV: Final = (
    (
        b"event_id,name,customer_id,timestamp,metadata\n"
        b'1,call,ada,2026-03-01T12:00:00Z,"{""n"": 1}"\r\n'
        b'2,"ca\nll",ada,2026-03-01T12:00:00Z,\n3,call,ada\n'
    ),
    b"name,customer_id,timestamp,n\ncall,ada,2026-03-01T12:00:00Z,0.5\n",
)

LINES: Final = tuple(_OWN + b', "metadata": ' + text + b"}" for text in METADATA) + SHAPES

SEEDS: Final = (
    *LINES,
    b"\n\n".join(LINES),
    b"[" + b",\n".join(LINES) + b"]",
    b"\xef\xbb\xbf" + LINES[0] + b"\r\n\xff\xfe\n" + LINES[0][:40],
    *_CSV,
)

TOKENS: Final = (
    *(b'"%s": ' % field for field in (b"event_id", b"name", b"customer_id", b"timestamp", b"metadata", b"source")),
    *(b'"%s": ' % field for field in (b"received_at", b"event_name", b"void", b"external_id", b"external_customer_id")),
    *(b'"%s": ' % field for field in (b"specversion", b"payload", b"properties", b"transaction_id", b"identifier")),
    *(b"{", b"}", b"[", b"]", b", ", b": ", b"\n", b"\r\n", b'"', b'""', b"\\u0000", b"\\ud800", b"\\ud83d\\ude00"),
    *(b"null", b"true", b"false", b"NaN", b"-Infinity", b"1e400", b"1e-400", b"-0.0", b"0.0000000000005", b"9" * 20),
    *(b"\xef\xbb\xbf", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\xc2\x85", b"\x00", b"\x0b", b"\x0c", b"\x1f"),
    *(b"\\u0031", b"\\u0065", b'\\"', b"\\\\", b"{\t}", b": null", b"1e206", b"0.30000000000000004", b"1e26", b'"1.5"'),
    *(b"2026-03-01T12:00:00Z", b"9999-12-31T23:59:59Z", b"+05:60", b'{"a": {"b": 1}}', b"[[[[[[[[[[[["),
)
