"""How settings are declared, found and read.

A group of settings is a frozen dataclass whose fields are made by :func:`option`. Its fields are
the table: reading, validation, the reference page and the ini comments all come from them.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pypicloud_lite.errors import SettingsError
from pypicloud_lite.settings.kinds import Kind, text

LOG = logging.getLogger(__name__)

T = TypeVar("T")
_OPTION = "pypicloud_lite.option"


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = _Required()


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: its full name, what its value may be, its default and its help."""

    name: str
    kind: Kind
    default: Any
    help: str
    #: Other names that set the same value; pypicloud's older or longer ones.
    aliases: tuple[str, ...] = ()
    #: How the default is shown where the value itself would not help.
    default_text: str | None = None


def option(
    name: str,
    kind: Kind,
    default: Any = REQUIRED,
    help: str = "",  # noqa: A002 - the natural word at the place of use
    *,
    aliases: tuple[str, ...] = (),
    default_text: str | None = None,
) -> Any:
    """Declare a dataclass field that is read from the setting ``name``."""
    declared = Option(name, kind, default, help, aliases, default_text)
    metadata = {_OPTION: declared}
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def options_of(group: type) -> Iterator[tuple[str, Option]]:
    """The (field name, option) pairs of a settings dataclass, in order."""
    for field in dataclasses.fields(group):
        declared = field.metadata.get(_OPTION)
        if declared is not None:
            yield field.name, declared


def environment_name(name: str) -> str:
    """The environment variable that overrides the setting ``name``."""
    return "PPC_" + name.upper().replace(".", "_").replace("-", "_")


class Source:
    """The raw texts of all settings, the environment laid over the ini file.

    Collects problems instead of raising, so that the user hears of all of them at once.
    """

    def __init__(self, ini: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> None:
        self._ini = {str(name): str(value) for name, value in ini.items() if value is not None}
        self._environ = dict(environ or {})
        self._known: set[str] = set()
        self._problems: list[str] = []

    def text(self, name: str) -> str | None:
        """The text of a setting, or ``None`` when neither ini nor environment has it."""
        self._known.add(name)
        override = self._environ.get(environment_name(name))
        return override if override is not None else self._ini.get(name)

    def names(self, prefix: str) -> list[str]:
        """Names given under ``prefix`` in the ini file."""
        return [name for name in self._ini if name.startswith(prefix)]

    def environment_names(self, prefix: str) -> list[str]:
        """Environment variables given for settings under ``prefix``."""
        start = environment_name(prefix)
        return [name for name in self._environ if name.startswith(start)]

    def know(self, names: Iterable[str]) -> None:
        """Count these names as known without reading them."""
        self._known.update(names)

    def drop(self, name: str) -> None:
        """Forget a setting whose value has been refused already."""
        self._known.add(name)
        self._ini.pop(name, None)
        self._environ.pop(environment_name(name), None)

    def problem(self, sentence: str) -> None:
        """Record what is wrong; :meth:`check` raises all of it."""
        if sentence not in self._problems:
            self._problems.append(sentence)

    def read(self, declared: Option) -> Any:
        """The typed value of an option; its default when absent or wrong (and then recorded).

        ``None`` where there is no default: :meth:`check` raises before anyone uses it.
        """
        given = [
            (name, value)
            for name in (declared.name, *declared.aliases)
            if (value := self.text(name)) is not None
        ]
        if not given:
            if declared.default is not REQUIRED:
                return declared.default
            self.problem(
                f"{declared.name} is missing ({declared.kind.label}). {declared.help}".strip()
            )
            return None
        name, value = given[0]
        try:
            return declared.kind.parse(value)
        except (ValueError, KeyError):
            shown = "the value given" if declared.kind.secret else repr(value)
            self.problem(f"{name} = {shown}: must be {declared.kind.label}.")
            return None if declared.default is REQUIRED else declared.default

    def group(self, group: type[T]) -> T:
        """Read a whole settings dataclass."""
        return group(**{field: self.read(declared) for field, declared in options_of(group)})

    def check_unknown(self, prefix: str) -> None:
        """Record each setting under ``prefix`` that nothing has asked for."""
        candidates = sorted(name for name in self._known if name.startswith(prefix))
        for name in self.names(prefix):
            if name not in self._known:
                self.problem(f"{name} is not a setting.{_near(name, candidates)}")
        by_variable = {environment_name(name): name for name in candidates}
        for variable in self.environment_names(prefix):
            if variable not in by_variable:
                hint = _near(variable, list(by_variable))
                self.problem(f"The environment variable {variable} is not a setting.{hint}")

    def check(self) -> None:
        """Raise :class:`SettingsError` with every problem recorded so far, if any."""
        if self._problems:
            raise SettingsError(self._problems)


def _near(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.75)
    return f" Did you mean {close[0]}?" if close else ""


class Section:
    """The settings under one prefix, as a storage backend reads them.

    A backend reads all it wants, then calls :meth:`finish` before it touches anything outside of
    the process.
    """

    def __init__(self, source: Source, prefix: str) -> None:
        self._source = source
        self.prefix = prefix

    def get(self, name: str, kind: Kind = text, default: Any = None) -> Any:
        """The value of ``<prefix><name>``, read as ``kind``."""
        return self._source.read(Option(self.prefix + name, kind, default, ""))

    def group(self, group: type[T]) -> T:
        """Read a settings dataclass made with :func:`option`."""
        return self._source.group(group)

    def names(self) -> list[str]:
        """Names given in the ini file under the prefix, without it."""
        return [name.removeprefix(self.prefix) for name in self._source.names(self.prefix)]

    def problem(self, sentence: str) -> None:
        """Record what is wrong with the settings."""
        self._source.problem(sentence)

    def ignore(self, names: Iterable[str], why: str) -> None:
        """Take note of settings that another backend reads; logs those that are given."""
        full = [self.prefix + name for name in names]
        for name in full:
            if self._source.text(name) is not None:
                LOG.warning("%s has no effect: %s", name, why)

    def finish(self) -> None:
        """Raise :class:`SettingsError` if anything read so far, or any name left, is wrong."""
        self._source.check_unknown(self.prefix)
        self._source.check()
