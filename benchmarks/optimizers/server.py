"""The model server: chat completions of simulated worlds on loopback, with budgets, and an oracle for true scores.

    python -m benchmarks.optimizers.server --port-file FILE

`POST /sessions` {family, seed, budget} gives an id; `/s/ID/v1/chat/completions` answers and counts;
`/s/ID/oracle/v1/chat/completions` answers without counting and notes what the prompt tells the model;
`POST /s/ID/score` gives the true score of the program whose prompts the oracle has seen since; `GET /s/ID` the counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.optimizers.answering import written
from benchmarks.optimizers.families import world
from benchmarks.optimizers.proposing import proposal
from benchmarks.optimizers.reading import Reading, read
from benchmarks.optimizers.worlds import Stage, View, World


@dataclass(slots=True)
class Session:
    """One optimizer's run against one world."""

    world: World
    budget: int
    calls: int = 0
    proposals: int = 0
    refused: int = 0
    usd: float = 0.0
    repeats: dict[bytes, int] = field(default_factory=dict[bytes, int])
    views: dict[str, View] = field(default_factory=dict[str, View])
    """By stage, what the oracle has been asked."""

    def counts(self) -> dict[str, Any]:
        """What the session has used."""
        return {
            "calls": self.calls, "proposals": self.proposals, "refused": self.refused, "usd": self.usd,
            "budget": self.budget,
        }  # fmt: skip


THOUGHT = (
    "The customer describes what happened and names what it is about. What matters is which of these is the present "
    "matter, who looks after it, and whether anything else is said that changes this. Weighing all of it, the answer "
    "follows from the ticket."
)
SESSIONS = web.AppKey("sessions", dict[str, Session])


def answer(session: Session, body: Mapping[str, Any], *, oracle: bool = False) -> str:
    """The model's answer to a request. Equal requests get equal answers, the n-th repetition at a temperature too."""
    reading = read(body)
    stage = session.world.stage_of(reading)
    if stage is None or reading.case is None:
        if not oracle:
            session.proposals += 1
        return written(reading.form, proposal(session.world, reading, _repeat(session, body, reading)))
    case = session.world.cases[reading.case]
    view = session.world.view(reading, stage)
    if oracle:
        session.views[stage.name] = view
        return written(reading.form, _filled(reading, stage, case.truth[stage.output]))
    upstream = session.world.upstream(reading, stage, case)
    chance = session.world.settled(view, case, upstream)
    luck = session.world.luck(_prompt(body), case, view, _repeat(session, body, reading))
    given = case.truth[stage.output] if luck < chance else session.world.mistaken(view, case, luck)
    return written(reading.form, _filled(reading, stage, given))


def _filled(reading: Reading, stage: Stage, given: str) -> dict[str, object]:
    """The answer, and something for whatever else is asked for, such as reasoning."""
    return {name: given if name == stage.output else THOUGHT for name in reading.fields}


def _prompt(body: Mapping[str, Any]) -> str:
    """What is the same for all questions that one program asks at this stage."""
    fixed = [item["content"] for item in body["messages"][:-1]]
    settings = {name: value for name, value in body.items() if name != "messages"}
    return blake2b(json.dumps([fixed, settings], sort_keys=True).encode(), digest_size=8).hexdigest()


def _repeat(session: Session, body: Mapping[str, Any], reading: Reading) -> int:
    """How often this very request has been answered before; at temperature 0 it makes no difference."""
    if reading.settings.get("temperature") == 0:
        return 0
    key = blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=12).digest()
    count = session.repeats.get(key, 0)
    session.repeats[key] = count + 1
    return count


async def _opened(request: web.Request) -> web.Response:
    wanted = await request.json()
    sessions = request.app[SESSIONS]
    name = f"{wanted['family']}-{wanted['seed']}-{len(sessions)}"
    sessions[name] = Session(world(wanted["family"], wanted["seed"]), wanted["budget"])
    return web.json_response({"id": name})


def _session(request: web.Request) -> Session:
    found = request.app[SESSIONS].get(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound(text="no such session")
    return found


async def _completed(request: web.Request) -> web.Response:
    session, body = _session(request), json.loads(await request.read())
    if session.calls >= session.budget:
        session.refused += 1
        said = {"error": {"message": "the session's budget of calls is spent", "type": "invalid_request_error"}}
        return web.json_response(said, status=400)
    session.calls += 1
    return _completion(session, body, answer(session, body))


async def _foretold(request: web.Request) -> web.Response:
    session, body = _session(request), json.loads(await request.read())
    spent = session.usd
    reply = _completion(session, body, answer(session, body, oracle=True))
    session.usd = spent
    return reply


def _completion(session: Session, body: Mapping[str, Any], text: str) -> web.Response:
    asked = sum(len(str(item["content"])) for item in body["messages"]) // 4
    given = len(text) // 4 + 1
    price = session.world.models.get(str(body["model"]).rpartition("/")[2], (0.0, 0.0))
    session.usd += (price[0] * asked + price[1] * given) / 1e6
    return web.json_response(
        {
            "id": "simulated", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given},
        }
    )  # fmt: skip


async def _scored(request: web.Request) -> web.Response:
    session = _session(request)
    views = [session.views[item.name] for item in session.world.stages if item.name in session.views]
    session.views.clear()
    if len(views) < len(session.world.stages):
        return web.json_response({"error": "the oracle has not seen every stage of the program"}, status=409)
    return web.json_response({"score": session.world.score(views)})


async def _counted(request: web.Request) -> web.Response:
    return web.json_response(_session(request).counts())


def application() -> web.Application:
    """The server's routes over an empty table of sessions."""
    app = web.Application(client_max_size=64 * 2**20)
    app[SESSIONS] = {}
    app.router.add_post("/sessions", _opened)
    app.router.add_get("/s/{id}", _counted)
    app.router.add_post("/s/{id}/score", _scored)
    app.router.add_post("/s/{id}/v1/chat/completions", _completed)
    app.router.add_post("/s/{id}/oracle/v1/chat/completions", _foretold)
    return app


async def _serve(file: Path) -> None:
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    file.with_suffix(".part").write_text(str(port), encoding="ascii")
    file.with_suffix(".part").rename(file)
    # Whoever started it holds its stdin: it ends with them, however they end.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


def main() -> None:
    """Serve until stdin is closed; the port is written to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    asyncio.run(_serve(parser.parse_args().port_file))


if __name__ == "__main__":
    main()
