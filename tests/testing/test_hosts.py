"""The hosts of DSPEx keep the contract, on a file and on a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dspex.hosting.handle import Run
from dspex.hosting.hosts import Host, InlineHost, ProcessHost
from dspex.testing.hosts import HOST_CHECKS, HostCheck, HostSetting
from dspex.testing.requiring import ConformanceError
from tests.servers.postgres import new_database

KINDS: dict[str, Callable[[], Host]] = {"inline": InlineHost, "process": ProcessHost}


def given(stores: tuple[str, str], make: Callable[[], Host]) -> HostSetting:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Host]:
        host = make()
        try:
            yield host
        finally:
            await host.aclose()

    return HostSetting(stores[0], opened, stores[1])


@pytest.fixture(params=["file", "server"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Stores that nothing is in."""
    if request.param == "file":
        return str(tmp_path / "dspex.db"), str(tmp_path / "other.db")
    monkeypatch.chdir(tmp_path)  # of a store that is no file, logs and flight records go below the working directory
    url: str = request.getfixturevalue("server")
    return new_database(url), new_database(url)


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_hosts_of_dspex_conform(kind: str, check: HostCheck, stores: tuple[str, str]) -> None:
    asyncio.run(check(given(stores, KINDS[kind])))


class Idle:
    """Takes every run and carries none."""

    async def carry(self, run: Run) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.__name__)
def test_the_suite_notices_a_host_that_does_nothing(
    check: HostCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspex.testing.hosts.WAIT", 0.2)
    with pytest.raises(ConformanceError):
        asyncio.run(check(given((str(tmp_path / "dspex.db"), str(tmp_path / "other.db")), Idle)))
