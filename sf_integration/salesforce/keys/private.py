"""Private keys as people give them: what comes in is an RSA key that can be used, or a sentence why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12

from ..errors import InvalidInput, InvalidPrivateKey
from ..secret import takes_secrets
from . import der, limits, mistakes
from .certificates import Certificate, certificates_in
from .pairs import MINIMUM_BITS, fingerprint, to_der
from .pem import Block
from .repair import Repaired, repair

PASSPHRASE_NEEDED, PASSPHRASE_WRONG = "passphrase_needed", "passphrase_wrong"
PASSPHRASE_CODES = (PASSPHRASE_NEEDED, PASSPHRASE_WRONG)
"""Codes of the errors that another passphrase can help."""

OPENSSH = "It was in OpenSSH's own form, which was turned into PKCS#8."
CERTIFICATE_TAKEN = "The certificate in the same file belongs to it and was taken too."
CERTIFICATE_LEFT = "The certificate in the same file belongs to another key and was left out."

_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
_OPENSSH_LABEL = "OPENSSH PRIVATE KEY"
_HOW_TO_MAKE = (
    "Give the private key file that was made together with the certificate (server.key in most tutorials)."
)
_UNREADABLE = (ValueError, TypeError, OverflowError, InternalError)
# id-dsa. Source: RFC 3279 section 2.3.2.
_DSA = bytes.fromhex("2a8648ce380401")
# keyBag and pkcs8ShroudedKeyBag. Source: RFC 7292 appendix D.
_KEY_BAGS = (bytes.fromhex("2a864886f70d010c0a0101"), bytes.fromhex("2a864886f70d010c0a0102"))


@dataclass(frozen=True)
class Taken:
    key: RSAPrivateKey = field(repr=False)
    certificate: Certificate | None
    """The one that lay in the same file, when it belongs to the key."""
    notes: tuple[str, ...]
    """What was repaired or left out, in sentences."""


@takes_secrets("data", "passphrase")
def read_private_key(data: bytes, passphrase: str | None = None) -> RSAPrivateKey:
    """As `take`, the key alone."""
    return take(data, passphrase).key


@takes_secrets("data", "passphrase")
def take(data: bytes, passphrase: str | None = None) -> Taken:
    """The proved RSA private key in `data`: PEM or DER, PKCS#1, PKCS#8, PKCS#12 or OpenSSH's, damaged as clipboards do.

    Raises InvalidPrivateKey with a sentence that names what was given instead; its code is one of PASSPHRASE_CODES when
    a passphrase is missing or wrong.
    """
    if len(data) > limits.LARGEST_INPUT:
        raise InvalidPrivateKey(
            "This is too large to be a private key: it has more than 64 KB.", remedy=_HOW_TO_MAKE
        )
    if passphrase and "\0" in passphrase:
        # The library would panic, with the passphrase in what it writes to standard error.
        raise _wrong_passphrase("private key")
    try:
        return _take(repair(data), passphrase)
    except BaseException as exc:
        # A bug in the library's Rust: no Exception to Python, and it would end the whole worker.
        if type(exc).__name__ == "PanicException":
            raise limits.damaged() from None
        raise


def _take(repaired: Repaired, passphrase: str | None) -> Taken:
    private = [block for block in repaired.blocks if block.is_private_key]
    if not private and der.version_of(repaired.der) == der.PKCS12_VERSION:
        found, certificates = _open_pkcs12(repaired.der, passphrase)
    else:
        found, certificates = _open(repaired, private, passphrase), _certificates(repaired)
    key = _proved(found)
    certificate, notes = _own(certificates, key)
    openssh = (OPENSSH,) if any(block.label == _OPENSSH_LABEL for block in private) else ()
    return Taken(key, certificate, (*repaired.notes, *openssh, *notes))


def _open(repaired: Repaired, private: Sequence[Block], passphrase: str | None) -> object:
    if private:
        return _open_block(_only(private), passphrase)
    if repaired.der:
        return _open_der(repaired.der, passphrase)
    raise _mistaken(mistakes.of_label(repaired.blocks[0].label) if repaired.blocks else repaired.mistake)


def _only(private: Sequence[Block]) -> Block:
    if (count := len({block.pem for block in private})) > 1:
        raise _several(count)
    return private[0]


def _open_block(block: Block, passphrase: str | None) -> object:
    if block.label == _OPENSSH_LABEL:
        return _open_openssh(block)
    if block.label not in _LABELS:
        raise _mistaken(mistakes.of_label(block.label))
    if block.is_traditionally_encrypted:
        return _open_traditional(block, _needed(passphrase))
    if block.is_encrypted_otherwise:
        raise _unsupported_encryption()
    return _open_der(block.body, passphrase)


def _open_der(data: bytes, passphrase: str | None) -> object:
    _refuse_dsa(der.algorithm_of(data) == _DSA)
    try:
        return serialization.load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        pass  # encrypted
    except UnsupportedAlgorithm as exc:
        raise _unsupported() from exc
    except _UNREADABLE as exc:
        # OpenSSL's own text is left out everywhere here: it can quote what it read.
        what = mistakes.of_der(data)
        raise (_mistaken(what) if what else limits.damaged()) from exc
    words = _needed(passphrase)
    limits.require_modest_work(data)
    limits.require_modest_size(data)
    try:
        return serialization.load_der_private_key(data, words.encode(), unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as exc:
        raise _unsupported_encryption() from exc
    except _UNREADABLE as exc:
        # Its word for a cipher that it lacks; of a wrong passphrase it says `Incorrect`.
        unknown = str(exc).startswith("Unknown")
        raise (_unsupported_encryption() if unknown else _wrong_passphrase("private key")) from exc


def _open_traditional(block: Block, passphrase: str) -> object:
    try:
        return serialization.load_pem_private_key(
            block.pem, passphrase.encode(), unsafe_skip_rsa_key_validation=True
        )
    except UnsupportedAlgorithm as exc:
        raise _unsupported_encryption() from exc
    except _UNREADABLE as exc:
        raise _wrong_passphrase("private key") from exc


def _open_openssh(block: Block) -> object:
    """Without a passphrase only: how hard such a key is to open can't be bounded."""
    try:
        return serialization.load_ssh_private_key(block.pem, None, unsafe_skip_rsa_key_validation=True)
    except TypeError as exc:
        raise InvalidPrivateKey(
            "This is a key in OpenSSH's own form, protected by a passphrase.",
            remedy="Turn it into PEM: “ssh-keygen -p -m PEM -f FILE”; a passphrase may stay.",
        ) from exc
    except UnsupportedAlgorithm as exc:
        raise _unsupported() from exc
    except _UNREADABLE as exc:
        raise limits.damaged() from exc


def _open_pkcs12(data: bytes, passphrase: str | None) -> tuple[object, list[Certificate]]:
    limits.require_modest_work(data)
    limits.require_modest_parts(data)
    named = [content for level in der.groups(data) for tag, content in level if tag == der.OBJECT_ID]
    _refuse_dsa(_DSA in named)
    if (bags := sum(each in _KEY_BAGS for each in named)) > 1:
        raise _several(bags)
    found = _load_pkcs12(data, passphrase)
    if found.key is None:
        raise InvalidPrivateKey(
            "This PKCS#12 file holds no private key, only certificates.",
            remedy="Export it again together with the private key.",
        )
    given = [found.cert, *found.additional_certs]
    pems = [each.certificate.public_bytes(serialization.Encoding.DER) for each in given if each]
    return found.key, [each for pem in pems for each in _certificates(Repaired((), pem, "", ()))]


def _load_pkcs12(data: bytes, passphrase: str | None) -> pkcs12.PKCS12KeyAndCertificates:
    """With the passphrase, else without any: files differ in what that means."""
    failure: BaseException | None = None
    for words in ([passphrase.encode(errors="replace")] if passphrase else []) + [None, b""]:
        try:
            return pkcs12.load_pkcs12(data, words)
        except UnsupportedAlgorithm as exc:
            raise _unsupported_encryption() from exc
        except _UNREADABLE as exc:
            failure = exc
    if passphrase:
        raise _wrong_passphrase("PKCS#12 file, or the file is damaged") from failure
    raise InvalidPrivateKey(
        "This PKCS#12 file is protected by a passphrase, or damaged.",
        remedy="Give the passphrase too; it is used once and not kept.",
        code=PASSPHRASE_NEEDED,
    ) from failure


def _proved(key: object) -> RSAPrivateKey:
    """The same key after OpenSSL's proof, which is bought only for a size that can be afforded."""
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise InvalidPrivateKey(
            f"This is a key of kind {kind}, not RSA.",
            remedy="Salesforce's JWT Bearer Flow takes RSA keys only: make one of 2048 bits or more.",
        )
    if key.key_size < MINIMUM_BITS:
        raise InvalidPrivateKey(
            f"This RSA key has {key.key_size} bits; at least {MINIMUM_BITS} are needed.",
            remedy="Make a new key pair of 2048 bits or more and upload its certificate.",
        )
    if key.key_size > limits.LARGEST_BITS:
        raise InvalidPrivateKey(
            f"This RSA key has {key.key_size} bits; more than {limits.LARGEST_BITS} take too long to work with.",
            remedy="Make a new key pair of 2048 to 4096 bits and upload its certificate.",
        )
    try:
        return cast("RSAPrivateKey", serialization.load_der_private_key(to_der(key), None))
    except (*_UNREADABLE, UnsupportedAlgorithm) as exc:
        raise InvalidPrivateKey(
            "The numbers in this private key don't belong together: it is damaged.", remedy=_HOW_TO_MAKE
        ) from exc


def _certificates(repaired: Repaired) -> list[Certificate]:
    """Those in the same file. What can't be read is no reason to refuse the key."""
    with suppress(InvalidInput):
        return certificates_in(repaired)
    return []


def _own(
    certificates: Iterable[Certificate], key: RSAPrivateKey
) -> tuple[Certificate | None, tuple[str, ...]]:
    found = list(certificates)
    own = next((each for each in found if each.public_key_fingerprint == fingerprint(key)), None)
    if own:
        return own, (CERTIFICATE_TAKEN,)
    return None, (CERTIFICATE_LEFT,) if found else ()


def _refuse_dsa(is_dsa: bool) -> None:
    """Before the library loads one: it then works out the public half, for minutes if the numbers are large."""
    if is_dsa:
        raise _mistaken("a DSA key")


def _needed(passphrase: str | None) -> str:
    if passphrase:
        return passphrase
    raise InvalidPrivateKey(
        "The private key is protected by a passphrase.",
        remedy="Give the passphrase too; it is used once and not kept.",
        code=PASSPHRASE_NEEDED,
    )


def _mistaken(what: str) -> InvalidPrivateKey:
    if what == mistakes.EMPTY:
        return InvalidPrivateKey("This is not a private key: it is empty.", remedy=_HOW_TO_MAKE)
    cause = f"This is {what}, not an RSA private key." if what else "This is not a private key."
    return InvalidPrivateKey(cause, remedy=mistakes.WAYS_OUT.get(what, _HOW_TO_MAKE))


def _several(count: int) -> InvalidPrivateKey:
    return InvalidPrivateKey(
        f"There are {count} private keys in it, and nobody can tell which one is meant.",
        remedy="Give the one whose certificate was uploaded to Salesforce, alone.",
    )


def _unsupported() -> InvalidPrivateKey:
    return InvalidPrivateKey("This is a private key of a kind that can't be used here.", remedy=_HOW_TO_MAKE)


def _unsupported_encryption() -> InvalidPrivateKey:
    return InvalidPrivateKey(
        "The private key is encrypted in a way that can't be read here.",
        remedy="Encrypt it anew, or take the passphrase off, with “openssl pkcs8”.",
    )


def _wrong_passphrase(of_what: str) -> InvalidPrivateKey:
    return InvalidPrivateKey(
        f"The passphrase does not open this {of_what}.",
        remedy="Check the passphrase.",
        code=PASSPHRASE_WRONG,
    )
