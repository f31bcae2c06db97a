"""Runs of a candidate otherwise than it says: draws that are meant to differ, and runs by a teacher's model."""

from __future__ import annotations

from dspex.kernel.ports import JSON, Registry
from dspex.kernel.program import Program
from dspex.kernel.step import with_option

TEMPERATURE = 1.0


def as_rollout(program: Program, modules: Registry) -> Program:
    """The program with temperature 1 in every step that calls a model; to run, not to keep."""
    return _with(program, modules, "temperature", TEMPERATURE)


def as_taught(program: Program, modules: Registry, model: str) -> Program:
    """The program with the same model in every step that calls one; to run, not to keep."""
    return _with(program, modules, "model", model)


def _with(program: Program, modules: Registry, option: str, value: JSON) -> Program:
    pipeline, configuration = program.pipeline, dict(program.configuration)
    for path, step in program.walk():
        if modules.get(step.module).calls_model:
            configuration.pop(f"{path}.{option}", None)
            pipeline = with_option(pipeline, path.split("."), option, value, path)
    # Constraints have been kept by then, and may speak of a variable that is now a plain option.
    return Program(name=program.name, pipeline=pipeline, configuration=configuration)
