"""Every option of boto3's clients and of botocore's ``Config``, read off the installed botocore.

So an option that a newer botocore adds works under ``storage.`` without a change here, and one
that it doesn't know is refused at the start.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import boto3.session
from botocore.config import Config
from botocore.configprovider import DEFAULT_S3_CONFIG_VARS
from botocore.utils import ensure_boolean

from pypicloud_lite.settings.kinds import Kind, boolean, secret, text
from pypicloud_lite.settings.options import Section

_TYPE = re.compile(r"^\s*:type (\w+): *(.+?)\s*$", re.MULTILINE)
_S3_BLOCK = re.compile(r":param s3:(.*?)(?=^\s*:type )", re.MULTILINE | re.DOTALL)
_S3_OPTION = re.compile(r"^ {8}\* ``(\w+)`` -- (.*?)(?=^ {8}\* ``|\Z)", re.MULTILINE | re.DOTALL)
#: Parameters of Session.client and Session that aren't values.
_NOT_OPTIONS = frozenset({"self", "service_name", "config", "botocore_session"})


@dataclass(frozen=True)
class BotoOptions:
    """The options given, by what they are passed to."""

    session: Mapping[str, Any]
    client: Mapping[str, Any]
    config: Mapping[str, Any]

    @cached_property
    def boto_session(self) -> boto3.session.Session:
        """One session for all clients with these options: it reads botocore's data once."""
        return boto3.session.Session(**self.session)


def read_boto_options(section: Section) -> BotoOptions:
    """Read every option that botocore knows from ``storage.*``."""

    def given(kinds: Mapping[str, Kind]) -> dict[str, Any]:
        values = {name: section.get(name, kind) for name, kind in kinds.items()}
        return {name: value for name, value in values.items() if value is not None}

    config = given(config_kinds())
    s3 = given(s3_kinds())
    if s3:
        config["s3"] = {**config.get("s3", {}), **s3}
    return BotoOptions(given(session_kinds()), given(client_kinds()), config)


@cache
def client_kinds() -> dict[str, Kind]:
    """The options of ``boto3.session.Session.client``."""
    return _parameters(boto3.session.Session.client)


@cache
def session_kinds() -> dict[str, Kind]:
    """The options of ``boto3.session.Session`` that its ``client`` hasn't."""
    found = _parameters(boto3.session.Session.__init__, boto3.session.Session)
    return {name: kind for name, kind in found.items() if name not in client_kinds()}


@cache
def config_kinds() -> dict[str, Kind]:
    """The options of ``botocore.config.Config`` that no client takes by the same name."""
    types = _documented_types(Config.__doc__)
    return {
        name: _kind(types.get(name, ""), default)
        for name, default in Config.OPTION_DEFAULTS.items()
        if name not in client_kinds()
    }


@cache
def s3_kinds() -> dict[str, Kind]:
    """The options inside of ``Config(s3={...})``."""
    block = _S3_BLOCK.search(Config.__doc__ or "")
    documented = _S3_OPTION.findall(block[1]) if block else []
    kinds = {
        name: boolean if re.search(r"boolean|whether", words) else text
        for name, words in documented
    }
    for name, (_names, _variable, _default, convert) in DEFAULT_S3_CONFIG_VARS.items():
        kinds.setdefault(name, boolean if convert is ensure_boolean else text)
    return {name: kind for name, kind in kinds.items() if name not in Config.OPTION_DEFAULTS}


def _parameters(function: Callable[..., Any], documented: Any = None) -> dict[str, Kind]:
    types = _documented_types((documented or function).__doc__)
    return {
        name: secret
        if re.search("secret|token", name)
        else _kind(types.get(name, ""), parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in _NOT_OPTIONS
    }


def _documented_types(doc: str | None) -> dict[str, str]:
    return dict(_TYPE.findall(doc or ""))


def _kind(documented: str, default: Any) -> Kind:
    """How to read an option, from its documented type, else from its default."""
    words = documented.lower()
    if not words and isinstance(default, bool | int):
        words = type(default).__name__
    if words.startswith("bool") and "string" in words:
        words = "boolean/string"
    return next((kind for start, kind in _KINDS.items() if words.startswith(start)), text)


def _whole(value: str) -> int:
    return int(value.strip())


def _number(value: str) -> float | int:
    return int(value) if value.strip().isdigit() else float(value)


def _boolean_or_text(value: str) -> bool | str:
    try:
        return bool(boolean.parse(value))
    except ValueError:
        return value.strip()


def _one_or_two(value: str) -> str | tuple[str, ...]:
    parts = tuple(value.split())
    return parts if len(parts) == 2 else value.strip()


def _mapping(value: str) -> dict[str, Any]:
    """pypicloud's form of a dictionary: a line for each item."""
    found = {}
    for line in filter(None, map(str.strip, value.splitlines())):
        name, equals, item = line.partition("=")
        if not equals:
            raise ValueError(line)
        found[name.strip()] = _guess(item.strip())
    return found


def _guess(value: str) -> Any:
    """The value of an item, whose type is written nowhere."""
    if value.isdigit():
        return int(value)
    return {"true": True, "false": False}.get(value.lower(), value)


#: How the documented types begin -> how to read them.
_KINDS = {
    "boolean/string": Kind("true, false or a path", _boolean_or_text),
    "bool": boolean,
    "float": Kind("a number", _number),
    "int": Kind("a whole number", _whole),
    "dict": Kind("lines of the form name = value", _mapping),
    "str, (": Kind("one path, or two separated by a space", _one_or_two),
}
