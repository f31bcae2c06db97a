"""Level 2: what a program is, and the loop that runs it. No I/O, no asyncio, no third party but pydantic."""
