from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from sf_integration import SalesforceError, get_client


class Command(BaseCommand):
    help = "Prints the open deals of an org, the largest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", nargs="?", help="else the one of the settings")
        parser.add_argument("--stage")

    def handle(self, *args: Any, connection: str | None, stage: str | None, **options: Any) -> None:
        wanted = "StageName = {}" if stage else "IsClosed = false"
        statement = (
            f"SELECT Name, StageName, Amount FROM Opportunity WHERE {wanted} ORDER BY Amount DESC NULLS LAST"
        )
        try:
            with get_client(connection) as sf:
                for deal in sf.query_all(statement, *filter(None, [stage])):
                    self.stdout.write(f"{deal['Amount'] or 0:>12,.2f}  {deal['StageName']:<14}{deal['Name']}")
        except SalesforceError as error:
            raise CommandError(str(error)) from error
