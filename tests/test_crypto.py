from __future__ import annotations

import base64
import hashlib
import hmac
import os
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_integration import crypto
from sf_integration.crypto import Keyring, MalformedKey, Tampered, UnknownKey

OLD, NEW = os.urandom(32), os.urandom(32)
CONTEXT = "sf_integration.signingkey.private_key.6f1c"


def ring(*keys: bytes) -> Keyring:
    return Keyring(keys)


@given(st.binary(max_size=5000), st.text(max_size=100))
def test_what_is_sealed_opens_again(secret, context):
    assert ring(NEW).open(ring(NEW).seal(secret, context), context) == secret


def test_the_same_secret_never_looks_the_same():
    assert len({ring(NEW).seal(b"secret", CONTEXT) for _ in range(100)}) == 100


def test_every_character_of_a_ciphertext_is_kept():
    """Whichever it ends with: 600 of a length without padding end with each of the 64."""
    sealed = [ring(NEW).seal(b"12", CONTEXT) for _ in range(600)]
    assert {len(stored) for stored in sealed} == {len("v1.12345678.") + 40}
    assert {ring(NEW).open(stored, CONTEXT) for stored in sealed} == {b"12"}


def test_the_stored_form_tells_its_key_and_nothing_else():
    version, key_id, encoded = ring(NEW).seal(b"planted secret", CONTEXT).split(".")
    assert (version, key_id) == ("v1", hashlib.sha256(NEW).hexdigest()[:8])
    raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    assert len(raw) == 12 + len(b"planted secret") + 16
    assert b"planted" not in raw


@pytest.mark.parametrize(
    "context",
    [
        "",
        "sf_integration.signingkey.private_key.6f1d",
        "sf_integration.accesstoken.value.6f1c",
        CONTEXT + "0",
    ],
)
def test_a_ciphertext_moved_elsewhere_does_not_open(context):
    with pytest.raises(Tampered):
        ring(NEW).open(ring(NEW).seal(b"secret", CONTEXT), context)


@given(st.data())
def test_one_changed_bit_is_noticed(data):
    stored = ring(NEW).seal(b"secret", CONTEXT)
    head, _, encoded = stored.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    changed = f"{head}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"
    with pytest.raises(Tampered):
        ring(NEW).open(changed, CONTEXT)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        "v1",
        "v1..",
        "v1.12345678",
        "v2.12345678.AAAA",
        "v1.1234.AAAA",
        "planted clear text",
    ],
)
def test_what_is_no_stored_value_is_told_as_damaged(stored):
    with pytest.raises(Tampered, match=r"^the stored value is not of the known form$"):
        ring(NEW).open(stored, CONTEXT)


@pytest.mark.parametrize("rest", ["", "AAAA", "A.B", "ä", "A" * 1_000_000])
def test_what_an_unknown_key_has_sealed_is_told_by_the_beginning_alone(rest):
    """As databases tell it: they find the rows of a key without opening any."""
    with pytest.raises(UnknownKey) as caught:
        ring(NEW).open(f"v1.12345678.{rest}", CONTEXT)
    assert caught.value.key_id == "12345678"


@given(st.binary(max_size=5000))
def test_sealed_values_are_known_by_their_form(secret):
    assert crypto.is_sealed(ring(NEW).seal(secret, CONTEXT))


@pytest.mark.parametrize(
    "text",
    ["", "planted", "v1.12345678.", "v1.12345678.AAAA", "v1.1234567g." + "A" * 60, "v1.12345678." + "A" * 37,
     "v1.12345678." + "A" * 37 + "=", "v1.12345678." + "A" * 60 + "\n", " v1.12345678." + "A" * 60,
     "v1.12345678." + "ä" * 60, "v1.PLANTED!." + "A" * 60, "v1.12345678.-----BEGIN PRIVATE KEY-----" + "A" * 60],
)  # fmt: skip
def test_clear_text_never_has_the_form_of_a_sealed_value(text):
    assert not crypto.is_sealed(text)


@pytest.mark.parametrize(
    "encoded", ["", "A", "AAAA", "!!!!", "ä", "A" * 15, "A" * 16, "A" * 40, "A b=", "=" * 8]
)
def test_a_stored_value_that_is_cut_or_garbled_is_told_as_damaged(encoded):
    with pytest.raises(Tampered, match=r"^the stored value is damaged or belongs to another row$"):
        ring(NEW).open(f"v1.{crypto.key_id(NEW)}.{encoded}", CONTEXT)


def test_a_stored_value_with_stray_characters_inside_does_not_open():
    stored = ring(NEW).seal(b"secret", CONTEXT)
    with pytest.raises(Tampered):
        ring(NEW).open(stored[:20] + "!!!!" + stored[20:], CONTEXT)


def test_after_a_rotation_the_first_key_seals_and_both_open():
    before = ring(OLD).seal(b"secret", CONTEXT)
    rotated = ring(NEW, OLD)
    assert rotated.open(before, CONTEXT) == b"secret"
    assert crypto.key_id_of(rotated.seal(b"secret", CONTEXT)) == crypto.key_id(NEW)
    with pytest.raises(UnknownKey) as caught:
        ring(NEW).open(before, CONTEXT)
    assert caught.value.key_id == crypto.key_id(OLD)


def test_without_a_key_nothing_is_sealed():
    with pytest.raises(UnknownKey) as caught:
        ring().seal(b"secret", CONTEXT)
    assert caught.value.key_id == "(none)"


@pytest.mark.parametrize("pad", [True, False])
def test_keys_are_read_with_and_without_padding(pad):
    text = base64.urlsafe_b64encode(NEW).decode()
    assert Keyring.from_text([f" {text if pad else text.rstrip('=')}\n"]).keys == (NEW,)


def test_a_new_key_can_be_used():
    assert len(Keyring.from_text([crypto.new_key()]).keys[0]) == 32
    assert crypto.new_key() != crypto.new_key()


@pytest.mark.parametrize(
    "text",
    ["", "planted", "planted!" * 6, "planted" + "ä" * 36, base64.urlsafe_b64encode(b"x" * 31).decode(),
     base64.urlsafe_b64encode(b"x" * 33).decode(), "0" * 64, "A" * 45],
)  # fmt: skip
def test_a_malformed_key_is_named_by_its_place_only(text):
    with pytest.raises(MalformedKey, match="encryption key 2 ") as caught:
        Keyring.from_text([crypto.new_key(), text])
    told = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__cause__)
    if text:
        assert text not in told
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_keyring_does_not_show_its_keys():
    shown = repr(ring(NEW, OLD))
    assert repr(NEW) not in shown
    assert NEW.hex() not in shown
    assert base64.urlsafe_b64encode(NEW).decode().rstrip("=") not in shown


def test_each_key_of_a_ring_shows_its_id_only():
    """As the variables of a traceback are shown."""
    [key] = ring(NEW).keys
    assert repr(key) == f"<encryption key {hashlib.sha256(NEW).hexdigest()[:8]}>"
    assert bytes(key) == NEW


def test_a_missing_key_is_told_by_its_id():
    with pytest.raises(
        UnknownKey, match=f"the encryption key with id {hashlib.sha256(OLD).hexdigest()[:8]} "
    ):
        ring(NEW).open(ring(OLD).seal(b"secret", CONTEXT), CONTEXT)


@pytest.mark.parametrize("given", [None, b"planted", 32])
def test_what_is_no_text_is_no_key(given):
    with pytest.raises(MalformedKey, match="encryption key 1 is not base64url"):
        Keyring.from_text([given])


@pytest.mark.parametrize("stray", ["!", "!!", " ", "\n", "\r\n", "é"])
def test_a_key_with_a_stray_character_inside_is_refused_rather_than_mended(stray):
    text = crypto.new_key()
    with pytest.raises(MalformedKey, match="encryption key 1 is not base64url"):
        Keyring.from_text([text[:20] + stray + text[20:]])


def test_fingerprints_tell_values_apart_and_depend_on_the_key():
    one, other = ring(NEW, OLD).fingerprints("token-1"), ring(NEW, OLD).fingerprints("token-2")
    assert len({*one, *other}) == 4
    assert ring(OLD).fingerprints("token-1") == one[1:]
    assert hashlib.sha256(b"token-1").hexdigest() not in one


def test_fingerprints_that_are_stored_stay_good():
    """Rows are found by those that earlier releases wrote."""
    made = hmac.new(NEW, b"fingerprint\0token-1", hashlib.sha256).hexdigest()
    assert ring(NEW).fingerprints("token-1") == [made]
