"""Conformance suites: what holds of everything that stands behind a port, for those who write another of its kind.

`executors` and `hosts` have a tuple of checks each, async functions of how to make what is checked. From a pytest of
your own:

    @pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=lambda check: check.__name__)
    def test_my_executor(check):
        asyncio.run(check(my_executor))

`strategies` has `check_strategy`, `check_proposer` and `check_schedule`, functions of the same.
"""
