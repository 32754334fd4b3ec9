"""Mistakes in the settings are named at start."""

from __future__ import annotations

import pytest
from django.test import override_settings

from sf_integration import conf
from sf_integration.checks.settings import check_names


@override_settings(SF_INTEGRATION={"ALLOWED_ENVIROMENTS": ["sandbox"], "KEEP_DAYS": 10})
def test_misspelt_key_is_named_with_the_one_that_is_meant() -> None:
    (found,) = check_names()
    assert found.id == "sf_integration.E008"
    assert "“ALLOWED_ENVIROMENTS”" in found.msg
    assert "“ALLOWED_ENVIRONMENTS”" in found.hint


@override_settings(SF_INTEGRATION={"COLOUR": "blue"})
def test_key_like_no_other_is_named_too() -> None:
    (found,) = check_names()
    assert found.hint.endswith("Take it out.")


@override_settings(SF_INTEGRATION={"KEEP_DAYS": 10, "SITE_URL": ""})
def test_known_keys_are_no_mistake() -> None:
    assert check_names() == []


@pytest.mark.parametrize("name", conf.NAMES)
def test_a_setting_from_a_variable_that_is_not_set_has_its_default(name: str) -> None:
    with override_settings(SF_INTEGRATION={}):
        default = getattr(conf.settings, name)
    with override_settings(SF_INTEGRATION={name: None}):
        assert getattr(conf.settings, name) == default
