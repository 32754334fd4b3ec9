"""Every claim counts the logins of a user over all connections."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sf_integration", "0003_early_ends")]
    operations = [
        migrations.AddIndex("accesstoken", models.Index(fields=["username"], name="sf_token_username")),
    ]
