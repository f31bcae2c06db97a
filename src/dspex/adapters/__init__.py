"""Adapters: a signature as messages, and an answer as values."""

from collections.abc import Mapping

from dspex.adapters.chat import ChatAdapter
from dspex.kernel.ports import Adapter

ADAPTERS: Mapping[str, Adapter] = {"chat": ChatAdapter()}
"""Every adapter by its name."""

__all__ = ["ADAPTERS", "ChatAdapter"]
