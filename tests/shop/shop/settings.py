from __future__ import annotations

import os
from pathlib import Path

from sf_integration.schedule import SCHEDULE

BASE_DIR = Path(__file__).parents[1]
VAR_DIR = Path(os.environ.get("SHOP_VAR", BASE_DIR / "var"))
VAR_DIR.mkdir(exist_ok=True)

SECRET_KEY = os.environ.get("SECRET_KEY", "for development alone")
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
LOGIN_URL = "/admin/login/"
USE_TZ = True
STATIC_URL = "static/"
DEFAULT_FROM_EMAIL = "shop@nordhafen.example"
EMAIL_SUBJECT_PREFIX = ""
MANAGERS = [("Back office", "back-office@nordhafen.example")]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "sf_integration",
    "orders",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", VAR_DIR / "shop.sqlite3"),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
        },
        "TEST": {"NAME": VAR_DIR / "test.sqlite3"},  # a file: worker and views have threads of their own
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _listed(name: str) -> list[str]:
    return [part for part in os.environ.get(name, "").split(",") if part]


SF_INTEGRATION = {
    "ENCRYPTION_KEYS": _listed("SF_ENCRYPTION_KEYS"),
    "ALLOWED_HOSTS": _listed("SF_ALLOWED_HOSTS"),
    "DEFAULT": "nordhafen",
}

CELERY_BROKER_URL = os.environ.get("BROKER_URL", "memory://")
CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.02}
CELERY_RESULT_BACKEND = "cache+memory://"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_LOST_WAIT = 0.5  # seconds until a killed process's message goes out again; else ten
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {
    **SCHEDULE,
    "push waiting orders": {"task": "orders.push_waiting", "schedule": 15 * 60},
    "import customers": {"task": "orders.import_customers", "schedule": 24 * 3600, "args": ("nordhafen",)},
}
if CELERY_BROKER_URL.startswith("filesystem"):
    for name in ("data_folder_in", "data_folder_out", "control_folder"):
        CELERY_BROKER_TRANSPORT_OPTIONS[name] = str(VAR_DIR / "messages")
    (VAR_DIR / "messages").mkdir(exist_ok=True)
