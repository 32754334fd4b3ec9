from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sf_integration", "0005_set_up_guide"),
    ]

    operations = [
        migrations.AddField(
            model_name="signingkey",
            name="warned_stage",
            field=models.SmallIntegerField(
                editable=False,
                help_text="The last stage before the certificate's end that was warned of.",
                null=True,
            ),
        ),
    ]
