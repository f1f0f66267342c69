"""reasoning-gym's tasks, one question an episode: `reasoning_gym/leg_counting`.

| fact | value |
|---|---|
| seats | `solver_0` |
| turns | 1 |
| hidden | nothing; the answer is not told |
| reward | the data set's own score of the answer: 0 to 1 |
| gold outcome | score, correct, answer |
| splits | train and test share no seed of the generator |
| needs | `palaestra[reasoning_gym]` |

The answer is what stands between the last `<answer>` and `</answer>`, reasoning-gym's own form (answers hold brackets);
without them the whole reply is the answer. All generators are offered (`composite` is untried: its user names its
parts). The player `oracle` gives the data set's own answer; where several answers are right, the data set's scorer
decides.
"""

from __future__ import annotations

import random
import re
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import Foreign, Globals, known, library, made
from palaestra.envs.script import Request, Script, play_random

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.S)


def _greedy(request: Request) -> str:
    """The last word of the question, which sometimes is a possible answer."""
    return f"<answer>{request.heard[0].split()[-1].strip('?.')}</answer>"


def _oracle(request: Request) -> str:
    return f"<answer>{request.facts['answer']}</answer>"


class ReasoningGym(Foreign):
    """A question of a reasoning-gym data set, scored by its own scorer."""

    dataset: ClassVar[str] = ""
    seats = ("solver_0",)
    splits = ("train", "test")
    reward_range = (0.0, 1.0)
    max_chars = 20_000
    rules = "Answer the question; put the answer between <answer> and </answer>."
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        seed = self.item(self.dataset, lambda r: r.getrandbits(31))
        with Globals(str(seed))():
            tasks = library("reasoning_gym", "reasoning_gym").create_dataset(self.dataset, size=1, seed=seed)
            entry: dict[str, Any] = tasks[0]
        gold = "" if entry["answer"] is None else str(entry["answer"])
        self.note(answer=gold)
        self.tell(f"{entry['question'].strip()}\nPut the answer between <answer> and </answer>.", to=seat)
        move = yield seat
        said = (_ANSWER.findall(move.raw) or [move.speech])[-1].strip()
        with Globals(str(seed))():
            score = min(1.0, max(0.0, float(tasks.score_answer(said, entry))))
        self.reward({seat: score})
        self.outcome(score=score, correct=score == 1.0, answer=gold)


def member(name: str) -> type[ReasoningGym]:
    """The class of a data set."""
    known(name, "reasoning_gym", sorted(library("reasoning_gym.factory", "reasoning_gym").DATASETS))
    return made(ReasoningGym, f"reasoning_gym/{name}", dataset=name)
