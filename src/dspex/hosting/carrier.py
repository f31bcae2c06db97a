"""The process that carries one run: `python -m dspex.hosting.carrier RUN`, with the store in DSPEX_STORE.

Its exit status tells the supervisor what happened: 0 the run rests (its row says how), 3 another process has it,
anything else: it died.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from dspex.errors import DspexError
from dspex.hosting.conducting import conduct
from dspex.hosting.launching import tell
from dspex.hosting.seating import TakenError, take
from dspex.storage.database import FencedError, StorageError
from dspex.storage.opening import open_database

RESTS, TAKEN, BROKEN = 0, 3, 4


async def main(run: str, store: str) -> int:
    """Carry `run` of `store`; returns the exit status."""
    task = asyncio.current_task()
    if task is not None:
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    try:
        database = await open_database(store, create=False)
    except StorageError as error:
        tell(str(error))
        return BROKEN
    try:
        await conduct(database, store, await take(database, run, servant=True))
    except asyncio.CancelledError:
        return RESTS
    except (TakenError, FencedError) as error:
        tell(str(error))
        return TAKEN
    except StorageError as error:
        tell(str(error))
        return BROKEN
    except DspexError as error:
        tell(str(error))  # the run's row has it too
        return RESTS
    finally:
        await database.aclose()
    return RESTS


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], os.environ["DSPEX_STORE"])))
