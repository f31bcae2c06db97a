"""A worker for ours and for the baselines, in a process of its own: one run a line of input.

    python -m benchmarks.optimizers.worker SERVER < jobs.jsonl > rows.jsonl

A job is {"family", "seed", "strategy", "budget"}. A line of output is a row, or {"failed", "absent"} in words: `absent`
where the strategy is not built yet or varies nothing that this family has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from benchmarks.optimizers import baselines, ours
from dspex import DspexError
from dspex.errors import ConfigurationError


def perform(server: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """One job's line."""
    run = baselines.run if job["strategy"] in baselines.BASELINES else ours.run
    try:
        return asdict(run(server, job["family"], job["seed"], job["strategy"], job["budget"]))
    except DspexError as error:
        return {"failed": f"{type(error).__name__}: {error}", "absent": isinstance(error, ConfigurationError)}


def main(server: str, jobs: TextIO, out: TextIO) -> None:
    """Every job in turn."""
    for line in jobs:
        out.write(json.dumps(perform(server, json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin, sys.stdout)
