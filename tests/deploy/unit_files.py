"""What docs/deploy tells to run: units of systemd and lines of the Procfile, read as their programs read them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
UNITS = DEPLOY / "systemd"
SHARED = UNITS / "sf-connections-.service.d" / "common.conf"
HOME = "/opt/sf-connections"
"""Where the units expect the release."""


@dataclass(frozen=True)
class Unit:
    """Sections of a unit file and of what it shares with others; an option may be given several times."""

    name: str
    options: tuple[tuple[str, str, str], ...]

    @classmethod
    def read(cls, name: str) -> Unit:
        shared = _options(SHARED) if name.endswith(".service") else []
        return cls(name, (*_options(UNITS / name), *shared))

    def all(self, option: str) -> list[str]:
        return [value for _, name, value in self.options if name == option]

    def one(self, option: str) -> str:
        (value,) = self.all(option)
        return value


def _options(path: Path) -> list[tuple[str, str, str]]:
    found, section = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.append((section, name, value))
    return found


def unit_names(kind: str = "") -> list[str]:
    return sorted(path.name for path in UNITS.iterdir() if path.is_file() and path.suffix in (kind or _KINDS))


_KINDS = (".service", ".socket", ".timer")


@dataclass(frozen=True)
class Host:
    """A machine that a unit is started on."""

    prefix: Path
    """Of the Python environment."""
    var: Path
    credentials: Path

    def expand(self, text: str, *, instance: str = "1") -> str:
        """Specifiers and folders of a unit as they are here."""
        places = {
            "%S/sf-connections": str(self.var),
            "%d": str(self.credentials),
            "%i": instance,
            "%H": "here",
            f"{HOME}/.venv": str(self.prefix),
            HOME: str(ROOT),
        }
        for pattern, value in places.items():
            text = text.replace(pattern, value)
        assert "%" not in text, text
        return text

    def command(self, line: str) -> list[str]:
        return shlex.split(self.expand(line))

    def environment(self, unit: Unit) -> dict[str, str]:
        """All that a service of this unit knows: nothing of ours."""
        words = [word for line in unit.all("Environment") for word in shlex.split(self.expand(line))]
        words += read_environment_file(DEPLOY / "environment.example")
        return {"PATH": "/usr/bin:/bin"} | dict(word.split("=", 1) for word in words)


def read_environment_file(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def procfile() -> dict[str, str]:
    lines = [line for line in (ROOT / "Procfile").read_text().splitlines() if not line.startswith("#")]
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}
