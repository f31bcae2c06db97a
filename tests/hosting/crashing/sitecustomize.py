"""Loaded by the interpreter at its start where this folder is on PYTHONPATH: makes carriers of runs die on purpose.

CRASH_AT=point:occurrence says where; CRASH_ONCE=file, that only the first process that gets there dies.
"""

import os
import sys
from pathlib import Path

if (where := os.environ.get("CRASH_AT")) and "dspex.hosting.carrier" in sys.orig_argv:
    from tests.hosting.crashing.points import install

    once = os.environ.get("CRASH_ONCE")
    install(where, Path(once) if once else None)
