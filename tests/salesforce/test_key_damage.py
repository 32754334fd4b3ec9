"""Whatever was done to a key on its way here: it is repaired to the same key pair, or refused with a sentence."""

from __future__ import annotations

import base64
import json
import os
import random
import re
from collections.abc import Callable
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sf_integration.salesforce import keys
from sf_integration.salesforce.errors import InvalidInput, InvalidPrivateKey
from sf_integration.salesforce.keys import private, repair

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, PKCS1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PASSPHRASE = "mössy lantern"
RANDOM_STRINGS = int(os.environ.get("SF_TEST_RANDOM_KEYS", "500"))
"""More by the environment, for a long run."""


@cache
def key(bits: int) -> RSAPrivateKey:
    return keys.make_key(bits)


@cache
def certificate(bits: int) -> x509.Certificate:
    made = keys.make_certificate(key(bits), common_name="damage")
    return x509.load_pem_x509_certificate(made.pem.encode())


def written(
    bits: int, encoding: serialization.Encoding, form: serialization.PrivateFormat, locked: bool
) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(PASSPHRASE.encode()) if locked else serialization.NoEncryption()
    )
    return key(bits).private_bytes(encoding, form, encryption)


def in_pkcs12(bits: int, locked: bool) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(PASSPHRASE.encode()) if locked else serialization.NoEncryption()
    )
    return pkcs12.serialize_key_and_certificates(b"damage", key(bits), certificate(bits), None, encryption)


FORMS: dict[str, Callable[[int], bytes]] = {
    "PKCS#8": lambda bits: written(bits, PEM, PKCS8, False),
    "PKCS#1": lambda bits: written(bits, PEM, PKCS1, False),
    "PKCS#8 locked": lambda bits: written(bits, PEM, PKCS8, True),
    "PKCS#1 locked": lambda bits: written(bits, PEM, PKCS1, True),
    "PKCS#8 DER": lambda bits: written(bits, DER, PKCS8, False),
    "PKCS#1 DER": lambda bits: written(bits, DER, PKCS1, False),
    "PKCS#8 DER locked": lambda bits: written(bits, DER, PKCS8, True),
    "PKCS#12": lambda bits: in_pkcs12(bits, False),
    "PKCS#12 locked": lambda bits: in_pkcs12(bits, True),
}


@cache
def valid(form: str, bits: int) -> bytes:
    return FORMS[form](bits)


# ---- damage that can be undone --------------------------------------------------------------------------------------

MAIL = "Hi Jo,\n\nhere is what you asked for:\n\n"
GREETING = "\n\nBest regards\n-- \nSam, Platform, “always on”\n"
EN_DASH = "\u2013"
ON_TEXT: dict[str, Callable[[str], str]] = {
    r"\n": lambda text: text.replace("\n", r"\n"),
    r"\r\n": lambda text: text.replace("\n", r"\r\n"),
    r"\\n": lambda text: text.replace("\n", r"\\n"),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "one line": lambda text: text.replace("\n", ""),
    "blanks for line breaks": lambda text: text.replace("\n", " "),
    "double quotes": lambda text: f'"{text}"',
    "single quotes": lambda text: f"'{text}'",
    "typographic quotes": lambda text: f"“{text}”",
    "backticks": lambda text: f"```\n{text}\n```\n",
    "mail": lambda text: f"{MAIL}{text}{GREETING}",
    "quoted mail": lambda text: MAIL + re.sub("^", "> ", text, flags=re.MULTILINE) + GREETING,
    "variable": lambda text: f"SF_PRIVATE_KEY={text}",
    "YAML": lambda text: "key: |\n" + re.sub("^", "    ", text, flags=re.MULTILINE),
    "JSON": lambda text: json.dumps({"type": "service", "private_key": text, "n": 1}),
    "bag attributes": lambda text: f"Bag Attributes\n    friendlyName: acme\nKey Attributes: <None>\n{text}",
    "certificate behind": lambda text: f"{text}\n{certificate(2048).public_bytes(PEM).decode()}",
    "hard blanks": lambda text: text.replace(" ", "\u00a0"),
    "typographic dashes": lambda text: text.replace("-----", 5 * EN_DASH),
    "text of a whole number of triples": lambda text: text + "\n" * (-len(text.encode()) % 3),
    "merged dashes": lambda text: text.replace("-----", 2 * "\u2014" + "-"),
    "zero width": lambda text: text.replace("\n", "\u200b\n"),
    "blank lines": lambda text: f"\n \n{text}\n\n\n",
    "blanks at line ends": lambda text: text.replace("\n", "  \n"),
}
LAST: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without mark": lambda text: text.encode("utf-16-le"),
}
PACK: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64 in lines": lambda data: base64.encodebytes(data).decode(),
    "urlsafe base64": lambda data: base64.urlsafe_b64encode(data).decode(),
    "urlsafe base64, not padded": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
}
DAMAGE = st.lists(st.sampled_from([*ON_TEXT, *PACK]), min_size=1, max_size=4).filter(
    lambda chosen: sum(name in PACK for name in chosen) <= 2
)


def damaged(data: bytes, chosen: list[str], last: str) -> bytes:
    """Text is damaged as text; DER becomes text by base64 only, and other damage before that passes it by."""
    now: str | bytes = data if data.startswith(b"\x30") else data.decode()
    for name in chosen:
        if name in PACK:
            now = PACK[name](now if isinstance(now, bytes) else now.encode())
        elif isinstance(now, str):
            now = ON_TEXT[name](now)
    return now if isinstance(now, bytes) else LAST[last](now)


KEYS = {"form": st.sampled_from(list(FORMS)), "bits": st.sampled_from([2048, 3072])}
CHOSEN = {"chosen": DAMAGE, "last": st.sampled_from(list(LAST))}


@settings(max_examples=300, deadline=None)
@given(**KEYS, **CHOSEN)
@example("PKCS#1 locked", 2048, ["one line", "JSON", "base64", "base64"], "UTF-16")
@example("PKCS#8 DER", 2048, ["base64", "certificate behind"], "UTF-8")
@example("PKCS#8 locked", 2048, ["base64 in lines", "CRLF", r"\n"], "UTF-8 with mark")
@example(
    "PKCS#1", 2048, ["typographic dashes", "text of a whole number of triples", "base64", "mail"], "UTF-8"
)
def test_any_damage_combined_is_undone_to_the_last_byte(form, bits, chosen, last):
    whole = valid(form, bits)
    found = repair.repair(damaged(whole, chosen, last))
    blocks = [block.pem for block in found.blocks if block.is_private_key]
    assert (blocks or [found.der]) == [whole]


@settings(max_examples=12, deadline=None)
@given(**KEYS, **CHOSEN)
def test_any_damaged_key_is_read_as_the_same_key_pair(form, bits, chosen, last):
    taken = keys.take(damaged(valid(form, bits), chosen, last), PASSPHRASE)
    assert keys.fingerprint(taken.key) == keys.fingerprint(key(bits))


@settings(max_examples=200, deadline=None)
@given(**CHOSEN)
def test_certificates_are_repaired_from_the_same_damage(chosen, last):
    pem = certificate(2048).public_bytes(PEM)
    found = keys.read_certificate(damaged(pem, chosen, last))
    assert found.public_key_fingerprint == keys.fingerprint(key(2048))


NOTED = {
    r"\n": repair.ESCAPES,
    "CRLF": repair.LINE_ENDS,
    "one line": "It stood on one line; its line breaks were restored.",
    "double quotes": "Quotation marks around it were taken off.",
    "mail": "Text around it was left out.",
    "base64": repair.BASE64,
    "typographic dashes": repair.TYPOGRAPHY,
    "YAML": "Blanks and marks at its lines were taken off.",
}


@pytest.mark.parametrize(("name", "note"), NOTED.items(), ids=NOTED)
def test_what_was_repaired_is_told(name, note):
    assert note in keys.take(damaged(valid("PKCS#8", 2048), [name], "UTF-8")).notes


@pytest.mark.parametrize(
    ("last", "note"), [("UTF-8 with mark", repair.BYTE_ORDER_MARK), ("UTF-16", repair.UTF_16)]
)
def test_the_encoding_that_was_undone_is_told(last, note):
    assert keys.take(damaged(valid("PKCS#8", 2048), [], last)).notes == (note,)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_told_of_a_key_in_good_order(form):
    told = keys.take(valid(form, 2048), PASSPHRASE).notes
    assert told == (() if "12" not in form else (private.CERTIFICATE_TAKEN,))


def test_a_missing_end_is_added_only_when_nothing_else_is_missing():
    pem = valid("PKCS#8", 2048)
    end = pem.index(b"-----END")
    assert keys.take(pem[:end]).notes == ("Its missing END line was added.",)
    assert keys.take(pem[: end + 12]).key
    assert keys.take(pem.replace(b"KEY-----\n", b"KEY\n", 1)).notes
    with pytest.raises(InvalidPrivateKey, match="cut off"):
        keys.take(pem[: end - 30])


# ---- damage that can't ----------------------------------------------------------------------------------------------


def refused_or_whole(data: bytes, passphrase: str | None = None) -> None:
    """Anything but these two errors is a crash of the page."""
    told = "."
    try:
        found = keys.read_private_key(data, passphrase)
        told += "" if 2048 <= found.key_size <= 8192 else "a key of a wrong size"
    except InvalidPrivateKey as error:
        told += error.cause + error.remedy
    try:
        keys.read_certificate(data)
    except InvalidInput as error:
        told += str(error)
    assert told.endswith(".")


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=400), passphrase=st.one_of(st.none(), st.text(max_size=5)))
@example(b"\x30\x80\x30\x80", None)
@example(b"\x30\x84\xff\xff\xff\xff", "x")
@example(b"\xff\xfe\x00", None)
@example(b"-----BEGIN PRIVATE KEY-----", None)
@example(
    b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END",
    "x",
)
@example(b"{" * 60_000, None)
@example(b"[" * 60_000, None)
def test_bytes_found_by_search_raise_nothing_else(data, passphrase):
    refused_or_whole(data, passphrase)


def random_strings(count: int, seed: int) -> list[bytes]:
    """Some of pure chance, most of chance within something valid: cut, swapped, repeated, put together, relabelled."""
    chance = random.Random(seed)
    sources = [valid(form, 2048) for form in FORMS] + [certificate(2048).public_bytes(PEM), b""]
    made = []
    for number in range(count):
        data = bytearray(chance.choice(sources))
        if number % 4 == 0:
            data = bytearray(chance.randbytes(chance.randrange(300)))
        for turn in range(chance.randrange(1, 6)):
            at, length = chance.randrange(len(data) + 1), chance.randrange(1, 40)
            what = chance.randrange(6 if turn else 3)  # the first does harm, so that few proofs are paid for
            if what == 0:
                data = data[:at]
            elif what == 1:
                data[at : at + length] = chance.randbytes(length)
            elif what == 2:
                del data[at : at + length]
            elif what == 3:
                data[at:at] = data[at : at + length]
            elif what == 4:
                data += chance.choice(sources)[chance.randrange(200) :]
            else:
                label = "".join(chance.choices("ABCDEFGHIKLNOPRSTVY ", k=chance.randrange(1, 30)))
                data[at:at] = f"-----BEGIN {label}-----\n".encode()
        made.append(bytes(data))
    return made


def test_thousands_of_random_strings_raise_nothing_else():
    for data in random_strings(RANDOM_STRINGS, seed=6):
        refused_or_whole(data, PASSPHRASE)
