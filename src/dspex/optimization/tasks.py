"""An evaluation as a task of the search's own loop: what runs it unless something else is asked for."""

from __future__ import annotations

from dspex.evaluation.assessment import Assessment, assess
from dspex.optimization.ports import Assignment


class TaskExecutor:
    """`Executor` in place. Code that kills or blocks its process kills or blocks the search."""

    async def assess(self, assignment: Assignment) -> Assessment:
        asked = assignment
        return await assess(asked.program, asked.example, asked.metric, asked.runtime, asked.sample)

    async def aclose(self) -> None:
        """There is nothing to let go of."""
