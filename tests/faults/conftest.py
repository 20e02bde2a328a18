from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server import app_settings


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of servers that share a folder and a database."""
    if request.param == "sqlite":
        return app_settings(tmp_path)
    url = request.getfixturevalue("postgresql_database")
    return app_settings(tmp_path, db__url=url.replace("%", "%%"))
