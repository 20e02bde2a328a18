from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.servers import IndexServer
from tests.clients.tools import BIN, TOOLS, Clients


@pytest.fixture(scope="session")
def _installed_clients() -> None:
    missing = [tool for tool in TOOLS if not (BIN / tool).exists()]
    if missing:
        pytest.fail(f"{BIN.parent} lacks {', '.join(missing)}: `make test` creates it.")


@pytest.fixture
def clients(tmp_path: Path, _installed_clients: None) -> Clients:
    """Every client, with a home of its own."""
    return Clients(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexServer]:
    """An index that everyone reads and ``writer`` writes to; tests use projects of their own."""
    with IndexServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=["pip", "uv"])
def installer(request: pytest.FixtureRequest) -> str:
    return str(request.param)
