"""An evaluation as a task of the search's own loop: what runs it unless something else is asked for."""

from __future__ import annotations

from time import perf_counter

from dspex.evaluation.assessment import Assessment, assess
from dspex.kernel.ports import NO_USAGE
from dspex.optimization.ports import Assignment


class TaskExecutor:
    """`Executor` in place. Code that kills or blocks its process kills or blocks the search."""

    async def assess(self, assignment: Assignment) -> Assessment:
        asked, began = assignment, perf_counter()
        try:
            return await assess(asked.program, asked.example, asked.metric, asked.runtime, asked.sample)
        except SystemExit as error:  # a loop in which it is raised ends at once, and with it every other evaluation
            text = f"crash: it called sys.exit({error.code!r})"
            seconds = perf_counter() - began
            return Assessment(asked.example.id, asked.sample, None, None, None, text, "crash", NO_USAGE, seconds, ())

    async def aclose(self) -> None:
        """There is nothing to let go of."""
