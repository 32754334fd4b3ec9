"""Settings: variables as `.env.example` tells them, keys as `sf_integration.conf` does, checks as they are coded."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sf_integration.conf import ENVIRONMENTS, NAMES, Settings

from .markdown import code, prose, table

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?P<told>(?:^#.*\n)+)^(?:# )?(?P<name>[A-Z_]+)=(?P<value>.*)$", re.MULTILINE)
_DEFAULT = re.compile(r"\s*Default: (.*?)\.(?=\s|$)")
_UNITS = {"_SECONDS": "seconds", "_DAYS": "days", "_PER_MINUTE": "a minute"}


@dataclass(frozen=True)
class Variable:
    name: str
    told: str
    default: str
    example: str
    """Empty where the value is a secret to be made."""


class _Defaults(Settings):
    def _get(self, name: str, default: Any) -> Any:
        return default


# ---- variables of the ready site ------------------------------------------------------------------------------------


def example_file() -> dict[str, list[Variable]]:
    """Heading to variables."""
    parts = re.split(r"^# ---- (.+?) -+$\n", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    return {
        title: [_variable(found) for found in _BLOCK.finditer(text)]
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def _variable(found: re.Match[str]) -> Variable:
    comment = re.sub(r"^# ?", "", found["told"], flags=re.MULTILINE)
    told = prose(re.sub(r"^  (\S.*)$", r"`\1`", comment, flags=re.MULTILINE))
    default = _DEFAULT.search(told)
    return Variable(
        found["name"],
        _DEFAULT.sub("", told, count=1).strip(),
        default[1] if default else "needed",
        found["value"],
    )


def variables() -> str:
    return "\n\n".join(
        f"### {title}\n\n{table(['variable', 'meaning', 'default'], map(_variable_row, found))}"
        for title, found in example_file().items()
    )


def _variable_row(variable: Variable) -> list[str]:
    example = code(variable.example) if variable.example else ""
    said = example in variable.told or example == variable.default
    return [
        code(variable.name),
        variable.told if said else f"{variable.told} Example: {example}.",
        variable.default,
    ]


# ---- keys of the dict -----------------------------------------------------------------------------------------------


def variables_of_keys() -> dict[str, str]:
    """Key to the variable that the ready site fills it from, as its settings module has it."""
    for node in _tree("sfjwt_site/settings.py").body:
        match node:
            case ast.Assign([ast.Name("SF_INTEGRATION")], ast.Dict(keys, values)):
                return {
                    ast.literal_eval(key): variable[0]
                    for key, value in zip(keys, values, strict=True)
                    if key and (variable := re.search(r"\b[A-Z][A-Z_]+\b", ast.unparse(value)))
                }
    return {}


def keys() -> str:
    sources = variables_of_keys()
    return table(
        ["key", "meaning", "default"],
        [[code(name), _told(name) + _from(sources.get(name)), _default(name)] for name in NAMES],
    )


def _told(name: str) -> str:
    return prose(inspect.getdoc(getattr(Settings, name)) or "")


def _from(variable: str | None) -> str:
    return f" From {code(variable)}." if variable else ""


def _default(name: str) -> str:
    value = getattr(_Defaults(), name)
    if value == frozenset(ENVIRONMENTS):
        return "all"
    unit = next((f" {unit}" for ending, unit in _UNITS.items() if name.endswith(ending)), "")
    return "none" if value in ("", (), {}) else code(repr(value)) + unit


# ---- system checks --------------------------------------------------------------------------------------------------


def checks() -> str:
    return table(["id", "what it says", "what to do"], sorted(_checks()))


def _checks() -> Iterator[list[str]]:
    for module in (ROOT / "sf_integration" / "checks").glob("*.py"):
        calls = (node for node in ast.walk(_tree(module)) if isinstance(node, ast.Call))
        for call in calls:
            named = {word.arg: word.value for word in call.keywords}
            if {"id", "hint"} <= set(named):
                name = _text(named["id"]).removeprefix("sf_integration.")
                yield [code(name), _text(call.args[0]), _text(named["hint"])]


def _text(node: ast.expr) -> str:
    """A text in the code; what is put in when it runs, as an ellipsis."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return re.sub(r"…( ?…)*\.?", "…", "".join(map(_text, parts)))
    return "…"


def _tree(path: str | Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())
