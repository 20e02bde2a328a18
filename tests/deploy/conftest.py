from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.tools import Clients
from tests.support.nginx import PROGRAM


@pytest.fixture(scope="session")
def _nginx() -> None:
    if PROGRAM is None:
        pytest.skip("nginx is not installed")


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    """Every client, with a home of its own."""
    return Clients(tmp_path)
