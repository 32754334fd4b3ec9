from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess
import time
import traceback

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from sf_integration.salesforce import keys
from sf_integration.salesforce.errors import ActionNeeded, InvalidInput, InvalidPrivateKey
from sf_integration.salesforce.keys import limits, pem, private, repair

from .conftest import app_certificate, app_key

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, PKCS1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PASSPHRASE = "planted-passphrase-ü"


def written(key=None, encoding=PEM, form=PKCS8, passphrase: str | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return (key or app_key()).private_bytes(encoding, form, encryption)


def certificate_der() -> bytes:
    return x509.load_pem_x509_certificate(app_certificate().encode()).public_bytes(DER)


def public(encoding=PEM, form=serialization.PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return app_key().public_key().public_bytes(encoding, form)


# Reading


@pytest.mark.parametrize("form", [PKCS8, PKCS1])
@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_keys_are_read_in_each_form(form, encoding, passphrase):
    if (form, encoding) == (PKCS1, DER) and passphrase:
        pytest.skip("there is no such form")
    data = written(encoding=encoding, form=form, passphrase=passphrase)
    assert keys.fingerprint(keys.read_private_key(data, passphrase)) == keys.fingerprint(app_key())


@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("passphrase", ["not needed", ""])
def test_a_passphrase_that_is_not_needed_does_no_harm(encoding, passphrase):
    assert keys.read_private_key(written(encoding=encoding), passphrase)


REPAIRS = {
    "literal \\n": lambda pem: pem.replace(b"\n", b"\\n"),
    "literal \\r\\n": lambda pem: pem.replace(b"\n", b"\\r\\n"),
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "CR": lambda pem: pem.replace(b"\n", b"\r"),
    "byte order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "double quotes": lambda pem: b'"' + pem + b'"',
    "single quotes and literal \\n": lambda pem: b"'" + pem.replace(b"\n", b"\\n") + b"'\n",
    "blanks around": lambda pem: b"\n\n  " + pem + b"  \n\n",
    "no newline at the end": lambda pem: pem.rstrip(),
    "indented": lambda pem: b"\n".join(b"    " + line for line in pem.splitlines()),
    "text before": lambda pem: (
        b"Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n" + pem
    ),
    "certificate before": lambda pem: app_certificate().encode() + pem,
    "certificate behind": lambda pem: pem + app_certificate().encode(),
}


@pytest.mark.parametrize("repair", REPAIRS.values(), ids=REPAIRS)
@pytest.mark.parametrize(
    ("form", "passphrase"), [(PKCS8, None), (PKCS1, None), (PKCS8, PASSPHRASE), (PKCS1, PASSPHRASE)]
)
def test_what_editors_and_environments_do_to_pem_is_undone(repair, form, passphrase):
    data = repair(written(form=form, passphrase=passphrase))
    assert keys.fingerprint(keys.read_private_key(data, passphrase)) == keys.fingerprint(app_key())


# Bad input


def small_key() -> bytes:
    return written(rsa.generate_private_key(public_exponent=65537, key_size=1024))


def forged_key() -> bytes:
    """Numbers that do not belong together: only the proof notices."""
    numbers = app_key().private_numbers()
    return written(
        rsa.RSAPrivateNumbers(
            numbers.p,
            numbers.q,
            numbers.d + 2,
            numbers.dmp1,
            numbers.dmq1,
            numbers.iqmp,
            numbers.public_numbers,
        ).private_key(unsafe_skip_rsa_key_validation=True)
    )


OTHER_KEY = keys.make_key()


def huge() -> rsa.RSAPrivateKey:
    """Of two Mersenne primes: quickly made, slowly proved."""
    p, q = 2**9689 - 1, 2**9941 - 1
    d = pow(65537, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(65537, p * q)
    ).private_key(unsafe_skip_rsa_key_validation=True)


def huge_key() -> bytes:
    return written(huge())


def locked(rounds: int = 2048) -> serialization.KeySerializationEncryption:
    builder = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(rounds)
    return builder.build(PASSPHRASE.encode())


def certificate_of(key: rsa.RSAPrivateKey) -> x509.Certificate:
    return x509.load_pem_x509_certificate(keys.make_certificate(key, common_name="own").pem.encode())


def in_pkcs12(key=None, *, encryption=None, chain=None) -> bytes:
    key = key or app_key()
    own = None if key.key_size > 8192 else certificate_of(key)
    return pkcs12.serialize_key_and_certificates(
        b"x", key, own, chain, encryption or serialization.NoEncryption()
    )


def openssh_locked() -> bytes:
    """As `ssh-keygen` writes it, as far as it is read without a passphrase."""

    def text(data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data

    head = b"openssh-key-v1\0" + text(b"aes256-ctr") + text(b"bcrypt")
    salt = text(text(b"planted salt 016") + (16).to_bytes(4, "big"))
    numbers = app_key().public_key().public_numbers()
    public_half = text(b"ssh-rsa") + text(b"\1\0\1") + text(b"\0" + numbers.n.to_bytes(256, "big"))
    blob = head + salt + (1).to_bytes(4, "big") + text(public_half) + text(bytes(1120))
    lines = base64.encodebytes(blob)
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + lines + b"-----END OPENSSH PRIVATE KEY-----\n"


def certificates_only(encoding: serialization.Encoding) -> bytes:
    return pkcs7.serialize_certificates([certificate_of(app_key())], encoding)


def request() -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "planted")])
    return x509.CertificateSigningRequestBuilder(subject).sign(app_key(), keys.certificates.hashes.SHA256())


BAD = {
    "nothing": (lambda: b"", "not a private key"),
    "blanks": (lambda: b" \n", "not a private key"),
    "some text": (lambda: b"planted secret text", "not a private key"),
    "a web page": (lambda: b"<html>planted</html>", "a web page"),
    "a page in XML": (lambda: b"<RSAKeyValue>planted</RSAKeyValue>", "a web page or XML"),
    "a PDF": (lambda: b"%PDF-1.7 planted", "a PDF document"),
    "a ZIP": (lambda: b"PK\x03\x04planted", "a ZIP archive"),
    "a Java keystore": (lambda: b"\xfe\xed\xfe\xed\0\0\0\x02planted", "a Java keystore"),
    "a PuTTY key": (lambda: b"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n", "PuTTY's own form"),
    "a JWK": (lambda: json.dumps({"kty": "RSA", "d": "planted" * 40}).encode(), "a JSON Web Key"),
    "a JWT": (lambda: jwt.encode({"planted": "x" * 99}, written(), "RS256").encode(), "a signed token (JWT)"),
    "an access token": (lambda: b"00D5g000004FaKeEAA!AQplanted.token", "an access token"),
    "a consumer key": (lambda: b"3MVG9planted_consumer.key", "a consumer key"),
    "the address of a file": (lambda: b"https://acme.example/planted.key", "an address"),
    "a JSON file": (lambda: b'{"private_key": "planted"}', "not a private key"),
    "base64 of nothing known": (lambda: base64.b64encode(b"planted" * 99), "not a private key"),
    "a public key": (public, "a public key"),
    "an RSA public key": (lambda: public(form=serialization.PublicFormat.PKCS1), "a public key"),
    "a public key in DER": (lambda: public(DER), "a public key"),
    "an OpenSSH public key": (
        lambda: public(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        "an OpenSSH public key",
    ),
    "a locked OpenSSH private key": (openssh_locked, "OpenSSH's own form, protected by a passphrase"),
    "an SSH2 public key": (
        lambda: b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
        "a public key of SSH",
    ),
    "a PGP key": (
        lambda: b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n",
        "a PGP key",
    ),
    "a PKCS#7 file": (lambda: certificates_only(PEM), "a PKCS#7 file"),
    "a PKCS#7 file in DER": (lambda: certificates_only(DER), "a PKCS#7 file"),
    "a certificate request in DER": (lambda: request().public_bytes(DER), "a certificate request"),
    "a certificate": (lambda: app_certificate().encode(), "a certificate"),
    "a certificate in DER": (certificate_der, "a certificate"),
    "a certificate request": (
        lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "a certificate request",
    ),
    "an unknown label": (
        lambda: b"-----BEGIN SOMETHING ELSE-----\nAAAA\n-----END SOMETHING ELSE-----",
        "a PEM block of another kind",
    ),
    "an EC key": (lambda: written(ec.generate_private_key(ec.SECP256R1())), "kind EC"),
    "a traditional EC key": (
        lambda: written(ec.generate_private_key(ec.SECP256R1()), form=PKCS1),
        "elliptic-curve",
    ),
    "an Ed25519 key": (lambda: written(ed25519.Ed25519PrivateKey.generate()), "kind Ed25519"),
    "a traditional DSA key": (lambda: written(dsa.generate_private_key(1024), form=PKCS1), "a DSA key"),
    "RSA of 1024 bits": (small_key, "1024 bits"),
    "cut in the middle": (lambda: written()[:900], "damaged or cut off"),
    "without its end line": (lambda: written()[:-30], "damaged or cut off"),
    "one letter changed": (lambda: written()[:400] + b"!" + written()[401:], "damaged or cut off"),
    "numbers that do not belong together": (forged_key, "don't belong together"),
    "a huge key": (huge_key, "19630 bits; more than 8192"),
    "two private keys": (lambda: written() + written(OTHER_KEY), "2 private keys in it"),
    "a file of 65 KB": (lambda: written() + b"planted" * 10_000, "more than 64 KB"),
    "an empty block": (
        lambda: b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "damaged or cut off",
    ),
    "cut DER": (lambda: written(encoding=DER)[:500], "damaged or cut off"),
    "DER of zeros": (lambda: b"\x30\x81\x64" + bytes(100), "damaged or cut off"),
    "a PKCS#12 file without a key": (
        lambda: pkcs12.serialize_key_and_certificates(
            b"x", None, certificate_of(app_key()), None, serialization.NoEncryption()
        ),
        "no private key, only certificates",
    ),
    "a cut PKCS#12 file": (lambda: in_pkcs12()[:-9], "damaged or cut off"),
    "a PKCS#12 file with a long chain": (
        lambda: in_pkcs12(chain=[certificate_of(OTHER_KEY)] * 12, encryption=locked()),
        "larger than one with a key and its certificate",
    ),
    "a PKCS#12 file with a huge key": (lambda: in_pkcs12(huge(), encryption=locked()), "larger than one"),
    "no passphrase, PKCS#12": (lambda: in_pkcs12(encryption=locked()), "protected by a passphrase"),
    "no passphrase": (lambda: written(passphrase=PASSPHRASE), "protected by a passphrase"),
    "no passphrase, traditional": (
        lambda: written(form=PKCS1, passphrase=PASSPHRASE),
        "protected by a passphrase",
    ),
    "no passphrase, DER": (lambda: written(encoding=DER, passphrase=PASSPHRASE), "protected by a passphrase"),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_bad_input_gets_a_sentence_that_names_it(make, words):
    data = make()
    with pytest.raises(InvalidPrivateKey) as caught:
        keys.read_private_key(data)
    assert words in caught.value.cause
    assert caught.value.remedy
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ActionNeeded)
    assert_tells_nothing_of(caught.value, data)


@pytest.mark.parametrize("make", [written, in_pkcs12], ids=["PEM", "PKCS#12"])
def test_a_key_of_openssh_and_one_in_pkcs12_are_taken(make):
    data = make() if make is in_pkcs12 else written(form=serialization.PrivateFormat.OpenSSH)
    assert keys.fingerprint(keys.take(data).key) == keys.fingerprint(app_key())


def test_the_certificate_in_the_same_file_is_taken_when_it_belongs_to_the_key():
    own, other = certificate_of(app_key()), certificate_of(OTHER_KEY)
    for data in (
        in_pkcs12(encryption=locked(), chain=[other]),
        written() + other.public_bytes(PEM) + own.public_bytes(PEM),
    ):
        taken = keys.take(data, PASSPHRASE)
        assert taken.certificate.public_key_fingerprint == keys.fingerprint(app_key())
        assert private.CERTIFICATE_TAKEN in taken.notes
    taken = keys.take(written() + other.public_bytes(PEM))
    assert (taken.certificate, taken.notes) == (None, (private.CERTIFICATE_LEFT,))


def test_a_wrong_passphrase_of_pkcs12_is_told_as_such():
    with pytest.raises(InvalidPrivateKey, match="does not open this PKCS#12") as caught:
        keys.take(in_pkcs12(encryption=locked()), "wrong")
    assert caught.value.code == private.PASSPHRASE_WRONG


# Encrypted keys that ask for more work than they are worth, put together byte by byte


def tlv(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content).to_bytes(4, "big").lstrip(b"\0")
    return (
        bytes([tag]) + (size or b"\0" if len(content) < 128 else bytes([0x80 + len(size)]) + size) + content
    )


def integer(number: int) -> bytes:
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def oid(hexed: str) -> bytes:
    return tlv(6, bytes.fromhex(hexed))


SALT = tlv(4, b"planted salt" * 8)
AES_256_CBC = tlv(0x30, oid("60864801650304012a"), tlv(4, bytes(16)))


def pkcs8(derivation: bytes) -> bytes:
    scheme = tlv(0x30, oid("2a864886f70d01050d"), tlv(0x30, derivation, AES_256_CBC))
    return tlv(0x30, scheme, tlv(4, bytes(1200)))


def by_pbkdf2(rounds: int) -> bytes:
    return pkcs8(tlv(0x30, oid("2a864886f70d01050c"), tlv(0x30, SALT, integer(rounds))))


def by_scrypt(cost: int, lanes: int = 1) -> bytes:
    numbers = (integer(cost), integer(8), integer(lanes))
    return pkcs8(tlv(0x30, oid("2b06010401da47040b"), tlv(0x30, SALT, *numbers)))


def by_mac(rounds: int, bag: bytes = b"") -> bytes:
    """PKCS#12: the rounds are those of its seal, or of a bag in it."""
    data = oid("2a864886f70d010701")
    safe = tlv(0x30, bag and tlv(0x30, data, tlv(0xA0, tlv(4, tlv(0x30, bag)))))
    digest = tlv(0x30, tlv(0x30, oid("608648016503040201"), b"\5\0"), tlv(4, bytes(32)))
    return tlv(
        0x30, integer(3), tlv(0x30, data, tlv(0xA0, tlv(4, safe))), tlv(0x30, digest, SALT, integer(rounds))
    )


SHROUDED = oid("2a864886f70d010c0a0102")


def by_bag(rounds: int, attribute: bytes = b"\5\0") -> bytes:
    attributes = tlv(0x31, tlv(0x30, oid("2a0304"), tlv(0x31, attribute)))
    return by_mac(2048, tlv(0x30, SHROUDED, tlv(0xA0, by_pbkdf2(rounds)), attributes))


def by_oddly_tagged_bag(rounds: int) -> bytes:
    """Its tag, which fits into one byte, is written in two; OpenSSL takes that."""
    bag = tlv(0x30, SHROUDED, tlv(0xA0, by_pbkdf2(rounds)))
    return by_mac(2048, b"\x3f\x10" + bag[1:])


def by_bag_in_pieces(rounds: int) -> bytes:
    data, bag = oid("2a864886f70d010701"), tlv(0x30, SHROUDED, tlv(0xA0, by_pbkdf2(rounds)))
    safe = tlv(0x30, bag)
    pieces = tlv(0x24, tlv(0x24, tlv(4, safe[:70]), tlv(4, safe[70:])))
    return tlv(
        0x30, integer(3), tlv(0x30, data, tlv(0xA0, tlv(4, tlv(0x30, tlv(0x30, data, tlv(0xA0, pieces))))))
    )


def without_length(data: bytes) -> bytes:
    """The outermost as BER writes it whose length is not known beforehand; OpenSSL reads that."""
    assert data[1] == 0x81
    return b"\x30\x80" + data[3:] + b"\0\0"


BOMBS = {
    "PBKDF2": (by_pbkdf2, 2048, 2**31 - 1),
    "scrypt": (by_scrypt, 2**14, 2**40),
    "scrypt in many lanes": (lambda lanes: by_scrypt(2**10, lanes), 1, 2**20),
    "seal of PKCS#12": (by_mac, 2048, 2**31 - 1),
    "bag of PKCS#12": (by_bag, 2048, 3_000_000),
    "bag beside what can't be read": (
        lambda rounds: by_bag(rounds, tlv(0x30, b"\xff\xff")),
        2048,
        3_000_000,
    ),
    "bag beside a long tag": (lambda rounds: by_bag(rounds, b"\x5f\x81\1\1\0"), 2048, 3_000_000),
    "bag with a long tag": (by_oddly_tagged_bag, 2048, 3_000_000),
    "bag in pieces of pieces": (by_bag_in_pieces, 2048, 3_000_000),
    "PKCS#12 without lengths": (lambda rounds: without_length(by_mac(rounds)), 2048, 2**31 - 1),
}


@pytest.mark.parametrize(("made", "usual", "absurd"), BOMBS.values(), ids=BOMBS)
def test_a_key_that_would_block_the_site_is_refused_at_once(made, usual, absurd):
    with pytest.raises(InvalidPrivateKey, match="does not open"):
        keys.take(made(usual), PASSPHRASE)
    began = time.perf_counter()
    with pytest.raises(InvalidPrivateKey, match="too much time or memory"):
        keys.take(made(absurd), PASSPHRASE)
    assert time.perf_counter() - began < 1


def test_lengths_left_open_within_each_other_are_not_looked_for_without_end():
    data = b"\x30\x80" * 60 + b"\4\0" * 32_000 + b"\0\0" * 60
    began = time.perf_counter()
    with pytest.raises(InvalidPrivateKey, match="damaged or cut off"):
        limits.require_modest_work(data)
    assert time.perf_counter() - began < 1


def test_as_many_rounds_as_are_recommended_are_no_trouble():
    assert keys.take(in_pkcs12(encryption=locked(600_000)), PASSPHRASE)


def large_dsa(bits: int = 32_000) -> bytes:
    """Quickly made; whoever loads it works out the public half."""
    numbers = tlv(0x30, integer(2**bits - 1), integer(2**bits - 3), integer(2))
    return tlv(0x30, integer(0), tlv(0x30, oid("2a8648ce380401"), numbers), tlv(4, integer(2**bits - 5)))


def test_a_large_key_of_another_kind_takes_no_time():
    bare = tlv(0x30, oid("2a864886f70d010c0a0101"), tlv(0xA0, large_dsa()))
    for data in (large_dsa(), by_mac(2048, bare)):
        began = time.perf_counter()
        with pytest.raises(InvalidPrivateKey, match="a DSA key"):
            keys.take(data, PASSPHRASE)
        assert time.perf_counter() - began < 1


def test_an_encrypted_key_that_could_hide_a_large_one_is_refused():
    with pytest.raises(InvalidPrivateKey, match="larger than one of 8192 bits"):
        keys.take(written(huge(), passphrase=PASSPHRASE), PASSPHRASE)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 65_000,
        "- " * 32_000,
        "-----BEGIN " + " " * 60_000,
        "A" * 65_000,
        "\\" * 65_000,
        "\\r" + "\\" * 65_000,
        "a." * 32_000,
    ],
    ids=["dashes", "dashes apart", "blanks", "letters", "backslashes", "backslashes behind r", "a name"],
)
def test_no_text_takes_long(text):
    for data in (text.encode(), b"-----BEGIN RSA PRIVATE KEY-----\n" + text.encode()[:65_000]):
        began = time.perf_counter()
        with pytest.raises(InvalidPrivateKey):
            keys.take(data)
        assert time.perf_counter() - began < 1


def test_a_bug_in_the_library_is_a_refusal_and_no_crash(monkeypatch):
    panic = type("PanicException", (BaseException,), {})
    monkeypatch.setattr(private, "repair", lambda data: (_ for _ in ()).throw(panic("planted")))
    with pytest.raises(InvalidPrivateKey, match="damaged") as caught:
        keys.take(written())
    assert_tells_nothing_of(caught.value, b"")


@pytest.mark.parametrize("form", [PKCS8, PKCS1])
def test_half_a_character_written_with_a_backslash_is_no_crash(form):
    text = written(form=form, passphrase=PASSPHRASE).replace(b"\n", b"\\n")
    for read in (keys.take, keys.read_certificate):
        with pytest.raises(InvalidInput if read is keys.read_certificate else InvalidPrivateKey):
            read(text[:300] + rb"\ud83d" + text[300:])


@pytest.mark.parametrize("passphrase", ["\0planted", "planted\0"])
def test_a_zero_byte_in_a_passphrase_does_not_reach_the_librarys_crash_report(capfd, passphrase):
    with pytest.raises(InvalidPrivateKey) as caught:
        keys.take(in_pkcs12(encryption=locked()), passphrase)
    assert caught.value.code == private.PASSPHRASE_WRONG
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("form", [PKCS8, PKCS1])
def test_a_wrong_passphrase_is_told_as_such(form, encoding):
    if (form, encoding) == (PKCS1, DER):
        pytest.skip("there is no such form")
    data = written(encoding=encoding, form=form, passphrase=PASSPHRASE)
    wrong = PASSPHRASE[::-1] + PASSPHRASE
    with pytest.raises(InvalidPrivateKey, match="passphrase does not open") as caught:
        keys.read_private_key(data, wrong)
    assert_tells_nothing_of(caught.value, data)


def assert_tells_nothing_of(error: BaseException, data: bytes) -> None:
    """Neither the text nor the chain, as a log shows it, holds a piece of what was given."""
    told = "".join(traceback.format_exception(error)) + repr(error.args) + repr(vars(error))
    assert "planted" not in told
    for line in data.decode("latin-1").replace("\\n", "\n").split():
        if len(line) >= 40:
            assert line not in told
            assert line[:40] not in told


def test_the_search_for_key_material_finds_some():
    data = written()
    with pytest.raises(AssertionError):
        assert_tells_nothing_of(ValueError(f"bad line {data.splitlines()[3].decode()}"), data)


# The real openssl


@pytest.fixture(scope="module")
def openssl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openssl")

    def run(*arguments: str) -> bytes:
        done = subprocess.run(
            ["openssl", *arguments], cwd=folder, capture_output=True, check=True, timeout=60
        )
        return done.stdout

    run("genrsa", "-out", "plain.key", "2048")
    run("req", "-x509", "-key", "plain.key", "-subj", "/CN=plain", "-days", "90", "-out", "plain.crt")
    return run, folder


OPENSSL_KEYS = {
    "PKCS#8": (("pkcs8", "-topk8", "-nocrypt", "-in", "plain.key"), None),
    "PKCS#8, encrypted": (("pkcs8", "-topk8", "-in", "plain.key", "-passout", "pass:word"), "word"),
    "PKCS#8, encrypted as in openssl 1.0": (
        ("pkcs8", "-topk8", "-v2", "des3", "-in", "plain.key", "-passout", "pass:word"),
        "word",
    ),
    "traditional": (("rsa", "-in", "plain.key", "-traditional"), None),
    "traditional, DES3": (
        ("rsa", "-in", "plain.key", "-traditional", "-des3", "-passout", "pass:word"),
        "word",
    ),
    "traditional, AES": (
        ("rsa", "-in", "plain.key", "-traditional", "-aes256", "-passout", "pass:word"),
        "word",
    ),
    "DER": (("rsa", "-in", "plain.key", "-outform", "DER"), None),
    "traditional DER": (("rsa", "-in", "plain.key", "-traditional", "-outform", "DER"), None),
    "genpkey": (("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"), None),
    "genpkey, encrypted": (
        ("genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:word"),
        "word",
    ),
    "genrsa, traditional": (("genrsa", "-traditional", "2048"), None),
    "genrsa, DES3": (("genrsa", "-des3", "-passout", "pass:word", "2048"), "word"),
    "genrsa, 3072": (("genrsa", "-aes128", "-passout", "pass:word", "3072"), "word"),
    "PKCS#8, scrypt": (
        ("pkcs8", "-topk8", "-scrypt", "-in", "plain.key", "-passout", "pass:word"),
        "word",
    ),
    "PKCS#8, 3DES of PKCS#12": (
        ("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-in", "plain.key", "-passout", "pass:word"),
        "word",
    ),
    "PKCS#8, many rounds": (
        ("pkcs8", "-topk8", "-iter", "600000", "-in", "plain.key", "-passout", "pass:word"),
        "word",
    ),
    "PKCS#12": (
        ("pkcs12", "-export", "-inkey", "plain.key", "-in", "plain.crt", "-passout", "pass:word"),
        "word",
    ),
    "PKCS#12, as in openssl 1.0": (
        ("pkcs12", "-export", "-legacy", "-inkey", "plain.key", "-in", "plain.crt", "-passout", "pass:word"),
        "word",
    ),
    "PKCS#12, no passphrase": (
        ("pkcs12", "-export", "-inkey", "plain.key", "-in", "plain.crt", "-passout", "pass:"),
        None,
    ),
    "PKCS#12, not encrypted": (
        (
            *("pkcs12", "-export", "-keypbe", "NONE", "-certpbe", "NONE", "-nomac"),
            *("-inkey", "plain.key", "-in", "plain.crt", "-passout", "pass:"),
        ),
        None,
    ),
    "PKCS#8 DER, encrypted": (
        ("pkcs8", "-topk8", "-in", "plain.key", "-outform", "DER", "-passout", "pass:word"),
        "word",
    ),
}


@pytest.mark.openssl
@pytest.mark.parametrize(("arguments", "passphrase"), OPENSSL_KEYS.values(), ids=OPENSSL_KEYS)
def test_keys_of_openssl_are_read(openssl, arguments, passphrase):
    run, _ = openssl
    data = run(*arguments)
    taken = keys.take(data, passphrase)
    assert taken.key.key_size == (3072 if "3072" in arguments else 2048)
    assert bool(taken.certificate) == ("pkcs12" in arguments)
    if passphrase:
        for wrong, words in ((None, "protected by a passphrase"), ("other", "does not open")):
            with pytest.raises(InvalidPrivateKey, match=words):
                keys.read_private_key(data, wrong)


@pytest.mark.openssl
def test_the_tutorials_way_to_key_and_certificate(openssl):
    run, folder = openssl
    run("genrsa", "-des3", "-passout", "pass:word", "-out", "server.pass.key", "2048")
    run("rsa", "-passin", "pass:word", "-in", "server.pass.key", "-out", "server.key")
    run("req", "-new", "-key", "server.key", "-subj", "/CN=tutorial/O=Acme", "-out", "server.csr")
    run(
        "x509",
        "-req",
        "-sha256",
        "-days",
        "365",
        "-in",
        "server.csr",
        "-signkey",
        "server.key",
        "-out",
        "server.crt",
    )
    certificate = keys.read_certificate((folder / "server.crt").read_bytes())
    for name, passphrase in (("server.key", None), ("server.pass.key", "word")):
        key = keys.read_private_key((folder / name).read_bytes(), passphrase)
        keys.require_match(key, certificate)
    assert 364 <= (certificate.not_after - dt.datetime.now(dt.UTC)).days <= 365
    shown = run("x509", "-in", "server.crt", "-noout", "-fingerprint", "-sha256").decode()
    assert shown.strip().split("=")[1].replace(":", "").lower() == certificate.fingerprint
    with pytest.raises(InvalidPrivateKey, match="a certificate request"):
        keys.read_private_key((folder / "server.csr").read_bytes())


@pytest.mark.openssl
def test_the_short_way_to_key_and_certificate(openssl):
    run, folder = openssl
    run(
        "req", "-x509", "-sha256", "-nodes", "-newkey", "rsa:2048", "-days", "36500", "-subj", "/CN=short",
        "-keyout", "short.key", "-out", "short.crt",
    )  # fmt: skip
    key = keys.read_private_key((folder / "short.key").read_bytes())
    keys.require_match(key, keys.read_certificate((folder / "short.crt").read_bytes()))


@pytest.mark.openssl
def test_bag_attributes_of_openssl_are_left_out_and_the_certificate_is_taken(openssl):
    run, _ = openssl
    exported = (
        "-export",
        "-inkey",
        "plain.key",
        "-in",
        "plain.crt",
        "-passout",
        "pass:word",
        "-name",
        "acme",
    )
    run("pkcs12", *exported, "-out", "acme.p12")
    taken = keys.take(run("pkcs12", "-in", "acme.p12", "-passin", "pass:word", "-noenc"))
    assert taken.certificate
    assert taken.notes == (pem.TEXT_AROUND, private.CERTIFICATE_TAKEN)


@pytest.mark.openssl
@pytest.mark.parametrize(
    "arguments",
    [
        ("pkcs8", "-topk8", "-v2", "camellia-256-cbc"),
        ("pkcs8", "-topk8", "-v2", "aes-256-cfb"),
        ("rsa", "-traditional", "-camellia256"),
    ],
    ids=["PKCS#8 with Camellia", "PKCS#8 with CFB", "traditional with Camellia"],
)
def test_an_unusual_cipher_is_not_told_as_a_wrong_passphrase(openssl, arguments):
    run, _ = openssl
    data = run(*arguments, "-in", "plain.key", "-passout", "pass:word")
    with pytest.raises(InvalidPrivateKey, match="encrypted in a way that can't be read here"):
        keys.take(data, "word")


@pytest.mark.openssl
def test_a_certificate_with_trust_settings_is_read(openssl):
    run, folder = openssl
    trusted = run("x509", "-in", "plain.crt", "-trustout", "-addtrust", "serverAuth")
    assert trusted.startswith(b"-----BEGIN TRUSTED")
    assert keys.read_certificate(trusted) == keys.read_certificate((folder / "plain.crt").read_bytes())


@pytest.mark.openssl
@pytest.mark.parametrize("kind", ["-text", "-pubout"])
def test_the_text_of_openssl_around_a_key_is_left_out_and_a_public_key_is_named(openssl, kind):
    run, _ = openssl
    data = run("rsa", "-in", "plain.key", kind)
    if kind == "-text":
        assert keys.take(data).notes == (pem.TEXT_AROUND,)
    else:
        with pytest.raises(InvalidPrivateKey, match="a public key"):
            keys.take(data)


@pytest.mark.openssl
@pytest.mark.parametrize("bits", [2048, 4096])
def test_certificates_made_here_please_openssl(openssl, bits):
    run, folder = openssl
    key = keys.make_key(bits)
    made = keys.make_certificate(
        key, common_name="Ünïcode Käse", organization="Äcme & Sons", country="de", days=30
    )
    (folder / "made.crt").write_text(made.pem)
    assert len(made.pem) < 4096
    shown = run("x509", "-in", "made.crt", "-noout", "-text", "-nameopt", "utf8").decode()
    for words in ("CN=Ünïcode Käse", "O=Äcme & Sons", "C=DE", f"({bits} bit)", "sha256WithRSAEncryption"):
        assert words in shown
    assert b"OK" in run("verify", "-CAfile", "made.crt", "made.crt")
    assert b"OK" in run("verify", "-x509_strict", "-check_ss_sig", "-CAfile", "made.crt", "made.crt")
    assert b"will not expire" in run("x509", "-in", "made.crt", "-noout", "-checkend", str(29 * 86400))
    with pytest.raises(subprocess.CalledProcessError):
        run("x509", "-in", "made.crt", "-noout", "-checkend", str(31 * 86400))
    pairs = run("x509", "-in", "made.crt", "-noout", "-fingerprint", "-sha256").decode().strip()
    assert pairs.split("=")[1] == keys.colon_pairs(made.fingerprint)


# Keys made here


def test_a_made_key_comes_back_from_its_der():
    assert keys.fingerprint(keys.from_sealed_der(keys.to_der(app_key()))) == keys.fingerprint(app_key())


@pytest.mark.parametrize("bits", [0, 512, 1024, 2047, 16384])
def test_weak_and_absurd_sizes_are_not_made(bits):
    with pytest.raises(InvalidInput):
        keys.make_key(bits)


def test_a_made_certificate_tells_its_dates_and_fits_its_key():
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = keys.make_certificate(app_key(), common_name="Ünïcode " + "x" * 200, days=30, now=now)
    keys.require_match(app_key(), certificate)
    assert certificate.not_before == now - keys.certificates.CLOCK_LEEWAY
    assert certificate.not_after == now + dt.timedelta(days=30)
    assert keys.read_certificate(certificate.pem.encode()) == certificate
    assert certificate.subject.startswith("CN=")


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ({"common_name": " "}, "needs a common name"),
        ({"common_name": "a\nb"}, "control characters"),
        ({"common_name": "a", "country": "Germany"}, "two letters"),
        ({"common_name": "a", "days": 0}, "1 to 3650 days, not 0"),
        ({"common_name": "a", "days": 3651}, "1 to 3650 days, not 3651"),
    ],
)
def test_a_subject_that_cannot_be_is_told(subject, words):
    with pytest.raises(InvalidInput, match=words):
        keys.make_certificate(app_key(), **subject)


# Certificates


def test_of_several_certificates_that_of_the_key_is_read():
    chain = certificate_of(OTHER_KEY).public_bytes(PEM) + certificate_of(app_key()).public_bytes(PEM)
    for key in (app_key(), OTHER_KEY):
        public = keys.fingerprint(key)
        assert keys.read_certificate(chain, belonging_to=public).public_key_fingerprint == public
    assert keys.read_certificate(chain).public_key_fingerprint == keys.fingerprint(OTHER_KEY)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (written, "It is a private key"),
        (lambda: written(encoding=DER), "It is a private key"),
        (in_pkcs12, "It is a PKCS#12 file"),
        (public, "It is a public key"),
        (lambda: b"<html>", "It is a web page"),
        (lambda: certificates_only(PEM), "It is a PKCS#7 file"),
        (lambda: request().public_bytes(DER), r"It is a certificate request"),
    ],
)
def test_what_was_given_instead_of_a_certificate_is_named(make, words):
    with pytest.raises(InvalidInput, match=f"This is not a certificate. {words}"):
        keys.read_certificate(make())


@pytest.mark.parametrize("change", [lambda pem: pem, *REPAIRS.values()], ids=["as it is", *REPAIRS])
def test_certificates_are_repaired_like_keys(change):
    assert keys.read_certificate(
        change(app_certificate().encode())
    ).public_key_fingerprint == keys.fingerprint(app_key())


def test_a_certificate_in_der_is_read():
    assert keys.read_certificate(certificate_der()).pem == app_certificate()


def test_a_file_that_is_too_large_for_a_certificate_is_not_read():
    with pytest.raises(InvalidInput, match="more than 64 KB"):
        keys.read_certificate(app_certificate().encode() + b"\n" * 65_536)


def in_base64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize("chain", [0, 3])
def test_of_a_kubernetes_secret_key_and_certificate_are_taken(chain):
    others = keys.make_certificate(OTHER_KEY, common_name="ca").pem * chain
    secret = (
        f"apiVersion: v1\ndata:\n  tls.crt: {in_base64(app_certificate() + others)}\n"
        f"  tls.key: {in_base64(written())}\nkind: Secret\n"
    ).encode()
    taken = keys.take(secret)
    assert keys.fingerprint(taken.key) == keys.fingerprint(app_key())
    assert taken.notes == (repair.BASE64, private.CERTIFICATE_TAKEN)
    assert keys.read_certificate(secret).pem == app_certificate()


@pytest.mark.parametrize(
    "around", ["ENV SF_INTEGRATION_PRIVATE_KEY {}", "key = <<EOT\n{}\nEOT\n", "<<-EOT\n{}\nEOT\n"]
)
def test_what_stands_before_base64_is_no_part_of_it(around):
    assert keys.fingerprint(keys.take(around.format(in_base64(written())).encode()).key) == keys.fingerprint(
        app_key()
    )


def test_a_certificate_behind_its_key_is_found():
    assert keys.read_certificate(written() + app_certificate().encode()).pem == app_certificate()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\x30" + bytes(50),
        written(),
        public(),
        app_certificate().encode()[:300],
        app_certificate().encode()[:-40],
    ],
    ids=["nothing", "text", "zeros", "a private key", "a public key", "cut", "no end line"],
)
def test_what_is_no_certificate_is_told(data):
    with pytest.raises(InvalidInput) as caught:
        keys.read_certificate(data)
    assert_tells_nothing_of(caught.value, data)


def test_an_ec_certificate_does_not_match():
    other = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ec")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, other.public_key(), 1, now, now + dt.timedelta(days=1))
        .sign(other, keys.certificates.hashes.SHA256())
        .public_bytes(PEM)
    )
    with pytest.raises(InvalidInput, match="belongs to another key"):
        keys.require_match(app_key(), keys.read_certificate(certificate))


def test_a_certificate_of_another_key_does_not_match():
    other = keys.make_certificate(keys.make_key(), common_name="other")
    with pytest.raises(InvalidInput, match="invalid assertion"):
        keys.require_match(app_key(), other)
