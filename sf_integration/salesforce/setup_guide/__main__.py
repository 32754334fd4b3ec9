"""`python -m sf_integration.salesforce.setup_guide > docs/set-up-guide.md` renews the document."""

from __future__ import annotations

import sys

from .markdown import as_markdown

sys.stdout.write(as_markdown())
