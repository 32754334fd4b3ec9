"""A web shop for coffee whose back office works in Salesforce: a second project, which knows the public API only."""

from __future__ import annotations

from .celery import app as celery_app

__all__ = ["celery_app"]
