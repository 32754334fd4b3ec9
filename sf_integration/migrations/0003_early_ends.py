"""How often in a row the org ended a session before the session length, and after how long at the soonest.

With defaults in the database, so that processes of the release before can go on adding rows.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sf_integration", "0002_groups")]
    operations = [
        migrations.AddField(
            "accesstoken",
            "early_ends",
            models.PositiveIntegerField(
                default=0,
                db_default=0,
                help_text="Sessions in a row that the org ended before the session length.",
            ),
        ),
        migrations.AddField(
            "accesstoken",
            "shortest_life_seconds",
            models.PositiveIntegerField(default=0, db_default=0, help_text="Of these sessions."),
        ),
    ]
