"""The site's settings, without the wait for collected static files and slow password hashes."""

from __future__ import annotations

from sfjwt_site.settings import *  # noqa: F403
from sfjwt_site.settings import STORAGES

STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
