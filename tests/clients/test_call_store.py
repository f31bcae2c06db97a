"""The memory of calls: what is put is there, first write wins, and a SQLite file is shared by processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dspex.clients.call_store import MemoryCallStore, SQLiteCallStore
from dspex.errors import ConfigurationError
from dspex.kernel.ports import CallStore, Completion, Request, Usage

QUESTION = Request("openai/a", [{"role": "user", "content": "a secret question"}], {"temperature": 1}, 4)
WHOLE = Completion("Grüße\n\x00 世界", "length", Usage(1, 12, 34, 0.25), "served", ({"id": "1", "f": {"a": [1]}},))
Store = MemoryCallStore | SQLiteCallStore
Make = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return MemoryCallStore if request.param == "memory" else lambda: SQLiteCallStore(tmp_path / "deep" / "calls.db")


def kept(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])


def test_what_was_put_is_there_whole(make: Make) -> None:
    async def round_trip() -> None:
        store: CallStore = make()
        assert await store.get("k") is None
        await store.put("k", QUESTION, WHOLE)
        await store.put("plain", QUESTION, Completion("", usage=Usage(1, 0, 0, None)))
        assert await store.get("k") == WHOLE
        assert await store.get("plain") == Completion("", usage=Usage(1, 0, 0, None))
        await store.aclose()

    asyncio.run(round_trip())


@pytest.mark.parametrize("text", ["half \ud83d of a pair", "\ud83d", "\ufeff", "'; DROP TABLE calls; --"])
def test_any_text_a_model_may_write_comes_back(make: Make, text: str) -> None:
    async def round_trip() -> None:
        store = make()
        answers = [Completion(text, model=text), Completion("in the same group")]
        await asyncio.gather(*(store.put(str(n), QUESTION, answer) for n, answer in enumerate(answers)))
        assert [await store.get(str(n)) for n in range(2)] == answers
        await store.aclose()

    asyncio.run(round_trip())


def test_the_first_put_of_a_key_wins(make: Make) -> None:
    async def twice() -> str:
        store = make()
        await store.put("k", QUESTION, Completion("first"))
        await store.put("k", QUESTION, Completion("second"))
        found = await store.get("k")
        assert found is not None
        assert len(store) == 1
        await store.aclose()
        return found.text

    assert asyncio.run(twice()) == "first"


def test_memory_forgets_what_was_not_asked_for_longest() -> None:
    async def crowded() -> list[str]:
        store = MemoryCallStore(max_entries=3)
        for key in "abc":
            await store.put(key, QUESTION, WHOLE)
        await store.get("a")
        await store.put("d", QUESTION, WHOLE)
        return [key for key in "abcd" if await store.get(key)]

    assert asyncio.run(crowded()) == ["a", "c", "d"]
    with pytest.raises(ConfigurationError, match="at least 1"):
        MemoryCallStore(max_entries=0)


def test_a_file_is_read_again_by_another_store_while_the_first_is_open(tmp_path: Path) -> None:
    async def shared() -> None:
        one, other = (SQLiteCallStore(tmp_path / "calls.db") for _ in range(2))
        await one.put("k", QUESTION, WHOLE)
        assert await other.get("k") == WHOLE
        await asyncio.gather(one.aclose(), other.aclose())

    asyncio.run(shared())


def test_one_store_works_on_one_loop_after_another(tmp_path: Path) -> None:
    store = SQLiteCallStore(tmp_path / "calls.db")
    for key in "ab":
        asyncio.run(store.put(key, QUESTION, WHOLE))
    assert asyncio.run(store.get("a")) == WHOLE
    asyncio.run(store.aclose())


def test_neither_messages_nor_settings_are_kept(tmp_path: Path) -> None:
    store = SQLiteCallStore(tmp_path / "calls.db")
    asyncio.run(store.put("k", QUESTION, WHOLE))
    asyncio.run(store.aclose())
    assert b"a secret question" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_puts_at_the_same_time_share_commits(tmp_path: Path) -> None:
    async def crowd() -> None:
        store = SQLiteCallStore(tmp_path / "calls.db")
        await asyncio.gather(*(store.put(str(n), QUESTION, WHOLE) for n in range(500)))
        assert len(store) == 500
        await store.aclose()

    asyncio.run(crowd())
    with closing(sqlite3.connect(tmp_path / "calls.db")) as connection:
        groups = connection.execute("SELECT count(DISTINCT created) FROM calls").fetchone()[0]
    assert groups < 500


def test_a_put_that_is_cancelled_is_committed_all_the_same(tmp_path: Path) -> None:
    async def cancelled() -> None:
        store = SQLiteCallStore(tmp_path / "calls.db")
        task = asyncio.create_task(store.put("k", QUESTION, WHOLE))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.aclose()

    asyncio.run(cancelled())
    assert kept(tmp_path / "calls.db") == 1


WRITER = """
import asyncio, sys
from dspex.clients.call_store import SQLiteCallStore
from dspex.kernel.ports import Completion, Request
async def main(path, name):
    store = SQLiteCallStore(path)
    for group in range(20):
        await asyncio.gather(*(
            store.put(f"{owner}-{group}-{n}", Request("x/y", []), Completion(name))
            for owner in (name, "both") for n in range(10)
        ))
        assert await store.get(f"{name}-{group}-9") is not None
    await store.aclose()
asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def test_processes_write_one_file_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"w{n}"], stderr=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 3
    assert kept(path) == 3 * 200 + 200


KILLED = """
import asyncio, os, sys
from dspex.clients.call_store import SQLiteCallStore
from dspex.kernel.ports import Completion, Request
async def main(path):
    store = SQLiteCallStore(path)
    for n in range(1000000):
        await store.put(str(n), Request("x/y", []), Completion("a" * 500))
        os.write(1, b"%d\\n" % n)
asyncio.run(main(sys.argv[1]))
"""


def test_what_put_returned_from_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(50):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    finished = 50 + len(writer.stdout.readlines())
    writer.stdout.close()
    writer.wait()
    store = SQLiteCallStore(path)
    assert [n for n in range(finished) if asyncio.run(store.get(str(n))) is None] == []
    asyncio.run(store.aclose())


def damaged(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough to be taken for one" * 100)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")


def newer(path: Path) -> None:
    asyncio.run(SQLiteCallStore(path).aclose())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def folder(path: Path) -> None:
    path.mkdir()


def under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("not a folder")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, "it is not a SQLite file; name another path"),
        (foreign, "a SQLite file of something else; name another path"),
        (newer, "written by a newer DSPEx .format 99, this one reads 1.; upgrade DSPEx"),
        (folder, "it cannot be opened; check the path"),
        (under_a_file, "name another path .*File exists"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(
    spoil: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "here" / "calls.db"
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(ConfigurationError, match=words) as caught:
        SQLiteCallStore(path)
    assert str(path) in str(caught.value)


def test_a_file_of_something_else_is_left_as_it_was(tmp_path: Path) -> None:
    foreign(tmp_path / "theirs.db")
    before = (tmp_path / "theirs.db").read_bytes()
    with pytest.raises(ConfigurationError):
        SQLiteCallStore(tmp_path / "theirs.db")
    assert (tmp_path / "theirs.db").read_bytes() == before


def test_processes_that_make_the_file_together_all_succeed(tmp_path: Path) -> None:
    code = (
        "import sys; from dspex.clients.call_store import SQLiteCallStore; input()\n"
        "for n in range(40): SQLiteCallStore(sys.argv[1] + str(n))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "calls.db")]
    makers = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    assert [(maker.communicate()[1], maker.returncode) for maker in makers] == [("", 0)] * 4


def test_a_file_damaged_while_in_use_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    async def spoiled() -> None:
        path = tmp_path / "calls.db"
        store = SQLiteCallStore(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE calls")
        with pytest.raises(ConfigurationError, match="no such table"):
            await store.get("k")
        with pytest.raises(ConfigurationError, match="no such table"):
            await store.put("k", QUESTION, WHOLE)
        await store.aclose()

    asyncio.run(spoiled())


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async def late() -> None:
        store = SQLiteCallStore(tmp_path / "calls.db")
        await store.put("k", QUESTION, WHOLE)
        await store.aclose()
        await store.aclose()
        with pytest.raises(ConfigurationError, match="is closed"):
            await store.get("k")
        with pytest.raises(ConfigurationError, match="is closed"):
            await store.put("k", QUESTION, WHOLE)

    asyncio.run(late())


def test_a_store_that_is_forgotten_closes_itself(tmp_path: Path) -> None:
    store = SQLiteCallStore(tmp_path / "calls.db")
    asyncio.run(store.put("k", QUESTION, WHOLE))
    thread = store._commits._thread  # pyright: ignore[reportPrivateUsage]
    assert thread is not None
    del store
    gc.collect()
    assert not thread.is_alive()
