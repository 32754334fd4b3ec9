"""`python -m docs.references` writes the parts of the documents that are made from the code anew."""

from __future__ import annotations

import django
from django.conf import settings

if __name__ == "__main__":
    # As little of a site as the verbs need to be imported: what they say depends on nobody's settings.
    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "sf_integration"]
    )
    django.setup()

    from .pages import stale

    for page, text in stale().items():
        page.write_text(text)
