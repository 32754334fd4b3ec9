"""As much of DER as is needed to see, before a library reads it, where it ends and how much work it asks for.

Indefinite lengths (BER) are understood too: OpenSSL reads PKCS#12 files that have them.
"""

from __future__ import annotations

from collections.abc import Iterator

INTEGER, OCTETS, OBJECT_ID, SEQUENCE = 0x02, 0x04, 0x06, 0x30
PKCS12_VERSION = 3
_CONSTRUCTED = 0x20
_CONSTRUCTED_OCTETS = OCTETS | _CONSTRUCTED
_LONG_TAG = 0x1F
_DEEPEST = 64
_MOST_OPEN = 32
"""Indefinite lengths within each other: at each level the ends of all below are looked for anew."""

Value = tuple[int, bytes]
"""Tag and content."""


class Malformed(ValueError):
    """Not DER, or cut off."""


class TooDeep(Malformed):
    """Nested as nothing is that a program writes."""


def looks_like_der(data: bytes) -> bool:
    """Whether it begins with a SEQUENCE too long for text: text has no byte above 127 in the second place."""
    return len(data) > 2 and data[0] == SEQUENCE and data[1] >= 0x80


def length_of(data: bytes) -> int:
    """Bytes of the first value, head included; `data` may go on behind it. Raises Malformed."""
    return _parts(data, 0, 0)[2]


def version_of(data: bytes) -> int | None:
    """The number that private keys (0, 1) and PKCS#12 files (3) begin with; certificates begin with something else."""
    try:
        tag, number = next(values(next(values(data))[1]))
    except (Malformed, StopIteration):
        return None
    return int.from_bytes(number, "big") if tag == INTEGER else None


def algorithm_of(data: bytes) -> bytes:
    """The object id of the algorithm that a private key in PKCS#8 names; empty for anything else."""
    try:
        (first, _), (second, algorithm), *_ = values(next(values(data))[1])
        tag, name = next(values(algorithm))
    except (Malformed, StopIteration, ValueError):
        return b""
    return name if (first, second, tag) == (INTEGER, SEQUENCE, OBJECT_ID) else b""


def values(data: bytes) -> Iterator[Value]:
    """The values that stand one after another. Raises Malformed, possibly after some of them."""
    start = 0
    while start < len(data):
        tag, content, start = _parts(data, start, 0)
        yield tag, content


def is_constructed(tag: int) -> bool:
    return bool(tag & _CONSTRUCTED)


def holds_values(value: Value) -> bool:
    """Whether there are others in it, and nothing else."""
    tag, content = value
    if not is_constructed(tag) and tag != OCTETS:
        return False
    try:
        return bool(list(values(content)))
    except Malformed:
        return False


def groups(data: bytes) -> Iterator[list[Value]]:
    """The values of each level at every depth, also of those that lie in an OCTET STRING, as PKCS#12 wraps them.

    What can't be read ends its own level only: OpenSSL doesn't look into everything either. Raises Malformed for what is not DER
    at the top, and TooDeep.
    """
    length_of(data)
    waiting = [(data, 0)]
    while waiting:
        data, depth = waiting.pop()
        if depth > _DEEPEST:
            raise TooDeep
        level = list(_readable(data))
        yield level
        waiting += [(content, depth + 1) for tag, content in level if is_constructed(tag) or tag == OCTETS]


def _readable(data: bytes) -> Iterator[Value]:
    try:
        yield from map(_joined, values(data))
    except TooDeep:
        raise
    except Malformed:
        return


def _joined(value: Value, depth: int = 0) -> Value:
    """An OCTET STRING in pieces as one in one piece."""
    tag, content = value
    if tag != _CONSTRUCTED_OCTETS:
        return value
    if depth > _DEEPEST:
        raise TooDeep
    return OCTETS, b"".join(_joined(piece, depth + 1)[1] for piece in values(content))


def _parts(data: bytes, start: int, depth: int) -> tuple[int, bytes, int]:
    """Tag, content and end of the value at `start`."""
    if depth > _MOST_OPEN:
        raise TooDeep
    tag, start = _tag(data, start)
    length, start = _byte(data, start), start + 1
    if length == 0x80:
        return tag, *_until_end_mark(data, start, depth)
    if length > 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    if start + length > len(data):
        raise Malformed
    return tag, data[start : start + length], start + length


def _tag(data: bytes, start: int) -> tuple[int, int]:
    """The tag and where it ends. One of several bytes, as OpenSSL takes for small numbers too, is told as if it were of one."""
    tag = _byte(data, start)
    if tag & _LONG_TAG != _LONG_TAG:
        return tag, start + 1
    number, more = 0, True
    while more:
        start += 1
        number, more = min(number << 7 | _byte(data, start) & 0x7F, 0xFF), _byte(data, start) >= 0x80
    return tag & ~_LONG_TAG | min(number, _LONG_TAG), start + 1


def _byte(data: bytes, place: int) -> int:
    if place >= len(data):
        raise Malformed
    return data[place]


def _until_end_mark(data: bytes, start: int, depth: int) -> tuple[bytes, int]:
    end = start
    while data[end : end + 2] != b"\0\0":
        end = _parts(data, end, depth + 1)[2]
    return data[start:end], end + 2
