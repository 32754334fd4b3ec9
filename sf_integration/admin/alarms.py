"""Alarms and the messages about them, read-only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from .. import access
from ..access import Deed
from ..alarms import seeing
from ..models import Alarm, AlarmMessage
from .cells import EMPTY, exactly
from .filters import Choice, Choices
from .permissions import Deeds, ReadOnlyAdmin


class AlarmKind(Choice):
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def choices_for(self, request: HttpRequest) -> Choices:
        return Alarm.Kind.choices


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    deeds = Deeds(view=Deed.SEE_ALARMS)
    what = gettext_lazy("What people were told of, from when it began to when it was over.")
    list_display = ("title", "kind", "began", "last_told", "ended", "level")
    list_filter = (AlarmKind,)
    search_fields = ("title",)
    search_help_text = gettext_lazy("Connection, host or key")
    ordering = ("-raised_at",)
    # Not how many connections it concerns: some may be hidden from the reader.
    fields = (
        "title",
        "kind",
        "began",
        "noticed",
        "last_told",
        "level",
        "cause",
        "who",
        "remedy",
        "ended",
        "ending",
    )
    began = exactly("since", gettext_lazy("Since"))
    noticed = exactly("raised_at", gettext_lazy("Noticed"))
    last_told = exactly("told_at", gettext_lazy("Last told"))
    ended = exactly("ended_at", gettext_lazy("Ended"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alarm]:
        alarms = seeing.told_alarms()
        if request.user.is_superuser:
            return alarms
        # Few are kept: which of them are of connections in sight stands in a column that databases compare differently.
        seen = seeing.visible(request.user, alarms)
        return alarms.filter(pk__in=[each.alarm.pk for each in seen])

    @admin.display(description=gettext_lazy("Cause"))
    def cause(self, alarm: Alarm) -> str:
        return alarm.facts.get("cause") or EMPTY

    @admin.display(description=gettext_lazy("Who must act"))
    def who(self, alarm: Alarm) -> str:
        return alarm.facts.get("who") or EMPTY

    @admin.display(description=gettext_lazy("What to do"))
    def remedy(self, alarm: Alarm) -> str:
        return alarm.facts.get("remedy") or EMPTY


@admin.register(AlarmMessage)
class AlarmMessageAdmin(ReadOnlyAdmin):
    deeds = Deeds(view=Deed.MANAGE_ALARMS)
    what = gettext_lazy("Messages about alarms: to whom, whether they went out, and why not.")
    list_display = ("subject", "recipient", "written", "sent", "attempts", "problem")
    search_fields = ("target", "subject")
    search_help_text = gettext_lazy("Recipient or subject")
    fields = ("recipient", "subject", "body", "written", "sent", "attempts", "next_try", "problem")
    written = exactly("created_at", gettext_lazy("Written"))
    sent = exactly("sent_at", gettext_lazy("Sent"))
    next_try = exactly("next_try_at", gettext_lazy("Next try"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlarmMessage]:
        """Messages name connections: they are for those from whom none is hidden."""
        rows: QuerySet[AlarmMessage] = super().get_queryset(request)
        return rows if access.sees_all(request.user) else rows.none()

    @admin.display(description=gettext_lazy("To"), ordering="target")
    def recipient(self, message: AlarmMessage) -> str:
        return message.recipient
