"""DSPEx as a peer of the measuring harness: public names only, and nothing switched off.

Options (`--opt key=value`): `mode=await` runs calls awaited in one loop, otherwise through the blocking verbs;
`adapter=json|chat`; `demos=N`; `calls=N`, the budget of an optimization.

Retries, the limiter, the history, the accounting and an observer are on, as a user has them. The mock server answers in
JSON, so that is what is asked for; in process the model answers in the form that the adapter asks for.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any, Literal

import dspex

if TYPE_CHECKING:
    from dspex.kernel.ports import Event, Message, Request

    class BasePeer:
        """The harness's interface; it has no types of its own."""

    class policy:  # noqa: N801
        """The harness's task: what is right, and a model that knows it with some probability."""

        @staticmethod
        def make_texts(n: int, offset: int = 0) -> list[str]: ...

        @staticmethod
        def gold(text: str) -> tuple[str, int]: ...

        class Policy:
            def __init__(self, accuracy: float) -> None: ...

            def respond(
                self, messages: Sequence[Message], *, temperature: float | None = None
            ) -> tuple[str | None, Any]: ...

else:
    from peers.base import BasePeer, policy

DEFINE = '''
from typing import Literal
import dspex
class Review(dspex.Signature):
    """Read the review and decide its label and its score."""
    text: str = dspex.Input()
    label: Literal["positive", "negative", "neutral"] = dspex.Output()
    score: int = dspex.Output()
program = dspex.Program(name="review", pipeline=[dspex.predict(Review)])
'''
HELLO = f"""{DEFINE}
import os
providers = {{"openai": {{"base_url": os.environ["BENCH_BASE_URL"]}}}}
runtime = dspex.runtime("openai/gpt-4o-mini", adapter="json", cache="none", providers=providers)
print(dspex.run(program, {{"text": "Review #1: the kettle was odd. (end)"}}, runtime)["label"])
"""


class Review(dspex.Signature):
    """Read the review and decide its label and its score."""

    text: str = dspex.Input()
    label: Literal["positive", "negative", "neutral"] = dspex.Output()
    score: int = dspex.Output()


def both_right(example: dspex.Example, state: dspex.State) -> float:
    """The metric, the same as the other peers': label and score as expected."""
    return float(state["label"] == example["label"] and state["score"] == example["score"])


both_right.inline = True  # type: ignore[attr-defined] # quick and pure: may run on the loop


class Peer(BasePeer):
    """One program of one step, on a runtime as `dspex.runtime` builds it."""

    dists = ("dspex", "pydantic", "aiohttp")
    import_line = DEFINE
    hello = HELLO

    def setup(  # noqa: PLR0913 - the harness calls it so
        self,
        *,
        backend: str,
        base_url: str | None = None,
        concurrency: int = 1,
        cache: str = "none",
        retries: int | None = None,
        accuracy: float = 1.0,
        opts: dict[str, str] | None = None,
    ) -> None:
        self.opts = opts or {}
        self.adapter = self.opts.get("adapter", "json")
        self.loop = asyncio.new_event_loop() if self.opts.get("mode") == "await" else None
        self.events = 0
        self.paid = 0
        self.concurrency = concurrency
        self.settings: dict[str, Any] = {"adapter": self.adapter, "concurrency": concurrency}
        self.settings["cache"] = os.path.join(self.opts.get("tmp", "."), "calls.sqlite") if cache == "disk" else cache
        if retries is not None:
            self.settings["retries"] = retries
        if backend == "http":
            self.settings |= {"model": "openai/gpt-4o-mini", "providers": {"openai": {"base_url": base_url}}}
        else:
            self.settings["lm"] = dspex.ScriptedLM(self._model(policy.Policy(accuracy)), model="stub/model")
        self.runtime = self._runtime()
        self.program = self._program(int(self.opts.get("demos", 0)))
        # The names are lazy: what they import is no part of a call, and the other peers have theirs by now as well.
        self.verbs = dspex.run, dspex.evaluate, dspex.optimize

    def call(self, text: str) -> tuple[str, int]:
        state = self._waited(text)
        return state["label"], state["score"]

    def run_calls(self, texts: Sequence[str]) -> list[float]:
        """Seconds of each call, one after the other."""
        if self.loop is not None:
            return self.loop.run_until_complete(self._awaited(texts))
        taken: list[float] = []
        for text in texts:
            began = time.perf_counter()
            self._waited(text)
            taken.append(time.perf_counter() - began)
        return taken

    def evaluate(self, texts: Sequence[str], concurrency: int) -> dict[str, Any]:
        """`dspex.evaluate`, its rows streamed to a file and counted from there."""
        data = self._dataset(texts)
        rows = Path(self.opts.get("tmp", ".")) / f"rows-{time.monotonic_ns()}.jsonl"
        before = _resident()
        try:
            found = dspex.evaluate(self.program, data, both_right, self.runtime, concurrency=concurrency, sink=rows)
        except dspex.DspexError as error:
            reason = f"{type(error).__name__}: {error}"[:120]
            return {"ok": 0, "wrong": 0, "errors": 0, "lost": len(texts), "unanswered": len(texts),
                    "aborted": True, "errs": {reason: 1}}  # fmt: skip
        after = _peak()
        failures, unanswered = sum(found.failures.values()), len(texts) - found.scored
        right = sum(1 for score in found.tally.scores if score == 1)
        return {
            "ok": right, "wrong": found.scored - right, "errors": failures,
            "lost": unanswered - failures, "unanswered": unanswered, "aborted": False, "score": found.score,
            "errs": dict(found.failures), "retried": found.usage.retries, "events": self.events,
            "bytes_per_example": max(0, after - before) / len(texts),
        }  # fmt: skip

    def clear_memory_cache(self) -> None:
        """A runtime of its own over the same file: nothing of it is in memory."""
        self._run(self.runtime.lm.aclose())
        self.runtime = self._runtime()

    def optimize(self, name: str, train: Sequence[str], val: Sequence[str], seed: int) -> dict[str, Any]:
        """`dspex.optimize` by the strategy of that name; half of val is set aside to confirm, as it is for a user."""
        step = dspex.predict(Review, instructions=dspex.Text(), demos=dspex.Demos(max=4))
        program = dspex.Program(name="review", pipeline=[step])
        examples = self._dataset(train), self._dataset(val)
        budget = dspex.Budget(calls=int(self.opts.get("calls", 2000)))
        self.paid = 0
        began, cpu = time.perf_counter(), time.process_time()
        result = dspex.optimize(program, *examples, both_right, self.runtime, strategy=name, budget=budget, seed=seed)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        usage = result.usage
        verdict = result.verdict
        return {
            "opt_wall_s": wall, "opt_cpu_s": cpu, "lm_calls": usage.calls + usage.cached_calls, "lm_paid": self.paid,
            "score_before": None if verdict is None else verdict.seed_score, "score_after": result.score,
            "evaluations": result.evaluations, "stopped": result.stopped,
        }  # fmt: skip

    def _runtime(self) -> dspex.Runtime:
        return dspex.runtime(observer=self._observed, file="none", **self.settings)

    def _observed(self, event: Event) -> None:
        self.events += 1

    def _model(self, answers: policy.Policy) -> Callable[[Request], str]:
        """The harness's policy as a model. It writes JSON; other forms are made from that."""
        sections = self.adapter == "chat"

        def answer(request: Request) -> str:
            self.paid += 1
            messages = request.messages
            if "</instructions>" in messages[-1]["content"][-100:]:
                return (
                    f"<instructions>Variant {self.paid}: decide the label by the tone, then the score.</instructions>"
                )
            text, _ = answers.respond(messages, temperature=request.settings.get("temperature"))
            if not sections:
                return text or ""
            found = json.loads(text or "{}")
            return f"[[label]]\n{found['label']}\n\n[[score]]\n{found['score']}\n\n[[end]]"

        return answer

    def _program(self, demos: int) -> dspex.Program:
        options: dict[str, Any] = {}
        if demos:
            golds = [(text, *policy.gold(text)) for text in policy.make_texts(demos, 2_000_000)]
            options["demos"] = [{"text": text, "label": label, "score": score} for text, label, score in golds]
        return dspex.Program(name="review", pipeline=[dspex.predict(Review, **options)])

    def _dataset(self, texts: Sequence[str]) -> dspex.Dataset:
        golds = [policy.gold(text) for text in texts]
        return dspex.Dataset.of(
            {"text": text, "label": label, "score": score} for text, (label, score) in zip(texts, golds, strict=True)
        )

    def _waited(self, text: str) -> dspex.State:
        if self.loop is not None:
            return self.loop.run_until_complete(dspex.arun(self.program, {"text": text}, self.runtime))
        return dspex.run(self.program, {"text": text}, self.runtime)

    async def _awaited(self, texts: Sequence[str]) -> list[float]:
        taken: list[float] = []
        for text in texts:
            began = time.perf_counter()
            await dspex.arun(self.program, {"text": text}, self.runtime)
            taken.append(time.perf_counter() - began)
        return taken

    def _run(self, coroutine: Any) -> None:
        if self.loop is not None:
            self.loop.run_until_complete(coroutine)
        else:
            asyncio.run(coroutine)


def _resident() -> int:
    """Bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    """The most it has held, in bytes."""
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024
