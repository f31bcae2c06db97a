"""What tests of more than one room need."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.servers import postgres


@pytest.fixture(scope="session")
def server(server_process: postgres.Server) -> str:
    """The URL of a PostgreSQL server of this test session's own."""
    return server_process.url


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """The server itself, for a test that stops it and starts it again before it ends."""
    with postgres.serving(tmp_path_factory.mktemp("postgres"), tmp_path_factory.mktemp("runtime")) as found:
        yield found


# Started in the background of a script, this process ignores Ctrl-C, and so would every command that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
