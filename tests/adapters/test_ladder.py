"""Every odd answer is read as it must be, by the rung that it needs, or refused."""

from __future__ import annotations

import pytest

from dspex.adapters import ADAPTERS
from dspex.errors import CutOffError, ParseError
from dspex.kernel.ports import Capabilities, Completion
from tests.adapters.odd_completions import ODD, SIGNATURES, Odd


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd.adapter}: {odd.name}")
def test_odd_completion(odd: Odd) -> None:
    dialogue = ADAPTERS[odd.adapter].bind(SIGNATURES[odd.signature], "Do it.", (), Capabilities())
    completion = Completion(odd.text, odd.finish)
    if isinstance(odd.expected, str):
        wanted = CutOffError if odd.expected == "cut off" else ParseError
        with pytest.raises(wanted):
            dialogue.parse(completion)
        return
    parsed = dialogue.parse(completion)
    assert parsed.values == odd.expected
    assert parsed.rung == odd.rung
    assert parsed.rung == "strict" or parsed.notes
