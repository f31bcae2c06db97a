"""`dspex runs`: look at durable runs and steer them, wherever they are carried."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.blocking import wait
from dspex.cli.carrying import back, carried
from dspex.cli.exits import GATE, INTERRUPTED
from dspex.cli.nouns import noun
from dspex.cli.options import Calls, Json, RunId, Seconds, Store, Tokens, Usd
from dspex.cli.output import columns, emit, limits, marked, note, paint, say
from dspex.cli.resting import settled, warned_of
from dspex.cli.saving import refuse_existing, write
from dspex.cli.storing import runs_standing, store_named
from dspex.cli.telling import BROKEN, facts, next_step, tell, tell_promotion
from dspex.cli.watching import Watch, state_of, when
from dspex.clients.budget import Budget
from dspex.configuration.files import save
from dspex.durable import Run, attach
from dspex.errors import UnknownNameError
from dspex.hosting.building import Live
from dspex.hosting.launching import log_of
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.status import RunEvent, Standing, confirmed, scores_of
from dspex.optimization.counting import counted
from dspex.optimization.progress import ProgressLine
from dspex.optimization.reports.html import page
from dspex.storage import runs as rows

app = noun("Look at durable runs, and steer them.")
NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait until it is done.")]


@contextmanager
def attached(id: str, store: str | None) -> Generator[Run]:
    """A run of the project's store, let go of at the end."""
    run = attach(id, store=store_named(store))
    try:
        yield run
    finally:
        run.close()


@app.command("list")
def list_runs(
    store: Store = None,
    state: Annotated[
        list[str], typer.Option("--state", metavar="STATE", help="Only runs in this state.", show_default=False)
    ] = [],  # noqa: B006 - typer copies it
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 30,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    for name in state:
        if name not in rows.MOVES:
            raise UnknownNameError("state", name, rows.MOVES, "--state")
    found = runs_standing(store, lambda c: rows.listed(c, limit, frozenset(state) or None))
    if json:
        emit({"runs": [_row(item, where) for item, where in found]})
        return
    if not found:
        say("no runs" if not state else f"no runs that are {' or '.join(state)}")
        return
    table = [("run", "state", "best", "budget", "begun", "why")]
    for item, standing in found:
        best, _ = scores_of(item)
        where = "confirmed" if confirmed(item) else "on val"
        shown = "-" if best is None else f"{best:.3f} {where}"
        table.append((item.id, state_of(standing), shown, limits(item.budget), when(item.started), item.reason))
    say(columns(table))


def _row(item: rows.RunRow, where: Standing) -> dict[str, Any]:
    names = ("id", "name", "program", "parent", "state", "reason", "strategy", "seed", "budget", "restarts")
    more = {name: getattr(item, name) for name in ("created", "started", "finished")}
    more |= {"stalled": where.stalled, "orphaned": where.orphaned}
    more |= {"best_score": scores_of(item)[0], "confirmed": confirmed(item)}
    return {**{name: getattr(item, name) for name in names}, **more}


@app.command()
def show(run: RunId, store: Store = None, json: Json = False) -> None:
    """Show where a run is; answers also when nothing carries it."""
    with attached(run, store) as found:
        status = found.status()
        if json:
            emit({**facts(status, found.result()), "quarantined": [asdict(item) for item in found.quarantined()]})
        else:
            tell(status, found)


@app.command()
def watch(run: RunId, store: Store = None, json: Json = False) -> None:
    """Watch a run until it rests. Ctrl-C leaves it running."""
    with attached(run, store) as found:
        try:
            status = Watch(found.twin, to_stderr=json).until_it_rests()
        except KeyboardInterrupt:
            note()
            note(f"run {found.id} goes on. See it again: dspex runs watch {found.id}")
            note(f"Pause it: dspex runs pause {found.id}")
            raise typer.Exit(INTERRUPTED) from None
        result = found.result()
        if json:
            emit(facts(status, result))
        else:
            tell_promotion(status.program, result)
            say(next_step(status))
        if status.state in BROKEN or status.orphaned:
            raise typer.Exit(GATE)


@app.command()
def pause(run: RunId, store: Store = None, no_wait: NoWait = False, json: Json = False) -> None:
    """Let a run finish what is in flight and rest; it survives a reboot."""
    with attached(run, store) as found:
        # Before it is asked: a process that was stopped while it wrote holds that up.
        warned = not no_wait and wait(warned_of(found.twin))
        found.pause()
        settled(found, no_wait, json, warned=warned)


@app.command()
def stop(
    run: RunId,
    now: Annotated[bool, typer.Option("--now", help="Drop what is in flight, and confirm nothing.")] = False,
    store: Store = None,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """End a run: it confirms the best it has; with --now it ends at once."""
    with attached(run, store) as found:
        warned = not (no_wait or now) and wait(warned_of(found.twin))
        found.stop(now=now)
        settled(found, no_wait, json, warned=warned)


@app.command()
def resume(
    run: RunId,
    here: Annotated[bool, typer.Option("--here", help="Carry it in this process; Ctrl-C pauses it again.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Carry a run on, in a supervised process of its own or, with --here, in this one."""
    with attached(run, store) as found:
        if here:
            result = carried(found.twin, Live(), ProgressLine(), json=json)
            if json:
                emit(facts(found.status(), result.to_dict()))
            else:
                say(marked(result.report()).rstrip())
                tell_promotion(found.status().program, found.result())
            return
        found.resume()
        _going(found, json)


def _going(run: Run, json: bool) -> None:
    if json:
        emit(facts(run.status()))
        return
    say(f"run {run.id} goes on in a process of its own: dspex runs watch {run.id}")


@app.command("raise")
def raise_budget(  # noqa: PLR0913 - the options of the command
    run: RunId,
    calls: Calls = None,
    usd: Usd = None,
    tokens: Tokens = None,
    seconds: Seconds = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Set limits of a run's budget anew; what it has spent counts. Also while it is running."""
    if calls is usd is tokens is seconds is None:
        raise typer.BadParameter("name the limit to set: --calls, --usd, --tokens or --seconds")
    with attached(run, store) as found:
        budget = found.raise_budget(calls=calls, usd=usd, tokens=tokens, seconds=seconds)
        if json:
            emit({"run": found.id, "budget": budget.model_dump(exclude_none=True)})
            return
        say(f"run {found.id}: the budget is {limits(budget.model_dump(exclude_none=True))}")
        say(next_step(found.status()))


@app.command()
def fork(  # noqa: PLR0913 - the options of the command
    run: RunId,
    calls: Calls = None,
    usd: Usd = None,
    tokens: Tokens = None,
    seconds: Seconds = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="NAME", help="Another strategy.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Another seed.", show_default=False)] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Make it, and start it later with `resume`.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Make a new run that starts from this one's rows and paid calls, and start it; nothing is paid again.

    The budget holds for the whole: what the copied rows consumed counts. With another strategy or seed, or after the
    metric has changed, no row is copied: the search begins anew, and paid calls are answered from the store, uncounted.
    """
    given = Budget(calls=calls, usd=usd, tokens=tokens, seconds=seconds)
    with attached(run, store) as found:
        made = found.fork(budget=None if given == Budget() else given, seed=seed, strategy=strategy)
        try:
            if not no_start:
                made.resume()
        except OnlyInMemoryError as error:
            made_anyway = f"the fork {made.id} is made: carry it on with dspex.resume({made.id!r}, ...) where these are"
            raise OnlyInMemoryError(f"{error}; {made_anyway}") from None
        if not json:
            carried_over = counted(made.status().evaluations, "evaluation")
            note(f"run {made.id}: forked from {found.id}, {carried_over} carried over")
        if no_start and not json:
            back(made.id)
        else:
            _going(made, json)


@app.command()
def export(
    run: RunId,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.", show_default="stdout")
    ] = None,
    evaluations: Annotated[
        bool, typer.Option("--evaluations", help="Every evaluation as JSON lines, not the program.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Write the best program of a run to a file, or its evaluations. Before the end the program is not confirmed."""
    with attached(run, store) as found:
        if out is not None:
            refuse_existing(out, force)
        text = "".join(_line(item) for item in found.evaluations()) if evaluations else None
        if text is None and found.status().state not in ("completed", "stopped"):
            note("this is the leader so far; no untouched split has confirmed it")
        if text is None and out is not None:
            save(found.best(), out)
        elif out is not None:
            write(out, str(text))
        else:
            say((text if text is not None else jsonlib.dumps(found.best().to_data(), ensure_ascii=False)).rstrip())
            return
        if json:
            emit({"run": found.id, "out": str(out)})
        else:
            say(f"wrote {out}")


def _line(item: Any) -> str:
    return jsonlib.dumps(asdict(item), ensure_ascii=False) + "\n"


@app.command()
def report(
    run: RunId,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="text, markdown or html.")] = "text",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.", show_default="stdout")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Report on a run that has ended: what changed, what it gained, what it cost, what mattered."""
    with attached(run, store) as found:
        text = found.report(form)
        if form == "html" and out is not None:
            text = page(text, f"run {found.id}")
        if out is None:
            if json:
                emit({"run": found.id, "format": form, "report": text})
            else:
                say(marked(text).rstrip() if form == "text" else text.rstrip())
            return
        refuse_existing(out, force)
        write(out, text)
        if json:
            emit({"run": found.id, "format": form, "out": str(out)})
        else:
            say(f"wrote {out}")


def _events(run: Run) -> Generator[RunEvent]:
    """All of them; the handle gives them by the thousand."""
    after = 0
    while part := run.events(after):
        yield from part
        after = part[-1].sequence


@app.command()
def logs(
    run: RunId,
    events: Annotated[bool, typer.Option("--events", help="What happened, from the store, not the log file.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Print what a run's processes wrote, or its events."""
    with attached(run, store) as found:
        path = log_of(found.twin.database, found.id)
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if json:
            emit({"run": found.id, "file": str(path), "log": text, "events": [asdict(item) for item in _events(found)]})
        elif events:
            for item in _events(found):
                said = "  ".join(f"{name} {value}" for name, value in item.data.items() if value not in ("", None))
                say(f"{when(item.created)}  {paint(item.kind, 'bold')}  {said}")
        else:
            say(text.rstrip() or f"{path}: nothing was written; see `dspex runs logs {found.id} --events`")
