import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Brand",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.SlugField(unique=True)),
                ("connection", models.SlugField(help_text="Name of the Salesforce connection.")),
            ],
        ),
        migrations.CreateModel(
            name="Customer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("salesforce_id", models.CharField(max_length=18, unique=True)),
                ("name", models.CharField(max_length=121)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("brand", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="orders.brand")),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.CharField(max_length=20, unique=True)),
                ("total", models.DecimalField(decimal_places=2, max_digits=10)),
                ("paid_on", models.DateField(null=True)),
                ("salesforce_id", models.CharField(blank=True, max_length=18)),
                ("brand", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="orders.brand")),
            ],
        ),
    ]
