"""What happened to a connection, of all sources in one line of time: checks, sign-ins, changes of state, acts of people."""

from __future__ import annotations

from .asking import Kind, Place, Question, Window
from .entries import Entry
from .pages import Day, Page, Run, lately, page_of

__all__ = ["Day", "Entry", "Kind", "Page", "Place", "Question", "Run", "Window", "lately", "page_of"]
