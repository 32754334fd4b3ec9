from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from sfjwt_site.environment import load_env_file

load_env_file()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sfjwt_site.settings")
application = get_wsgi_application()
