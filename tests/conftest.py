"""What tests of more than one room need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import postgres


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this test session's own."""
    with postgres.serving(tmp_path_factory.mktemp("postgres"), tmp_path_factory.mktemp("runtime")) as url:
        yield url
