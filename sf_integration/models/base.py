"""What the models have in common: primary keys, and how usernames are compared."""

from __future__ import annotations

import string
import uuid
from typing import Any

from django.db import models
from django.db.models.functions import Lower

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Base(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


def normal_username(username: str) -> str:
    """As AccessToken has it. Salesforce does not tell case apart; beyond A to Z databases and Python lower differently."""
    return username.translate(_TO_LOWER)


class NormalUsername(Lower):
    """`normal_username` in SQL."""

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template='LOWER(%(expressions)s COLLATE "C")', **context)
