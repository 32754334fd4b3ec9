"""Bounds of the work that what somebody uploads may cause. Encrypted keys say themselves how hard they are to open.

What a PKCS#12 file hides inside one of its encrypted parts can't be seen before it is opened. The bound on their size
bounds the size of such a key, not the rounds that one asks for which is encrypted once more in there: such a file, which
nobody makes but to do harm, takes minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidPrivateKey
from . import der

LARGEST_INPUT = 64 * 1024
"""Bytes. Keys and certificates have a few thousand."""
LARGEST_BITS = 8192
"""The proof of a key of that size takes 7 s, of one of 16384 bits 50 s."""
MOST_ROUNDS = 2_000_000
"""Of key derivation, in all; about half a second. OpenSSL writes 2048, the highest that is recommended is 1.4 million."""
MOST_SCRYPT = 2**20
"""N * r * p, which is 128 bytes of memory each; OpenSSL writes 2^17."""
LARGEST_SEALED_PART = 6 * 1024
"""Bytes of an encrypted part of a PKCS#12 file: a key of LARGEST_BITS has 4.8 KB."""


def require_modest_work(data: bytes) -> None:
    """Raise InvalidPrivateKey for an encrypted key that would block the process for long. `data` is DER."""
    try:
        levels = list(der.groups(data))
    except der.Malformed as exc:
        raise damaged() from exc
    work = [_work(level) for level in levels]
    if sum(rounds for rounds, _ in work) > MOST_ROUNDS or sum(scrypt for _, scrypt in work) > MOST_SCRYPT:
        raise InvalidPrivateKey(
            "The private key is encrypted so that opening it would take too much time or memory.",
            remedy="Encrypt it anew with the defaults of “openssl pkcs8 -topk8”, and give that file.",
        )


def require_modest_size(data: bytes) -> None:
    """The same for an encrypted key, in which a huge one of another kind could lie."""
    if len(data) > LARGEST_SEALED_PART:
        raise InvalidPrivateKey(
            f"This private key is larger than one of {LARGEST_BITS} bits is.",
            remedy="Make a new key pair of 2048 to 4096 bits and upload its certificate.",
        )


def require_modest_parts(data: bytes) -> None:
    """The same for the encrypted parts of a PKCS#12 file, in which a huge key could lie."""
    for level in der.groups(data):
        for value in level:
            if len(value[1]) > LARGEST_SEALED_PART and not der.holds_values(value):
                raise InvalidPrivateKey(
                    "This PKCS#12 file is larger than one with a key and its certificate is.",
                    remedy="Export the private key and its own certificate only, without the chain.",
                )


def damaged() -> InvalidPrivateKey:
    return InvalidPrivateKey(
        "The private key can't be read: it is damaged or cut off.",
        remedy="Give the private key file that was made together with the certificate (server.key in most tutorials), "
        "whole, from its BEGIN line to its END line.",
    )


def _work(level: Sequence[der.Value]) -> tuple[int, int]:
    """Rounds and scrypt cost asked for: a salt (OCTET STRING) with the numbers behind it, as all these schemes have it."""
    rounds = scrypt = 0
    for place, (tag, _) in enumerate(level):
        if tag != der.OCTETS:
            continue
        numbers = _numbers_behind(level, place)
        if len(numbers) >= 3:
            scrypt += numbers[0] * numbers[1] * numbers[2]
        elif numbers:
            rounds += numbers[0]
    return rounds, scrypt


def _numbers_behind(level: Sequence[der.Value], place: int) -> list[int]:
    numbers = []
    for tag, content in level[place + 1 :]:
        if tag != der.INTEGER:
            break
        numbers.append(int.from_bytes(content, "big"))
    return numbers
