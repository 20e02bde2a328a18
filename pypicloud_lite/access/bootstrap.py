"""The password of the first admin, for a server that someone just wants to try."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read_or_make_password(path: Path) -> str:
    """The password in ``path``; when there is none, a random one that is written there first.

    The file is made with mode 0600 and never overwritten, so that several processes that start
    together agree on one password.

    Raises:
        OSError: the file can't be read or made.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(18) + "\n")
        try:
            os.link(made, path)
        except FileExistsError:
            pass  # another process was first; its password counts
        finally:
            made.unlink()
    return path.read_text(encoding="utf-8").strip()
