"""Adapters: a signature as messages, and an answer as values."""

from collections.abc import Mapping

from dspex.adapters.chat import ChatAdapter
from dspex.adapters.json_adapter import JSONAdapter
from dspex.adapters.xml_adapter import XMLAdapter
from dspex.kernel.ports import Adapter

ADAPTERS: Mapping[str, Adapter] = {item.name: item for item in (ChatAdapter(), JSONAdapter(), XMLAdapter())}
"""Every adapter by its name."""

__all__ = ["ADAPTERS", "ChatAdapter", "JSONAdapter", "XMLAdapter"]
