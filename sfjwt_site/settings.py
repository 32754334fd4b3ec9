"""Settings of the site, all from the environment; `.env.example` documents every name.

With SECRET_KEY and SF_ENCRYPTION_KEYS alone the site runs on this machine by itself: SQLite, messages in files, all
of it in `var/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from sfjwt_site import logs
from sfjwt_site.environment import BASE_DIR, Environment
from sfjwt_site.proxies import networks

env = Environment()

# Where everything lies that the site writes.
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))
VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

SECRET_KEY = env.str("SECRET_KEY")
DEBUG = env.bool("DEBUG", default=False)

# How browsers reach the site. Its scheme alone decides on secure cookies, HSTS and the redirect to https.
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000").rstrip("/")
_site = urlsplit(SITE_URL)
_https = _site.scheme == "https"

ALLOWED_HOSTS = env.names("ALLOWED_HOSTS") or [
    _site.hostname or "localhost",
    "localhost",
    "127.0.0.1",
    "[::1]",
]
CSRF_TRUSTED_ORIGINS = [f"{_site.scheme}://{_site.netloc}"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_SSL_REDIRECT = _https
# Probes of an orchestrator come in by plain http from the same host.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0
# W005, W021: whether the domain's other hosts speak https, and whether browsers ship with that, others decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

INSTALLED_APPS = [
    "sfjwt_site",
    "sf_integration.apps.SfIntegrationConfig",
    "sfjwt_site.apps.SiteAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "axes",
    "csp",
]

MIDDLEWARE = [
    "sfjwt_site.request_ids.middleware",
    "sfjwt_site.proxies.middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Pages shrink to a sixth. BREACH learns nothing: Django masks CSRF tokens anew and pads each answer at random.
    "django.middleware.gzip.GZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "sfjwt_site.charsets.Utf8Only",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "sf_integration.audit.middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "sfjwt_site.urls"
WSGI_APPLICATION = "sfjwt_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# With SQLite's own defaults concurrent writers fail with "database is locked". IMMEDIATE takes the write lock at
# the start of each transaction, so keep them short and never speak HTTP inside one.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
}


def _database(name: str) -> dict[str, Any]:
    if not env.str(name, default=""):
        file = str(VAR_DIR / "db.sqlite3")
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": dict(SQLITE_OPTIONS)}
    database = dict(env.db(name))
    options = database.setdefault("OPTIONS", {})
    if database["ENGINE"].endswith("sqlite3"):
        options.update(SQLITE_OPTIONS)
    elif database["ENGINE"].endswith("postgresql"):
        database["ENGINE"] = (
            "sfjwt_site.postgresql"  # Django's own, which never waits for a server that is gone
        )
        options.setdefault("connect_timeout", 3)
        database.setdefault("CONN_MAX_AGE", 60)
        database["CONN_HEALTH_CHECKS"] = True
    return database


DATABASES = {"default": env.address("DATABASE_URL", _database, "postgres://user:password@host:5432/name")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _look_at_port(address: str) -> None:
    """ValueError where a slash in a password leaves its beginning as the port: whoever connects would log it."""
    hosts = urlsplit(address).netloc.rpartition("@")[2]
    # There may be several hosts, or several addresses.
    first = hosts.replace(";", ",").partition(",")[0]
    _ = urlsplit(f"//{first}").port


def _cache(name: str) -> dict[str, Any]:
    cache: dict[str, Any] = env.cache_url(name, default="locmemcache://")
    if "redis" in cache["BACKEND"]:
        _look_at_port(env.str(name))
        # One that is down holds up a page, or a call of the HTTP token API, for a second at most.
        waits = {"socket_connect_timeout": 1, "socket_timeout": 1}
        cache["OPTIONS"] = waits | cache.get("OPTIONS", {})
    return cache


# Each process its own memory is enough for one machine: what must be shared stands in the database.
CACHES = {"default": env.address("CACHE_URL", _cache, "redis://:password@host:6379/1")}

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
DEFAULT_EXCEPTION_REPORTER_FILTER = "sfjwt_site.reports.DiscreetReports"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

try:
    TRUSTED_PROXIES = networks(env.names("TRUSTED_PROXIES"))
except ValueError as exc:
    raise ImproperlyConfigured(
        f"TRUSTED_PROXIES: {exc}. Write addresses or networks, as 192.0.2.10 or 10.1.0.0/16."
    ) from None

# Five wrong passwords for one name from one address: a quarter of an hour's pause.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "registration/locked_out.html"
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}


def _broker(name: str) -> str:
    url: str = env.str(name, default="") or "filesystem://localhost"
    _look_at_port(url)
    return url


# A broker that is down must not hold up a page: connecting and publishing give up within 2 s together. Celery reads
# the policy, kombu (which connects before Celery can count) the transport options.
_give_up_soon = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
CELERY_TASK_PUBLISH_RETRY_POLICY = _give_up_soon
CELERY_BROKER_URL = env.address("CELERY_BROKER_URL", _broker, "redis://:password@host:6379/0")
CELERY_BROKER_CONNECTION_TIMEOUT = 1.0
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {**_give_up_soon}
if CELERY_BROKER_URL.startswith("filesystem:"):
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        # One folder for both ways: who sends and who receives are the same machine.
        "data_folder_in": str(VAR_DIR / "broker" / "messages"),
        "data_folder_out": str(VAR_DIR / "broker" / "messages"),
        "processed_folder": str(VAR_DIR / "broker" / "taken"),
        "control_folder": str(VAR_DIR / "broker" / "exchanges"),
    }
elif CELERY_BROKER_URL.startswith(("redis:", "rediss:")):
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_connect_timeout": 1, "socket_timeout": 1}

CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
# Every task can be run twice without harm, so one whose worker died is better run again than lost.
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Whoever can write to the broker could ask a worker for all settings, of which Celery hides few, and stop it.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = "UTC"
# The schedules are rows, made by a migration of this site and edited in the admin; CELERY_BEAT_SCHEDULE would undo
# such edits at each start.
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds: how late an edited schedule is noticed

# Alarms go by mail. Without an address of a server they are printed, and a check says so.
_mail = env.address(
    "EMAIL_URL",
    lambda name: env.email_url(name, default="consolemail://"),
    "smtp+tls://user:password@host:587",
)
globals().update({name: value for name, value in _mail.items() if name.startswith("EMAIL_")})
DEFAULT_FROM_EMAIL = env.str(
    "DEFAULT_FROM_EMAIL", default=f"salesforce-connections@{_site.hostname or 'localhost'}"
)

SF_INTEGRATION = {
    "ENCRYPTION_KEYS": [key.strip() for key in env.str("SF_ENCRYPTION_KEYS").split(",") if key.strip()],
    "ALLOWED_HOSTS": env.names("SF_ALLOWED_HOSTS"),
    "ALLOWED_ENVIRONMENTS": env.names("SF_ALLOWED_ENVIRONMENTS") or None,
    "PROMOTE_STAGED_KEYS": env.bool("SF_PROMOTE_STAGED_KEYS", default=True),
    "KEEP_CHECKS_DAYS": env.number("SF_KEEP_CHECKS_DAYS", default=30),
    "KEEP_EVENTS_DAYS": env.number("SF_KEEP_EVENTS_DAYS", default=14),
    "KEEP_DAYS": env.number("SF_KEEP_DAYS", default=400),
    "SITE_URL": SITE_URL,
    "ALARM_MAIL": env.names("SF_ALARM_MAIL"),
    "ALARM_CHANNELS": env.channels("SF_ALARM_CHANNELS"),
    "ALARM_AFTER_SECONDS": env.number("SF_ALARM_AFTER_SECONDS", default=120),
    "DRAIN_FILE": env.str("SF_DRAIN_FILE", default=""),
    "METRICS_TOKEN": env.str("SF_METRICS_TOKEN", default=""),
    "TOKEN_API": env.bool("SF_TOKEN_API", default=False),
    "TOKEN_API_CALLS_PER_MINUTE": env.number("SF_TOKEN_API_CALLS_PER_MINUTE", default=600),
}

try:
    LOGGING = logs.configuration(env.str("LOG_FORMAT", default="") or "line")
except ValueError as exc:
    raise ImproperlyConfigured(str(exc)) from exc
