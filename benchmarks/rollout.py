"""Sampled tokens a second of the scheduler, against one `generate` per turn per episode and a straight batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from benchmarks.common import Side, in_turns, ratio, row
from palaestra.agents.engines.embedded import EmbeddedEngine
from palaestra.agents.episode import Episode, PolicyRef
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job, play, rollout, wait_for
from palaestra.agents.policy import Cast
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import tiny
from palaestra.envs.script import Script, ScriptedEnv

WORDS = "a red blue green old new small large house river garden letter window table that was seen near the sea".split()


class Exchange(ScriptedEnv):
    """Two seats, four free turns each. What they hear does not depend on what a random model says: all sides of the
    comparison then read prompts of the same lengths."""

    seats = ("speaker_0", "speaker_1")
    turns: int = 4

    def script(self, rng: random.Random) -> Script:
        for seat in self.seats:
            self.tell(f"You are {seat}. You know of {' '.join(rng.choices(WORDS, k=rng.randint(6, 12)))}.", to=seat)
        for turn in range(2 * self.turns):
            yield self.seats[turn % 2]
            self.tell(
                f"They speak of {' '.join(rng.choices(WORDS, k=rng.randint(2, 6)))}.", to=self.seats[1 - turn % 2]
            )
        self.reward(dict.fromkeys(self.seats, 0.0))


def sampled(episodes: Sequence[Episode]) -> int:
    """Tokens that policies sampled."""
    assert not any(e.failure for e in episodes)
    return sum(t.sampled() for e in episodes for t in e.trajectories)


def prompts(episodes: Sequence[Episode]) -> list[list[list[int]]]:
    """For each turn of the game, what the seats that spoke had before them, as recorded."""
    by_turn: dict[tuple[str, int], list[list[int]]] = {}
    for episode in episodes:
        for trajectory in episode.trajectories:
            ids: list[int] = []
            for span in trajectory.spans:
                if span.origin == "sampled":
                    by_turn.setdefault((trajectory.seat, span.turn), []).append(list(ids))
                ids += span.ids
    return list(by_turn.values())


def generate(model: Any, rows: Sequence[Sequence[int]], tokens: int) -> int:
    """transformers' own `generate`: padded on the left, exactly `tokens` new tokens a row."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(r)) + list(r) for r in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=model.device)
    config = GenerationConfig(
        max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, top_k=0, pad_token_id=0, eos_token_id=None
    )
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return int(out.shape[0] * (out.shape[1] - width))


def compare(shape: dict[str, Any], *, episodes: int, alone: int, tokens: int, rounds: int) -> dict[str, Side]:
    """All sides with one model. `alone`: episodes of the sides that serve one prompt at a time."""
    env = f"{Exchange.__module__}:{Exchange.__qualname__}"
    model, tokenizer = tiny([" ".join(WORDS)] * 4 + ["You are speaker_0. You know of"], context=1024, **shape)
    # one job at a time gets no filling rows: it is compared at its best
    engines = {"batched": EmbeddedEngine(), "single": EmbeddedEngine(min_rows=1)}
    casts: dict[str, Cast] = {}
    for name, engine in engines.items():
        engine.add_base("base", model, tokenizer)
        engine.add_policy("speaker", "base", train=False)
        policy = LanguagePolicy(PolicyRef("speaker"), engine, Renderer(tokenizer), max_tokens=tokens)
        casts[name] = dict.fromkeys(Exchange.seats, policy)
    jobs = [Job(env, {}, casts["batched"], seed, str(seed)) for seed in range(episodes)]
    asked = prompts(wait_for(rollout(jobs)))
    game = Exchange()

    def one_by_one() -> int:
        return sampled([wait_for(play(game, casts["single"], seed)) for seed in range(alone)])

    return in_turns(
        {
            "scheduler": lambda: sampled(wait_for(rollout(jobs))),
            "straight batch": lambda: sum(generate(model, rows, tokens) for rows in asked),
            "one job at a time": one_by_one,
            "one generate at a time": lambda: sum(generate(model, [r], tokens) for rows in asked for r in rows[:alone]),
        },
        rounds,
    )


def run(*, quick: bool) -> dict[str, Any]:
    """Figures and table."""
    torch.set_num_threads(1)
    shapes = {"0.17 M (width 64, 2 layers)": {"width": 64, "layers": 2, "heads": 4}}
    if not quick:
        shapes["1 M (width 128, 4 layers)"] = {"width": 128, "layers": 4, "heads": 4}
    rows: list[list[str]] = []
    sides: dict[str, Any] = {}
    for name, shape in shapes.items():
        if quick:
            found = compare(shape, episodes=4, alone=1, tokens=4, rounds=1)
        else:
            small = shape["width"] == 64
            found = compare(shape, episodes=64, alone=2, tokens=16, rounds=5 if small else 3)
        sides[name] = {key: side.plain() for key, side in found.items()}
        own = found["scheduler"]
        for other, aim in (("one job at a time", 5.0), ("one generate at a time", 5.0), ("straight batch", 0.9)):
            times = ratio(own, found[other])
            what = {
                "one job at a time": "this engine, one job at a time",
                "one generate at a time": "transformers generate, one prompt at a time",
                "straight batch": "transformers generate, straight batches",
            }[other]
            figure = f"{own.rate():,.0f} tokens/s"
            against = f"{what}: {found[other].rate():,.0f}"
            rows.append(row(f"scheduler, {name}", figure, against, times, f"at least {aim:g}×", times >= aim))
    return {
        "about": (
            "Sampled tokens a second of CPU time, one thread, float32: 64 dialogues of eight turns at once, 16 tokens "
            "a reply, through environment, rendering, scheduler and record. The straight batches are given the very "
            "prompts that the scheduler met, one batch a turn, and do nothing else. One at a time plays 2 of the "
            "dialogues, without rows that fill a batch up."
        ),
        "rows": rows,
        "sides": sides,
    }
