"""Writing in groups: what is added while a group is written goes into the next one, and closing loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from dspex.clients.group_commit import Commit, GroupCommit, Row
from dspex.errors import ConfigurationError


class Disk:
    """A disk that holds every write until it is let go, and writes down the groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.writing, self.go, self.closed = Event(), Event(), False
        self.fault: Callable[[], None] = lambda: None

    @contextmanager
    def open(self) -> Generator[Commit, None, None]:
        yield self.commit
        self.closed = True

    def commit(self, rows: list[Row]) -> None:
        self.writing.set()
        self.go.wait()
        self.fault()
        self.groups.append([number for (number,) in rows])


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_what_comes_while_a_group_is_written_makes_the_next_group() -> None:
    async def crowd() -> None:
        disk = Disk()
        commits = GroupCommit(disk.open, "the disk")
        tasks = [asyncio.create_task(commits.add((0,)))]
        await until(disk.writing.is_set)
        tasks += [asyncio.create_task(commits.add((number,))) for number in range(1, 6)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        disk.go.set()
        await asyncio.gather(*tasks)
        assert disk.groups == [[0], [1, 2, 3, 4, 5]]
        commits.close()
        assert disk.closed

    asyncio.run(crowd())


def test_closing_waits_for_what_was_added() -> None:
    async def closing() -> None:
        disk = Disk()
        commits = GroupCommit(disk.open, "the disk")
        tasks = [asyncio.create_task(commits.add((number,))) for number in range(3)]
        await until(disk.writing.is_set)
        closer = Thread(target=commits.close)
        closer.start()
        closer.join(0.01)
        assert closer.is_alive()
        disk.go.set()
        await asyncio.gather(*tasks)
        closer.join()
        assert disk.closed
        with pytest.raises(ConfigurationError, match="the disk is closed"):
            await commits.add((9,))

    asyncio.run(closing())


def test_a_group_that_fails_tells_all_of_it_and_the_next_is_written() -> None:
    async def failing() -> None:
        disk = Disk()
        disk.go.set()

        def full() -> None:
            raise ConfigurationError("the disk is full")

        disk.fault = full
        commits = GroupCommit(disk.open, "the disk")
        outcomes = await asyncio.gather(*(commits.add((n,)) for n in range(3)), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["the disk is full"] * 3
        disk.fault = lambda: None
        await commits.add((3,))
        assert disk.groups == [[3]]
        commits.close()

    asyncio.run(failing())


def test_a_disk_that_cannot_be_opened_tells_everyone_and_can_be_closed() -> None:
    @contextmanager
    def missing() -> Generator[Commit, None, None]:
        raise ConfigurationError("no such disk")
        yield

    async def failing() -> None:
        commits = GroupCommit(missing, "the disk")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="no such disk"):
                await commits.add((1,))
        commits.close()

    asyncio.run(failing())


def test_a_loop_that_ended_while_it_waited_keeps_nobody_from_writing() -> None:
    disk = Disk()
    commits = GroupCommit(disk.open, "the disk")
    gone = asyncio.new_event_loop()
    task = gone.create_task(commits.add((1,)))
    gone.run_until_complete(until(disk.writing.is_set))
    task.cancel()
    gone.run_until_complete(asyncio.gather(task, return_exceptions=True))
    gone.close()
    disk.go.set()
    asyncio.run(commits.add((2,)))
    commits.close()
    assert disk.groups == [[1], [2]]
