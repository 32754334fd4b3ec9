"""System checks: what is wrong with the settings, what is stored and the schedule, each with an id and a hint."""

from . import schedule, settings, stored

__all__ = ["schedule", "settings", "stored"]
