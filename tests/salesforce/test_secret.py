"""What holds a secret behaves like text or bytes, and shows itself nowhere. What pages and trackers show: `test_frames.py`."""

from __future__ import annotations

import copy
import operator
import pickle
import traceback
from typing import Any

import pytest

from sf_integration.salesforce.secret import Secret, SecretBytes, hidden, takes_secrets

TEXT = "planted-ü"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(Secret(TEXT), "<secret of 9 characters>"), (SecretBytes(TEXT.encode()), "<secret of 10 bytes>")],
)
def test_only_its_length_is_shown_and_it_is_copied_but_not_pickled(secret: Any, shown: str) -> None:
    assert repr([secret]) == f"[{shown}]"
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match=r"^A secret is not pickled:.*ask for a token themselves\.$"):
            pickle.dumps(secret, protocol)


def test_a_secret_stays_one_in_another_encoding() -> None:
    for encoding in ("utf-8", "latin-1"):
        made = Secret(TEXT).encode(encoding)
        assert (type(made), bytes(made)) == (SecretBytes, TEXT.encode(encoding))
        back = made.decode(encoding)
        assert (type(back), str(back)) == (Secret, TEXT)
    assert bytes(Secret(TEXT).encode()) == TEXT.encode()
    assert str(SecretBytes(TEXT.encode()).decode()) == TEXT
    assert bytes(Secret(TEXT).encode("ascii", "replace")) == b"planted-?"
    assert str(SecretBytes(b"planted-\xff").decode("ascii", "ignore")) == "planted-"
    with pytest.raises(UnicodeEncodeError):
        Secret(TEXT + "\ud800").encode()
    with pytest.raises(UnicodeDecodeError):
        SecretBytes(b"\xff").decode()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("text", Secret),
        (b"bytes", SecretBytes),
        (bytearray(b"array"), SecretBytes),
        (None, type(None)),
        (7, int),
    ],
)
def test_text_and_bytes_are_hidden_and_all_else_is_left(given: Any, kind: type) -> None:
    assert type(hidden(given)) is kind
    assert hidden(given) == given


@takes_secrets("secret", "more")
def work(name: str, secret: str, more: bytes | None = None, *, fail: bool = False) -> list[Any]:
    """Of use."""
    found = [name, secret, more]
    if fail:
        refuse(secret)
    return found


def refuse(secret: str) -> None:
    try:
        int(secret)
    except ValueError as behind:
        raise LookupError("no good") from behind


def test_the_named_arguments_arrive_as_secrets_however_they_are_given() -> None:
    for made in (work("acme", TEXT, b"more"), work(more=b"more", secret=TEXT, name="acme")):
        assert made == ["acme", TEXT, b"more"]
        assert [type(each) for each in made] == [str, Secret, SecretBytes]
    assert work("acme", TEXT)[2] is None
    assert (work.__name__, work.__doc__) == ("work", "Of use.")


def test_what_is_raised_within_comes_without_frames_and_what_was_behind_it() -> None:
    with pytest.raises(LookupError, match="no good") as raised:
        work("acme", TEXT, fail=True)
    error = raised.value
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert "work" not in frames
    assert error.__cause__ is None
    assert error.__context__ is None
    (note,) = error.__notes__
    first, *frames = note.split("\n  File ")
    assert first == "Raised in (variables are left out):"
    assert ["in work\n" in frame for frame in frames] == [True, False]
    assert frames[1].endswith('in refuse\n    raise LookupError("no good") from behind\n')
    assert TEXT not in "".join(traceback.format_exception(error))


def test_a_wrong_call_is_told_without_what_was_given() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'name'") as raised:
        work(secret=TEXT)  # type: ignore[call-arg]
    shown = [frame.f_locals for frame, _ in traceback.walk_tb(raised.value.__traceback__)][1:]
    assert TEXT not in repr(shown)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_an_error_without_frames_below_gets_no_note() -> None:
    with pytest.raises(TypeError, match="'Secret' object cannot be interpreted") as raised:
        takes_secrets("a")(operator.index)(TEXT)  # type: ignore[arg-type]
    assert not hasattr(raised.value, "__notes__")
