"""The site's settings with keys and folders of their own: no `.env`, nothing in `var/`.

DATABASE_URL, CACHE_URL and CELERY_BROKER_URL of the environment are used when set. Where it can be, the environment
is changed rather than the settings, so that programs started by a test agree with it.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from urllib.parse import urlsplit

_var = tempfile.TemporaryDirectory(prefix="sf-tests-", ignore_cleanup_errors=True)
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")

os.environ["ENV_FILE"] = ""
os.environ["VAR_DIR"] = _var.name
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
os.environ.setdefault("SF_ENCRYPTION_KEYS", secrets.token_urlsafe(32))
os.environ.setdefault("SITE_URL", "http://127.0.0.1:8000")
os.environ.setdefault("SF_ALLOWED_HOSTS", "")

if _worker and os.environ.get("CELERY_BROKER_URL", "").startswith("redis"):
    # A Redis database of its own for each pytest process, counted on from the one that was given.
    _broker = urlsplit(os.environ["CELERY_BROKER_URL"])
    _number = int(_broker.path.strip("/") or 0) + 1 + int(_worker.removeprefix("gw"))
    os.environ["CELERY_BROKER_URL"] = _broker._replace(path=f"/{_number}").geturl()

from sfjwt_site.settings import *  # noqa: E402, F403
from sfjwt_site.settings import CACHES, DATABASES, STATIC_ROOT, STORAGES, VAR_DIR  # noqa: E402

# A file, since in memory SQLite shows none of the locking that users meet.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
CACHES["default"]["KEY_PREFIX"] = f"test-{_worker}"
STATIC_ROOT.mkdir(exist_ok=True)
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
