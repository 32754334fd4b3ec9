"""Three ready groups, made once: what an administrator changes or deletes later stays so."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LOOK = ["view_health"]
OPERATE = [*LOOK, "run_checks", "look_up_records"]
MANAGE = [*OPERATE, "manage_keys", "take_tokens"]
GROUPS = {"Salesforce: look": LOOK, "Salesforce: operate": OPERATE, "Salesforce: manage keys": MANAGE}


def make_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Django makes permissions after the last migration, which is too late for here; it then finds these.
    database = schema_editor.connection.alias
    content_type, _ = (
        apps.get_model("contenttypes", "ContentType")
        .objects.using(database)
        .get_or_create(app_label="sf_integration", model="connectedapp")
    )
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    labels = dict(apps.get_model("sf_integration", "ConnectedApp")._meta.permissions)
    for name, codenames in GROUPS.items():
        group, created = Group.objects.using(database).get_or_create(name=name)
        if not created:
            continue
        for codename in codenames:
            permission, _ = Permission.objects.using(database).get_or_create(
                content_type=content_type, codename=codename, defaults={"name": labels[codename]}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("sf_integration", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
