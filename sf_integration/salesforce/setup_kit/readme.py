"""The kit's README: what it is, what it needs, the two commands, and what to do when they are refused."""

from __future__ import annotations

import shlex

from .kit import Kit
from .metadata import GLOBAL_FOLDER, SOURCE

TITLE = "# Set-up kit: "
LICENCE = "SalesforceAPIIntegrationPsl"
"""API name of the permission set licence “Salesforce API Integration”. Source: scripts in public repositories."""


def deploy_command(*, source: str = "force-app") -> str:
    return f"sf project deploy start --source-dir {source} --target-org ORG"


def assign_command(kit: Kit) -> str:
    return _assign("permset", kit.permission_set, kit)


def readme(kit: Kit) -> str:
    parts = [_head(kit), _before(kit), _commands(kit), _afterwards(kit), _trouble(kit), _files(kit)]
    return "\n".join(parts)


def _assign(what: str, name: str, kit: Kit) -> str:
    user = shlex.quote(kit.username) if kit.username else "USERNAME"
    return f"sf org assign {what} --name {name} --on-behalf-of {user} --target-org ORG"


def _head(kit: Kit) -> str:
    return f"""\
{TITLE}{kit.app}

This folder is Salesforce metadata in source format. Deployed, it makes the External Client App `{kit.app}` with the JWT Bearer
flow, the scopes `api` and `refresh_token`, “Admin approved users are pre-authorized”, and the permission set
`{kit.permission_set}` that lets a user in. It takes the place of the clicks in Setup.

**Not tried on a real org.** Names, folders and elements are those of Salesforce's Metadata API Developer Guide and of
deployments that others published. So begin with `--dry-run`.

It holds the certificate, which is public, and no secret. The private key stays where the certificate was made.
"""


def _before(kit: Kit) -> str:
    login = f" --instance-url {shlex.quote(kit.login_url)}" if kit.login_url else ""
    rights = (
        "\n\nThe user's licence must allow what the permission set opens "
        f"({', '.join(each.name for each in kit.objects)}). With the licence *Salesforce Integration* the permission set "
        f"licence *Salesforce API Integration* comes first:\n\n```sh\n{_assign('permsetlicense', LICENCE, kit)}\n```"
        if kit.objects
        else ""
    )
    return f"""\
## Before

- **Salesforce CLI** (`sf`), signed in to the org under an alias; `ORG` stands for it below: `sf org login web --alias ORG{login}`
- **The org** has External Client Apps switched on (Setup → External Client Apps → Settings; older orgs: “Opt in to External Client
  Apps”). If the deploy is refused for it, switch “Allow access to External Client App consumer secrets via Metadata API” on, and off
  again afterwards: Salesforce advises Off, and whether a deploy needs it is not known.
- **You** may create and edit External Client Apps, may “View all External Client Apps, view their settings, and edit their policies”
  and “View External Client Apps Consumer Secrets in Metadata”.
- **The integration user** exists{f", `{kit.username}`" if kit.username else ""}: licence *Salesforce Integration*, profile *Minimum Access - API Only
  Integrations* (older: *Salesforce API Only System Integrations*).{rights}

An app of this name that the org has already is changed by the deploy: its certificate is replaced.
"""


def _commands(kit: Kit) -> str:
    return f"""\
## The two commands

In this folder; the first once as a trial, then for good:

```sh
{deploy_command()} --dry-run
{deploy_command()}
{assign_command(kit)}
```

If the deploy says that it can't find the permission set, send that first, then all of it:

```sh
{deploy_command(source=f"{SOURCE}/permissionsets")}
{deploy_command()}
```
"""


def _afterwards(kit: Kit) -> str:
    wait = (
        "Then wait: two to ten minutes in most reports, up to fifteen by Salesforce's guide. Until then a sign-in answers "
        "`invalid_client_id` or `invalid assertion`."
    )
    if kit.consumer_key is not None:
        finish = f"\n\n```sh\n{kit.finish}\n```" if kit.finish else ""
        return f"""\
## Afterwards

Nothing has to be copied back: the consumer key came with the app. {wait}{finish}
"""
    folder = f"../{kit.app}-consumer-key"
    finish = f"\n\nThen here:\n\n```sh\n{kit.finish}\n```" if kit.finish else ""
    return f"""\
## Afterwards: the consumer key

The org has made it. In Setup: the app → Settings → OAuth Settings → *Consumer Key and Secret*. Or by command, into a folder outside
version control:

```sh
sf project retrieve start --metadata "ExtlClntAppGlobalOauthSettings:{kit.app}_global" --target-metadata-dir {folder} --unzip --target-org ORG
grep -rho "<consumerKey>[^<]*" {folder}
```

Delete that folder afterwards; it may hold the consumer secret too, which is not needed here.{finish}

{wait}
"""


def _trouble(kit: Kit) -> str:
    return f"""\
## When it is refused

| says | means | do |
| --- | --- | --- |
| `Could not infer a metadata type` | a file's suffix was changed | take the kit's own names |
| all is well, but a part is missing in the org | a file without `-meta.xml` is skipped in silence | take the kit's own names |
| `was not found in zipped directory` | an element or name was changed by hand | take the kit's own files |
| `INVALID_CROSS_REFERENCE_KEY` | a file names another app, or the app or the permission set is not there yet | send the permission set first, then all |
| `global OAuth Settings doesn't have a valid OAuth settings configuration` | the global settings went without the file in `extlClntAppOauthSettings` | deploy the whole folder |
| `already exists`, `duplicate`, or words about the consumer key | an app of this name or consumer key is in this org or another | give the app another label, or leave the consumer key to the org, and make the kit anew |
| `depends on permission(s): Read Account` | an object needs another one's rights, as Contact needs Account | add the named object and make the kit anew |
| `You cannot deploy to a required field` | required and master-detail fields need no right of their own | leave the field out |
| `The user license doesn't allow the permission` | the permission set licence is missing | assign *Salesforce API Integration* first (above) |
| `Invalid version specified` | the org is older than `sourceApiVersion` | set the org's version in `sfdx-project.json`, 60.0 at least |
| at the sign-in: `user hasn't approved this consumer` | the policies are not in force: Permitted Users is at its default | deploy again; look at the app → Policies |
| at the sign-in: `invalid_app_access` | the user lacks the permission set | the second command, for this very user |
| at the sign-in: `refresh_token scope is required` | the scopes were changed | deploy again |
| at the sign-in: `invalid assertion` | too early, or a later deploy without the certificate wiped it | wait; deploy this kit again |

The link between app and permission set shows in the org as a `SetupEntityAccess` record with `SetupEntityType` =
`ExternalClientApplication`. If it is missing: app → Policies → Edit → App Policies → select the permission set `{kit.permission_set}`.
"""


def _files(kit: Kit) -> str:
    return f"""\
## The files

`{SOURCE}/`: the app (`externalClientApps`), callback, certificate{" and consumer key" if kit.consumer_key is not None else ""}
(`{GLOBAL_FOLDER}`), scopes (`extlClntAppOauthSettings`), who may use it (`extlClntAppOauthPolicies`), switched on
(`extlClntAppPolicies`), the permission set (`permissionsets`). Salesforce says that the global OAuth settings don't belong under
version control; `.gitignore` keeps them out.
"""
