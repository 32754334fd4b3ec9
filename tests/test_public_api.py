from __future__ import annotations

import inspect
import types

import sf_integration
from sf_integration.salesforce import errors

DOCUMENTED = {
    "get_client",
    "get_token",
    "aget_client",
    "aget_token",
    "SalesforceAuth",
    "AsyncClient",
    "Client",
    "Token",
    "Identity",
}


def test_all_names_what_is_there():
    public = {
        name
        for name, value in vars(sf_integration).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert set(sf_integration.__all__) == public
    assert len(sf_integration.__all__) == len(public)


def test_every_error_is_exported():
    defined = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.SalesforceError)
    }
    assert set(sf_integration.__all__) - DOCUMENTED == defined


def test_the_documented_names_are_there():
    assert set(sf_integration.__all__) >= DOCUMENTED


def test_no_error_shadows_a_builtin():
    import builtins

    assert not set(sf_integration.__all__) & set(vars(builtins))


def test_every_public_name_says_what_it_is():
    undocumented = [
        name for name in sf_integration.__all__ if not inspect.getdoc(getattr(sf_integration, name))
    ]
    assert undocumented == []
