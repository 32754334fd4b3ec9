from __future__ import annotations

import copy
import io
import json
import pickle
import uuid

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Case, ExpressionWrapper, F, Func, Subquery, TextField, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from sf_integration import crypto, fields
from sf_integration.fields import Sealed, seal
from sf_integration.models import AccessToken, ConnectedApp, SigningKey
from sf_integration.salesforce.errors import EncryptionKeyMissing
from sf_integration.tokens.prepared import Given

pytestmark = pytest.mark.django_db

SECRET = b"planted-secret"


@pytest.fixture
def encryption_keys(settings):
    """Call it with keys, first one first, to configure them."""

    def configure(*keys: str) -> None:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ENCRYPTION_KEYS": keys}

    configure(crypto.new_key())
    return configure


def key_row(name: str = "key", secret: bytes = SECRET) -> SigningKey:
    row = SigningKey(name=name, fingerprint=uuid.uuid4().hex, size=2048)
    row.private_key = seal(SigningKey, "private_key", row.pk, secret)
    row.save()
    return SigningKey.objects.get(pk=row.pk)


def token_row(key: SigningKey) -> AccessToken:
    app = ConnectedApp.objects.create(
        name="acme", login_url="https://a.my.salesforce.com", signing_key=key, username="u"
    )
    row = AccessToken(connection=app, username="u")
    row.value = seal(AccessToken, "value", row.pk, b"token")
    row.save()
    return AccessToken.objects.get(pk=row.pk)


def stored_form(row: SigningKey) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT private_key FROM sf_integration_signingkey WHERE name = %s", [row.name])
        return cursor.fetchone()[0]


def test_a_secret_comes_back_from_the_database():
    assert key_row().private_key.open() == SECRET


def test_what_is_sealed_opens_before_it_is_stored():
    pk = uuid.uuid4()
    made = seal(SigningKey, "private_key", pk, SECRET)
    assert made.open() == SECRET
    assert made.key_id == fields.keyring().key_ids[0]
    assert made.context == f"sf_integration.signingkey.private_key.{pk}"


def test_the_column_holds_the_sealed_form_only():
    row = key_row()
    assert stored_form(row) == row.private_key.ciphertext
    assert stored_form(row).startswith(f"v1.{row.private_key.key_id}.")
    assert "planted" not in stored_form(row)


def test_the_value_does_not_show_what_it_holds():
    sealed = key_row().private_key
    assert sealed.ciphertext not in repr(sealed)
    assert "planted" not in repr(sealed)


# A ciphertext that was moved


def test_a_ciphertext_of_another_row_does_not_open():
    row, other = key_row("one"), key_row("two", b"other")
    SigningKey.objects.filter(pk=other.pk).update(private_key=row.private_key)
    with pytest.raises(EncryptionKeyMissing) as caught:
        SigningKey.objects.get(pk=other.pk).private_key.open()
    assert caught.value.code == "secret_damaged"
    assert caught.value.cause == "This stored secret is damaged, or was copied here from another row."
    assert caught.value.remedy == "Replace it: import the signing key again."
    assert caught.value.who == "whoever runs this site"


def test_a_ciphertext_of_another_column_does_not_open():
    key = key_row()
    token = token_row(key)
    token.value = key.private_key
    token.save()
    with pytest.raises(EncryptionKeyMissing):
        AccessToken.objects.get(pk=token.pk).value.open()


def test_a_ciphertext_copied_within_the_database_does_not_open():
    key_row("one")
    other = key_row("two", b"other")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sf_integration_signingkey SET private_key ="
            " (SELECT private_key FROM sf_integration_signingkey WHERE name = 'one') WHERE name = 'two'"
        )
    with pytest.raises(EncryptionKeyMissing):
        SigningKey.objects.get(pk=other.pk).private_key.open()


def test_a_copied_row_does_not_open_under_its_new_id():
    row = key_row()
    row.pk, row.name = uuid.uuid4(), "copy"
    row.save(force_insert=True)
    with pytest.raises(EncryptionKeyMissing):
        SigningKey.objects.get(name="copy").private_key.open()


def test_a_value_assigned_from_another_row_does_not_open_in_memory_either():
    row, other = key_row("one"), key_row("two")
    other.private_key = row.private_key
    with pytest.raises(EncryptionKeyMissing):
        other.private_key.open()


# Clear text never gets in


@pytest.mark.parametrize(
    "clear", ["planted", b"planted", 5, ["planted"], {"a": "planted"}, bytearray(b"planted"), " "]
)
def test_anything_but_a_sealed_value_is_refused(clear):
    row = key_row()
    before = stored_form(row)
    for attempt in (
        lambda: setattr(row, "private_key", clear),
        lambda: SigningKey(name="new", private_key=clear),
        lambda: SigningKey.objects.create(name="new", fingerprint="f", size=1, private_key=clear),
        lambda: SigningKey.objects.filter(pk=row.pk).update(private_key=clear),
        lambda: SigningKey.objects.filter(pk=row.pk).update(
            private_key=Value(clear, SigningKey._meta.get_field("private_key"))
        ),
        lambda: list(SigningKey.objects.filter(private_key=clear)),
        lambda: SigningKey._meta.get_field("private_key").get_prep_value(clear),
        lambda: SigningKey.objects.bulk_create(
            [SigningKey(name="new", fingerprint="f", size=1, private_key=clear)]
        ),
    ):
        with pytest.raises(TypeError) as caught, transaction.atomic():
            attempt()
        assert str(caught.value).startswith("private_key takes a Sealed value, never a ")
        assert "planted" not in str(caught.value)
    assert stored_form(row) == before
    with pytest.raises(TypeError, match=f"private_key .* never a {type(clear).__name__}: use"):
        row.private_key = clear
    with pytest.raises(TypeError, match=f"private_key .* never a {type(clear).__name__}: use"):
        FIELD.get_prep_value(clear)


def test_clear_text_put_past_the_descriptor_is_refused_by_save():
    row = key_row()
    row.__dict__["private_key"] = "planted"
    with pytest.raises(TypeError), transaction.atomic():
        row.save()
    with pytest.raises(TypeError), transaction.atomic():
        SigningKey.objects.bulk_update([row], ["private_key"])
    assert SigningKey.objects.get(pk=row.pk).private_key.open() == SECRET


FIELD = SigningKey._meta.get_field("private_key")
SIGNING_KEYS = SigningKey.objects.all()
LIES = {
    "value": lambda: Value("planted"),
    "value with another field": lambda: Value("planted", TextField()),
    "value that claims the field": lambda: Value("planted", FIELD),
    "another column": lambda: F("certificate"),
    "cast": lambda: Cast(Value("planted"), FIELD),
    "cast of a column": lambda: Cast(F("certificate"), FIELD),
    "wrapped": lambda: ExpressionWrapper(Value("planted"), output_field=FIELD),
    "raw": lambda: RawSQL("'planted'", [], output_field=FIELD),
    "function": lambda: Func(Value("planted"), function="UPPER", output_field=FIELD),
    "function of nothing": lambda: Func(function="CURRENT_USER", output_field=FIELD),
    "concatenated": lambda: Concat(F("private_key"), Value("planted"), output_field=FIELD),
    "combined": lambda: F("private_key") + Value("planted"),
    "subquery": lambda: Subquery(SIGNING_KEYS.values("certificate")[:1], output_field=FIELD),
    "case": lambda: Case(When(size=2048, then=Value("planted")), output_field=FIELD),
    "default of a case": lambda: Case(When(size=1, then=F("private_key")), default=F("name"), output_field=FIELD),
    "key id": lambda: F("private_key__key_id"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_an_expression_that_may_give_clear_text_is_refused(lie):
    """Django passes expressions by the field's own check."""
    row = key_row()
    before = stored_form(row)
    SigningKey.objects.update(certificate="planted")
    with pytest.raises(TypeError, match=r"private_key .* use fields\.seal") as caught, transaction.atomic():
        SigningKey.objects.filter(pk=row.pk).update(private_key=lie())
    assert "planted" not in str(caught.value)
    row.__dict__["private_key"] = lie()  # past the descriptor
    for write in (
        row.save,
        lambda: SigningKey.objects.bulk_update([row], ["private_key"]),
    ):
        with pytest.raises(TypeError), transaction.atomic():
            write()
    assert stored_form(SigningKey.objects.get(pk=row.pk)) == before


@pytest.mark.parametrize("kind", [kind for kind in LIES if "case" not in kind])
def test_an_expression_with_clear_text_is_refused_by_insert(kind):
    """Those of cases Django itself can't insert."""
    lie = LIES[kind]
    for write in (lambda row: row.save(force_insert=True), lambda row: SigningKey.objects.bulk_create([row])):
        row = SigningKey(name="new", fingerprint="f", size=2048)
        row.__dict__["private_key"] = lie()
        with pytest.raises((TypeError, ValueError, FieldError)), transaction.atomic():
            write(row)
    assert not SigningKey.objects.exists()


@pytest.mark.parametrize(
    "text", ["planted", "-----BEGIN PRIVATE KEY-----", "v1.planted1.planted", "v1.12345678."]
)
def test_a_sealed_value_made_by_hand_is_refused(text):
    row = key_row()
    by_hand = Sealed(text, "12345678")
    before = stored_form(row)
    row.private_key = by_hand
    for write in (row.save, lambda: SigningKey.objects.update(private_key=by_hand)):
        told = r"private_key .* never a Sealed made by hand: use"
        with pytest.raises(TypeError, match=told) as caught, transaction.atomic():
            write()
        assert text not in str(caught.value)
    assert stored_form(row) == before


def test_expressions_of_sealed_values_pass():
    row, other = key_row("one"), key_row("two", b"other")
    SigningKey.objects.update(private_key=F("private_key"))
    SigningKey.objects.bulk_update([row, other], ["private_key"])
    SigningKey.objects.filter(pk=row.pk).update(
        private_key=Case(When(size=2048, then=Value(row.private_key, FIELD)), default=Value(None))
    )
    assert SigningKey.objects.get(pk=row.pk).private_key.open() == SECRET
    assert SigningKey.objects.get(pk=other.pk).private_key.open() == b"other"
    SigningKey.objects.update(private_key=Value(None))
    assert SigningKey.objects.filter(private_key=None).count() == 2


def test_a_place_that_is_bound_by_the_columns_own_check_passes_and_no_other():
    """As prepared statements have them."""
    place = Given("private_key", FIELD)
    assert FIELD.get_db_prep_save(place, connection) is place
    with pytest.raises(TypeError, match=r"private_key .* never a Given: use"):
        FIELD.get_db_prep_save(Given("certificate", SigningKey._meta.get_field("certificate")), connection)


def test_a_fixture_file_with_clear_text_is_refused(tmp_path):
    row = key_row()
    file = tmp_path / "fixture.json"
    call_command("dumpdata", "sf_integration.signingkey", output=str(file), verbosity=0)
    file.write_text(file.read_text().replace(row.private_key.ciphertext, "planted clear text"))
    with pytest.raises((ValidationError, serializers.base.DeserializationError), match="sealed form only"):
        call_command("loaddata", str(file), verbosity=0)
    assert SigningKey.objects.get().private_key.open() == SECRET


@pytest.mark.parametrize("damaged", ["rubbish", "v1.12345678.cut"])
def test_a_damaged_row_can_be_renamed_and_saved(damaged):
    """What was read may be written back: else one damaged secret would lock all of its row."""
    row = key_row()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sf_integration_signingkey SET private_key = %s", [damaged])
    assert SigningKey.objects.get().private_key.key_id == ("" if damaged == "rubbish" else "12345678")
    for write in (
        SigningKey.save,
        lambda row: SigningKey.objects.bulk_update([row], ["name", "private_key"]),
    ):
        read = SigningKey.objects.get(pk=row.pk)
        read.name = "renamed"
        write(read)
    assert (SigningKey.objects.get().name, stored_form(read)) == ("renamed", damaged)


def test_without_an_encryption_key_nothing_is_stored(encryption_keys):
    encryption_keys()
    with pytest.raises(EncryptionKeyMissing) as caught:
        key_row()
    assert caught.value.cause == "No encryption key is configured, so no secret can be stored."
    assert caught.value.remedy == "Set SF_ENCRYPTION_KEYS to a base64url key of 32 bytes."
    assert caught.value.who == "whoever runs this site"
    assert not SigningKey.objects.exists()


def test_a_malformed_encryption_key_counts_as_none(encryption_keys):
    encryption_keys("planted-malformed")
    with pytest.raises(EncryptionKeyMissing) as caught:
        key_row()
    told = "The encryption key that is configured is malformed, so no secret can be stored."
    assert caught.value.cause == told
    assert "planted" not in str(caught.value)


def test_the_fields_are_not_in_forms():
    assert not SigningKey._meta.get_field("private_key").editable
    assert not AccessToken._meta.get_field("value").editable


# Empty and unreadable rows


def test_none_stays_none():
    row = SigningKey.objects.create(name="empty", fingerprint="f", size=1)
    assert SigningKey.objects.get(pk=row.pk).private_key is None
    SigningKey.objects.filter(pk=row.pk).update(private_key=None)
    row.private_key = ""
    assert row.private_key is None
    assert FIELD.get_prep_value("") is None
    assert SigningKey.objects.filter(private_key=None).count() == 1


@pytest.mark.parametrize(
    "damaged", ["rubbish", "v1.12345678", "v9.12345678.AAAA", "v1.12345678.AAAA", "-----BEGIN"]
)
def test_one_unreadable_row_does_not_take_the_list_down(damaged):
    key_row("good")
    bad = key_row("bad")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sf_integration_signingkey SET private_key = %s WHERE name = 'bad'", [damaged])
    rows = {row.name: row for row in SigningKey.objects.all()}
    assert rows["good"].private_key.open() == SECRET
    assert not rows["bad"].can_sign
    with pytest.raises(EncryptionKeyMissing) as caught:
        rows["bad"].private_key.open()
    assert damaged not in str(caught.value)
    ConnectedApp.objects.create(
        name="sick", login_url="https://a.my.salesforce.com", signing_key=bad, username="u"
    )
    assert [app.connection_state().value for app in ConnectedApp.objects.all()] == ["Encryption key missing"]


# Rotation of encryption keys


def test_a_rotated_encryption_key_opens_old_rows_and_seals_new_ones(encryption_keys):
    old, new = crypto.new_key(), crypto.new_key()
    encryption_keys(old)
    before = key_row("before")
    encryption_keys(new, old)
    after = key_row("after")
    assert SigningKey.objects.get(pk=before.pk).private_key.open() == after.private_key.open() == SECRET
    encryption_keys(new)
    assert SigningKey.objects.get(pk=after.pk).private_key.open() == SECRET
    with pytest.raises(EncryptionKeyMissing, match=before.private_key.key_id) as caught:
        SigningKey.objects.get(pk=before.pk).private_key.open()
    assert caught.value.code == "encryption_key_missing"
    assert caught.value.remedy == "Add that key to SF_ENCRYPTION_KEYS, or replace the signing key."
    assert caught.value.who == "whoever runs this site"
    assert not SigningKey.objects.get(pk=before.pk).can_sign


def test_rows_are_found_by_the_key_that_sealed_them(encryption_keys):
    old, new = crypto.new_key(), crypto.new_key()
    encryption_keys(old)
    before = key_row("before")
    encryption_keys(new, old)
    after = key_row("after")
    SigningKey.objects.create(name="empty", fingerprint="f", size=1)

    def names(**lookup: object) -> list[str]:
        return list(SigningKey.objects.filter(**lookup).values_list("name", flat=True))

    assert names(private_key__key_id=before.private_key.key_id) == ["before"]
    assert names(private_key__key_id__in=[after.private_key.key_id]) == ["after"]
    assert names(private_key__key_id__in=fields.keyring().key_ids) == ["after", "before"]
    assert names(private_key__key_id__in=[]) == []
    assert list(SigningKey.objects.order_by("name").values_list("private_key__key_id", flat=True)) == [
        after.private_key.key_id,
        before.private_key.key_id,
        None,
    ]
    assert set(
        SigningKey.objects.exclude(private_key__key_id=before.private_key.key_id).values_list(
            "name", flat=True
        )
    ) == {"after", "empty"}
    app = ConnectedApp.objects.create(
        name="x", login_url="https://a.my.salesforce.com", signing_key=before, username="u"
    )
    assert ConnectedApp.objects.get(signing_key__private_key__key_id=before.private_key.key_id) == app


# What Django does with values


def test_the_stored_form_is_what_fixtures_hold_and_take():
    field, row = SigningKey._meta.get_field("private_key"), key_row()
    written = field.value_to_string(row)
    assert written == row.private_key.ciphertext
    assert field.to_python(written) == Sealed(written, row.private_key.key_id)
    row.private_key = None
    assert field.value_to_string(row) == ""
    assert field.to_python("") is None
    with pytest.raises(ValidationError, match=r"^\['A secret can be loaded in its sealed form only\.'\]$"):
        field.to_python("planted")


def test_dumpdata_and_loaddata_keep_the_secret_sealed(tmp_path):
    row = key_row()
    SigningKey.objects.create(name="empty", fingerprint="f", size=1)
    file = tmp_path / "dump.json"
    call_command("dumpdata", "sf_integration.signingkey", output=str(file), verbosity=0)
    assert "planted" not in file.read_text()
    SigningKey.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    assert SigningKey.objects.get(pk=row.pk).private_key.open() == SECRET
    assert SigningKey.objects.get(name="empty").private_key is None


@pytest.mark.parametrize("form", ["json", "jsonl", "xml", "python"])
def test_every_serializer_keeps_the_secret_sealed(form):
    row = key_row()
    dumped = serializers.serialize(form, SigningKey.objects.all())
    assert "planted" not in str(dumped)
    SigningKey.objects.all().delete()
    for item in serializers.deserialize(form, dumped):
        item.save()
    assert SigningKey.objects.get(pk=row.pk).private_key.open() == SECRET


def test_a_fixture_with_clear_text_is_refused():
    row = key_row()
    dumped = json.loads(serializers.serialize("json", [row]))
    dumped[0]["fields"]["private_key"] = "planted clear text"
    with pytest.raises((ValidationError, serializers.base.DeserializationError)):
        list(serializers.deserialize("json", io.StringIO(json.dumps(dumped))))


def test_deferred_values_open():
    key_row()
    assert SigningKey.objects.only("name").get().private_key.open() == SECRET
    assert SigningKey.objects.defer("private_key").get().private_key.open() == SECRET


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))])
def test_copies_of_a_row_open(clone):
    assert clone(key_row()).private_key.open() == SECRET


def test_refreshing_saving_and_bulk_writing_keep_it_readable():
    row = key_row()
    row.refresh_from_db()
    row.name = "renamed"
    row.save()
    SigningKey.objects.bulk_update([row], ["name", "private_key"])
    assert SigningKey.objects.get().private_key.open() == SECRET


def test_a_replaced_secret_is_the_new_one():
    row = key_row()
    SigningKey.objects.filter(pk=row.pk).update(private_key=seal(SigningKey, "private_key", row.pk, b"new"))
    assert SigningKey.objects.get(pk=row.pk).private_key.open() == b"new"


def test_values_lists_are_sealed_and_open_nothing():
    row = key_row()
    (value,) = SigningKey.objects.values_list("private_key", flat=True)
    assert isinstance(value, Sealed)
    with pytest.raises(EncryptionKeyMissing):
        value.open()
    assert Sealed(value.ciphertext, value.key_id, row.private_key.context).open() == SECRET


def test_lists_do_not_decrypt(monkeypatch):
    key_row()
    monkeypatch.setattr(crypto.Keyring, "open", lambda *args: pytest.fail("a list opened a secret"))
    assert [row.can_sign for row in SigningKey.objects.all()] == [True]
    assert repr(SigningKey.objects.all())


def test_a_token_row_binds_its_own_column():
    token = token_row(key_row())
    assert token.value.open() == b"token"
    assert token.value.context == f"sf_integration.accesstoken.value.{token.pk}"


def test_copying_between_columns_by_expression_does_not_open():
    row = key_row()
    SigningKey.objects.filter(pk=row.pk).update(certificate=F("private_key"), not_after=timezone.now())
    assert "planted" not in SigningKey.objects.get(pk=row.pk).certificate
