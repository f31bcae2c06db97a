"""Runtimes from settings: what holds for all providers, and what for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspex.clients.limiter import Limits
from dspex.clients.stack import ModelStack
from dspex.configuration.runtimes import from_spec, runtime
from dspex.kernel.ports import Runtime


def limits_of(ready: Runtime, provider: str) -> Limits:
    assert isinstance(ready.lm, ModelStack)
    limiter = ready.lm.clients.get(provider).limiter
    assert limiter is not None
    return limiter.limits


def test_a_provider_may_have_limits_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dspex.toml"
    file.write_text(
        """
        model = "mine/large"
        requests_per_second = 10
        [providers.mine]
        base_url = "http://127.0.0.1:1/v1"
        requests_per_minute = 500
        concurrency = 3
        [providers.other]
        base_url = "http://127.0.0.1:2/v1"
        """
    )
    monkeypatch.setenv("DSPEX_TOKENS_PER_MINUTE", "9000")
    ready = runtime(file=file)
    mine = Limits(concurrency=3, requests_per_second=10, requests_per_minute=500, tokens_per_minute=9000)
    assert limits_of(ready, "mine") == mine
    assert limits_of(ready, "other") == Limits(concurrency=64, requests_per_second=10, tokens_per_minute=9000)
    assert ready.spec is not None
    assert limits_of(from_spec(ready.spec), "mine") == mine


def test_a_key_is_never_told_and_another_key_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    for key in ("sk-secret", "sk-secret", "sk-other"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        ready = runtime("openai/gpt", file="none")
        assert isinstance(ready.lm, ModelStack)
        names.append(ready.lm.clients.get("openai").shared_as)
    assert names[0] == names[1] != names[2]
    assert not any("secret" in name for name in names)
