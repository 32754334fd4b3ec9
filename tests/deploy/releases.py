"""This release, and a next one made up from it: nobody has an older one."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAST_MIGRATION = max((ROOT / "sf_integration" / "migrations").glob("[0-9]*.py")).stem
NEXT_MIGRATION = "9999_next"

# What releases do: a table, a column with its default in the database, an index, a task.
_MIGRATION = f"""
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("sf_integration", "{LAST_MIGRATION}")]
    operations = [
        migrations.CreateModel("Next", fields=[("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("accesstoken", "next", models.PositiveIntegerField(default=0, db_default=0)),
        migrations.AddIndex("auditevent", models.Index(fields=["actor", "subject"], name="sf_next")),
    ]
"""
_MODELS = """
from django.db import models
from .tokens import AccessToken

class Next(models.Model):
    pass

AccessToken.add_to_class("next", models.PositiveIntegerField(default=0, db_default=0))
"""
_TASK = """

@shared_task(name="sf_integration.next")
def next_task() -> None:
    pass
"""


def next_release(folder: Path) -> Path:
    """Its code, in `folder`."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("sf_integration", "sfjwt_site", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "manage.py", folder)
    app = folder / "sf_integration"
    app.joinpath("migrations", f"{NEXT_MIGRATION}.py").write_text(_MIGRATION)
    _append(app / "models" / "__init__.py", _MODELS)
    _append(app / "tasks.py", _TASK)
    return folder


def _append(file: Path, text: str) -> None:
    with file.open("a") as open_file:
        open_file.write(text)
