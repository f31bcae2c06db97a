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

KINDS: dict[str, Callable[[], Host]] = {"inline": InlineHost, "process": ProcessHost}


def given(store: str, make: Callable[[], Host]) -> HostSetting:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Host]:
        host = make()
        try:
            yield host
        finally:
            await host.aclose()

    return HostSetting(store, opened)


@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_hosts_of_dspex_conform(kind: str, check: HostCheck, tmp_path: Path) -> None:
    asyncio.run(check(given(str(tmp_path / "dspex.db"), KINDS[kind])))


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
        asyncio.run(check(given(str(tmp_path / "dspex.db"), Idle)))
