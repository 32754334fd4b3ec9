from __future__ import annotations

import base64
import datetime as dt
import subprocess
import traceback

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from sf_integration.salesforce import keys
from sf_integration.salesforce.errors import ActionNeeded, InvalidInput, InvalidPrivateKey

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


BAD = {
    "nothing": (lambda: b"", "not a private key"),
    "blanks": (lambda: b" \n", "not a private key"),
    "some text": (lambda: b"planted secret text", "not a private key"),
    "HTML": (lambda: b"<html>planted</html>", "not a private key"),
    "a JSON file": (lambda: b'{"private_key": "planted"}', "not a private key"),
    "UTF-16": (lambda: written().decode().encode("utf-16"), "not a private key"),
    "base64 of PEM": (lambda: base64.b64encode(written()), "not a private key"),
    "a public key": (public, "a public key"),
    "an RSA public key": (lambda: public(form=serialization.PublicFormat.PKCS1), "a public key"),
    "a public key in DER": (lambda: public(DER), "a public key"),
    "an OpenSSH public key": (
        lambda: public(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        "an OpenSSH public key",
    ),
    "an OpenSSH private key": (
        lambda: written(form=serialization.PrivateFormat.OpenSSH),
        "OpenSSH's own form",
    ),
    "a certificate": (lambda: app_certificate().encode(), "a certificate"),
    "a certificate in DER": (certificate_der, "a certificate"),
    "a certificate request": (
        lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "a certificate request",
    ),
    "an unknown label": (
        lambda: b"-----BEGIN SOMETHING ELSE-----\nAAAA\n-----END SOMETHING ELSE-----",
        "a something else",
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
    "numbers that do not belong together": (forged_key, "damaged or cut off"),
    "an empty block": (
        lambda: b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "damaged or cut off",
    ),
    "cut DER": (lambda: written(encoding=DER)[:500], "damaged or cut off"),
    "DER of zeros": (lambda: b"\x30" + bytes(100), "damaged or cut off"),
    "a PKCS#12 file": (
        lambda: pkcs12.serialize_key_and_certificates(
            b"x", app_key(), None, None, serialization.NoEncryption()
        ),
        "damaged or cut off",
    ),
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
    assert keys.read_private_key(data, passphrase).key_size == 2048
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
    assert (certificate.not_before, certificate.not_after) == (now, now + dt.timedelta(days=30))
    assert keys.read_certificate(certificate.pem.encode()) == certificate
    assert certificate.subject.startswith("CN=")


# Certificates


@pytest.mark.parametrize("change", [lambda pem: pem, *REPAIRS.values()], ids=["as it is", *REPAIRS])
def test_certificates_are_repaired_like_keys(change):
    assert keys.read_certificate(
        change(app_certificate().encode())
    ).public_key_fingerprint == keys.fingerprint(app_key())


def test_a_certificate_in_der_is_read():
    assert keys.read_certificate(certificate_der()).pem == app_certificate()


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
        .sign(other, keys.hashes.SHA256())
        .public_bytes(PEM)
    )
    with pytest.raises(InvalidInput, match="belongs to another key"):
        keys.require_match(app_key(), keys.read_certificate(certificate))


def test_a_certificate_of_another_key_does_not_match():
    other = keys.make_certificate(keys.make_key(), common_name="other")
    with pytest.raises(InvalidInput, match="invalid assertion"):
        keys.require_match(app_key(), other)
