"""Runtimes from settings: what holds for all providers, and what for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspex.clients.limiter import Limits
from dspex.clients.stack import ModelStack
from dspex.configuration.runtimes import from_spec, runtime
from dspex.errors import ConfigurationError
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


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            'headers = { "X-Api-Key" = "sk-secret" }',
            "providers.mine.headers .*'X-Api-Key' would be written into the store",
        ),
        ('headers = { authorization = "Bearer sk-secret" }', "'authorization' would be written into the store"),
        ('base_url = "https://me:sk-secret@127.0.0.1/v1"', "providers.mine.base_url .*a user or a password"),
    ],
)
def test_a_key_in_a_header_or_an_address_is_refused_and_not_shown(tmp_path: Path, setting: str, words: str) -> None:
    file = tmp_path / "dspex.toml"
    file.write_text(f"[providers.mine]\n{setting}\n")
    with pytest.raises(ConfigurationError, match=words) as caught:
        runtime(file=file)
    assert "sk-secret" not in str(caught.value)


def test_a_header_that_is_no_key_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "dspex.toml"
    file.write_text('[providers.mine]\nbase_url = "http://127.0.0.1:1/v1"\nheaders = { "X-Title" = "tickets" }\n')
    ready = runtime("mine/m", file=file)
    assert ready.spec is not None
    assert ready.spec["providers"]["mine"]["headers"] == {"X-Title": "tickets"}
