"""Draws that are meant to differ: samples from ROLLOUT up are run at temperature 1, whatever a candidate says."""

from __future__ import annotations

from dspex.kernel.ports import Registry
from dspex.kernel.program import Program
from dspex.kernel.step import with_option

TEMPERATURE = 1.0


def as_rollout(program: Program, modules: Registry) -> Program:
    """The program with temperature 1 in every step that calls a model; to run, not to keep."""
    pipeline, configuration = program.pipeline, dict(program.configuration)
    for path, step in program.walk():
        if modules.get(step.module).calls_model:
            configuration.pop(f"{path}.temperature", None)
            pipeline = with_option(pipeline, path.split("."), "temperature", TEMPERATURE, path)
    # Constraints have been kept by then, and may speak of a variable that is now a plain option.
    return Program(name=program.name, pipeline=pipeline, configuration=configuration)
