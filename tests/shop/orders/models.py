from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models


class Brand(models.Model):
    """A shop front. Each belongs to a company with a Salesforce org of its own."""

    slug = models.SlugField(unique=True)
    connection = models.SlugField(help_text="Name of the Salesforce connection.")

    def __str__(self) -> str:
        return self.slug


class Customer(models.Model):
    salesforce_id = models.CharField(max_length=18, unique=True)
    brand = models.ForeignKey(Brand, models.CASCADE)
    name = models.CharField(max_length=121)
    email = models.EmailField(blank=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def store(cls, brand: Brand, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Make or change customers by their Salesforce ids."""
        customers = [
            cls(salesforce_id=row["Id"], brand=brand, name=row["Name"], email=row["Email"] or "")
            for row in contacts
        ]
        cls.objects.bulk_create(
            customers,
            update_conflicts=True,
            unique_fields=["salesforce_id"],
            update_fields=["brand", "name", "email"],
        )


class Order(models.Model):
    number = models.CharField(max_length=20, unique=True)
    brand = models.ForeignKey(Brand, models.PROTECT)
    total = models.DecimalField(max_digits=10, decimal_places=2)
    paid_on = models.DateField(null=True)
    salesforce_id = models.CharField(max_length=18, blank=True)
    """Of its Opportunity; empty until it was pushed."""

    def __str__(self) -> str:
        return self.number

    @classmethod
    def waiting(cls, connection: str | None = None) -> models.QuerySet[Order]:
        """Paid, and not in Salesforce yet."""
        waiting = cls.objects.filter(paid_on__isnull=False, salesforce_id="")
        return waiting.filter(brand__connection=connection) if connection else waiting
