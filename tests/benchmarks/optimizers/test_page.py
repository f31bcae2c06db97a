"""The page says what the rows say, losses included."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.optimizers.ablations import ABLATIONS, WORDS
from benchmarks.optimizers.page import Circumstances, document
from benchmarks.optimizers.rows import Row

CIRCUMSTANCES = Circumstances("2030-01-01", "a machine", "versions", "abc", 1500)
OURS = Row("rules", 100, "auto", 1500, 1480, 20, 0.4, 0.8, 0.9, ((100, 0.4), (400, 0.8), (1480, 0.8)), 1.0)
PEER = replace(OURS, strategy="dspy-gepa", calls=1400, final_score=0.6, trajectory=((700, 0.6), (1400, 0.6)))


def rows(*items: Row, worlds: int = 6) -> list[Row]:
    return [replace(item, seed=100 + number) for number in range(worlds) for item in items]


def test_a_goal_that_is_met_is_said_with_its_figures() -> None:
    page = document(rows(OURS, PEER), CIRCUMSTANCES, "", "")
    assert (
        "0.29 (0.29 to 0.29) times the calls of its whole run to reach what it ends with, the goal (0.5) is met" in page
    )
    assert "0.57 (0.57 to 0.57) times the calls after which it first held that, a success (0.67) short" in page
    assert "Nowhere significantly" in page
    assert "- At the end significantly below no peer, of 1 families." in page


def test_losses_are_listed() -> None:
    better = replace(PEER, final_score=0.88, trajectory=((700, 0.88), (1400, 0.88)))
    page = document(rows(OURS, better), CIRCUMSTANCES, "", "")
    assert "rules: `auto` ends -16 points (-16 to -16) beside `dspy-gepa`." in page
    assert "significantly below dspy-gepa in `rules` (-16 points (-16 to -16)), of 1 families." in page
    assert "rules: `auto` takes never (never to never) times all calls of dspy-gepa to its result" in page


def test_losses_of_the_replay_are_losses() -> None:
    told = "- Prompts: `auto` leaves significantly more than `optuna-tpe` at 100 (+10.0) calls."
    page = document(rows(OURS, PEER), CIRCUMSTANCES, told, "")
    assert told in page.partition("## Where we lose")[2].partition("## Every strategy")[0]


def test_runs_below_the_seed_are_counted_over_all_that_have_no_headroom() -> None:
    flat = replace(OURS, family="flat", best_score=0.4, final_score=0.4)
    worse = replace(flat, final_score=0.3)
    page = document([*rows(flat, worlds=9), replace(worse, seed=300)], CIRCUMSTANCES, "", "")
    assert "Without headroom 1 of 10 runs end below the seed, above 5%" in page


def test_ablations_are_compared_with_the_whole() -> None:
    less = replace(OURS, strategy="auto-full", final_score=0.6)
    page = document(rows(OURS, less), CIRCUMSTANCES, "", "")
    gain = "| 6 | 40 % (40 % to 40 %) | -40 points (-40 to -40) | 0 |"
    first = f"| `auto-full` | no race: every candidate on every example | all {gain} worse |"
    assert f"{first}\n|  |  | rules {gain}  |" in page


def test_a_change_is_better_or_worse_or_neither() -> None:
    more = replace(OURS, strategy="auto-with-tpe", final_score=0.9)
    less = replace(OURS, strategy="auto-with-models", final_score=0.7)
    same = replace(OURS, strategy="auto-full")
    page = document(rows(OURS, more, less, same), CIRCUMSTANCES, "", "")
    assert "+20 points (+20 to +20) | 0 | better |" in page
    assert "-20 points (-20 to -20) | 0 | worse |" in page
    assert "+0 points (+0 to +0) | 0 | no difference shown |" in page


def test_worlds_without_headroom_are_told_apart_in_ablations() -> None:
    less = replace(OURS, strategy="auto-no-reserve")
    flat = replace(less, family="flat", best_score=0.4, final_score=0.3)
    page = document(rows(OURS, less, flat), CIRCUMSTANCES, "", "")
    assert "| all | 6 | 80 % (80 % to 80 %) | +0 points (+0 to +0) | 0 | no difference shown |" in page
    assert "|  |  | flat | 0 |  |  | 6 |  |" in page


def test_every_ablation_is_told_in_words() -> None:
    assert list(WORDS) == list(ABLATIONS)


def test_an_ablation_is_paired_with_the_whole_of_the_same_code() -> None:
    then, now = replace(OURS, code="then", final_score=0.7), replace(OURS, code="now")
    less = replace(then, strategy="auto-full", final_score=0.6)
    page = document(rows(then, less, now), CIRCUMSTANCES, "", "")
    assert "every example | all | 6 | 40 % (40 % to 40 %) | -20 points (-20 to -20) | 0 | worse |" in page
    assert "rules | auto | 6 | 0.400 | 0.900 | 0.800 |" in page
    assert "Runs of ours are of 2 states of the code, as it went on; those of `auto` of 1." in page


def test_the_usual_baselines_are_met_where_models_or_numbers_vary() -> None:
    mixed = replace(OURS, family="mixed")
    best, tpe = replace(mixed, strategy="beacon", final_score=0.85), replace(mixed, strategy="optuna-tpe")
    page = document(rows(best, tpe), CIRCUMSTANCES, "", "")
    assert (
        "- optuna-tpe, where models or numbers vary: +10 points (+10 to +10) of the reachable gain at the end, in 6 "
        "worlds, ahead." in page
    )
    assert "|  |  | mixed | 6 | +10 points (+10 to +10) | 0.27 (0.27 to 0.27) |" in page


def test_the_usual_baselines_are_told_apart_where_there_are_no_texts() -> None:
    typed, mixed = replace(OURS, family="parameters"), replace(OURS, family="mixed")
    others = [replace(item, strategy="random", final_score=0.7) for item in (typed, mixed)]
    page = document(rows(typed, mixed, *others), CIRCUMSTANCES, "", "")
    assert "in 12 worlds, ahead; in `parameters`, without texts to write, +20 points (+20 to +20)." in page


def test_what_nothing_was_chosen_on_is_told_apart() -> None:
    held, theirs = replace(OURS, family="relay"), replace(PEER, family="relay")
    page = document(rows(held, theirs), CIRCUMSTANCES, "", "")
    assert "On `relay` alone, which nothing was chosen on: 0.29 (0.29 to 0.29) times its calls" in page
