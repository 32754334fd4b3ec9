"""A signing key in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import keystore
from ..conf import settings
from ..keystore import ProvedElsewhere
from ..models import SigningKey
from ..salesforce import keys
from ..salesforce.errors import InvalidInput, SalesforceError
from ..state import CERTIFICATE_STAGES
from .key_inputs import LARGEST_UPLOAD, PEM_INPUT, CertificateTextarea, KeyInputs, SecretField, given_bytes


class NewSigningKeyForm(KeyInputs, forms.ModelForm):  # type: ignore[type-arg]
    """A signing key given or made; it is proved before it is stored."""

    bits = forms.TypedChoiceField(
        label=gettext_lazy("Size"),
        coerce=int,
        choices=[(size, f"{size} bits") for size in keys.SIZES],
        initial=keys.MINIMUM_BITS,
        required=False,
        help_text=gettext_lazy("2048 is what Salesforce needs; larger ones sign more slowly."),
    )
    days = forms.IntegerField(
        label=gettext_lazy("Days of the certificate"),
        min_value=1,
        max_value=keys.LONGEST_DAYS,
        initial=365,
        required=False,
        help_text=format_lazy(
            gettext_lazy("1 to {longest}. You are warned from {warned} days before its end."),
            longest=keys.LONGEST_DAYS,
            warned=CERTIFICATE_STAGES[0],
        ),
    )
    common_name = forms.CharField(
        max_length=64,
        required=False,
        help_text=gettext_lazy("Of the certificate's subject. Empty: the name above."),
    )
    organization = forms.CharField(
        max_length=64, required=False, help_text=gettext_lazy("Of the subject; may be empty.")
    )
    country = forms.CharField(
        max_length=2,
        required=False,
        help_text=gettext_lazy("Of the subject: two letters, as DE; may be empty."),
    )

    signer = forms.ChoiceField(
        label=gettext_lazy("Held outside by"),
        required=False,
        help_text=gettext_lazy(
            "It keeps the private key and signs for us; give the certificate above and no private key. It is asked once, to see "
            "that both belong together."
        ),
    )
    reference = forms.CharField(
        label=gettext_lazy("Known there as"),
        required=False,
        max_length=500,
        help_text=gettext_lazy("What that one calls the key: an ARN, a path, a file's name."),
    )

    PAIR_FIELDS = ("bits", "days", "common_name", "organization", "country")

    OUTSIDE_FIELDS = ("signer", "reference")

    _proved_elsewhere: ProvedElsewhere | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["signer"].choices = [("", "---------"), *((name, name) for name in settings.SIGNERS)]  # type: ignore[attr-defined]
        self.fields["make_key"].help_text = _(
            "The private key never leaves this site; download the certificate afterwards and upload it to the app in Salesforce."
        )

    class Meta:
        model = SigningKey
        fields = ("name",)

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if data.get("signer") or data.get("reference"):
            self._prove_elsewhere(data.get("signer", ""), data.get("reference", ""))
        elif not self.gives_key and not self.errors:
            self.add_error("private_key", _("Give a private key, or have a key pair made here."))
        if self._proved and not self.errors:
            self._refuse_known("private_key", keys.fingerprint(self._proved.key))
        if self._proved_elsewhere and not self.errors:
            self._refuse_known("certificate", self._proved_elsewhere.certificate.public_key_fingerprint)
        return data

    @property
    def changed_names(self) -> list[str]:
        return sorted(set(super().changed_names) - set(self.PAIR_FIELDS))

    def _prove_elsewhere(self, signer: str, reference: str) -> None:
        if self.gives_key:
            self.add_error(
                "signer", _("Either give a key pair, or have one made, or name one that is held outside.")
            )
        elif not signer or not reference:
            self.add_error(
                "reference" if signer else "signer", _("Say who holds the key, and what it is called there.")
            )
        elif not self._certificate:
            self.add_error("certificate", _("Give the certificate of the key that is held outside."))
        if self.errors or not self._certificate:
            return
        try:
            self._proved_elsewhere = keystore.prove_outside(
                signer=signer, reference=reference, certificate=self._certificate
            )
        except SalesforceError as error:
            self.add_error("reference", str(error))

    def clean_country(self) -> str:
        country: str = self.cleaned_data["country"].strip()
        if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
            raise ValidationError(_("A country has two letters here, as DE or US."))
        return country

    def take_key(self, name: str) -> SigningKey:
        if self._proved_elsewhere:
            return keystore.store_outside(self._proved_elsewhere, name=name)
        if self._proved:
            return super().take_key(name)
        pair = {field: self.cleaned_data[field] for field in self.PAIR_FIELDS if self.cleaned_data[field]}
        return keystore.make(name=name, **pair)

    def _refuse_known(self, field: str, fingerprint: str) -> None:
        """A private key that can't be opened any more may come again: that mends it."""
        known = keystore.known_key(fingerprint)
        if known and (known.can_sign or known.signer or self._proved_elsewhere):
            named = _("This key pair is stored already, as “%(name)s”.") % {"name": known.name}
            is_seen = self.visible_keys.filter(pk=known.pk).exists()
            self.add_error(field, named if is_seen else _("This key pair is stored already."))

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self._ask_again()

    def save(self, commit: bool = True) -> SigningKey:
        """The stored row; whatever `commit` says, since a secret can't be sealed without storing it."""
        if self.errors:
            raise ValueError("A signing key with mistakes can't be stored.")
        stored = self.take_key(self.cleaned_data["name"])
        self.instance = stored
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        return stored


class SigningKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What can be changed of a stored key: its name, and its certificate when it has a new one."""

    new_certificate = SecretField(
        required=False,
        max_length=LARGEST_UPLOAD,
        help_text=gettext_lazy("PEM; of this very key pair. Needed only when it is missing or was renewed."),
        widget=CertificateTextarea(PEM_INPUT),
    )
    new_certificate_file = forms.FileField(required=False, label=gettext_lazy("…or its file"))

    visible_keys: QuerySet[SigningKey] = SigningKey.objects.none()
    """Those whose names may be told to the person."""

    _certificate: bytes | None = None

    class Meta:
        model = SigningKey
        fields = ("name",)

    @property
    def changed_names(self) -> list[str]:
        ways = {"new_certificate", "new_certificate_file"}
        return sorted({"certificate" if name in ways else name for name in self.changed_data})

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._certificate = given_bytes(self, "new_certificate")
        if self._certificate:
            try:
                keystore.prove_certificate(
                    self._certificate, self.instance.fingerprint, visible=self.visible_keys
                )
            except InvalidInput as error:
                self.add_error("new_certificate", str(error))
        return data

    def save(self, commit: bool = True) -> SigningKey:
        if self._certificate:
            keystore.add_certificate(self.instance, self._certificate)
        saved: SigningKey = super().save(commit=commit)
        return saved
