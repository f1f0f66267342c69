"""Two trainable policies on one base: what the second one costs.

A base of the shape of Qwen3-0.6B with random weights, rank-16 LoRA adapters on all its linear layers, and steps of the
real loop (rollout, credit, objective, optimizer) on Kuhn poker in free text. Once a policy for each seat, once one
policy in both seats: the same episodes and the same number of trained tokens. Each measurement is a process of its own,
`python -m proofs.two_policies POLICIES`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from palaestra.agents.engines.embedded import EmbeddedEngine
from palaestra.agents.episode import PolicyRef
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import env_texts, tokenizer
from palaestra.alignment.credit import Estimator
from palaestra.alignment.league import League
from palaestra.alignment.learner import Learner
from palaestra.alignment.loops.online import Online, Trainee
from palaestra.alignment.objectives import make_objective
from palaestra.alignment.recipe import Recipe
from proofs.common import table, write

SEATS = ("player_0", "player_1")
STEPS = 2
QWEN3_0_6B: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}


def base(device: str, shape: dict[str, Any]) -> PreTrainedModel:
    """Random weights: float32 on the CPU, bfloat16 on an accelerator."""
    torch.manual_seed(0)
    with torch.device(device):
        config = Qwen3Config(**shape, max_position_embeddings=2048, attn_implementation="sdpa")
        model: PreTrainedModel = Qwen3ForCausalLM(config)
    return model.to(torch.bfloat16 if device == "cuda" else torch.float32).eval()


def online(policies: int, device: str, shape: dict[str, Any], episodes: int, tokens: int) -> Online:
    """The loop with one policy in both seats, or one in each."""
    words = tokenizer(env_texts("kuhn"))
    engine = EmbeddedEngine(device=device)
    engine.add_base("base", base(device, shape), words)
    names = SEATS[:policies]
    for name in names:
        engine.add_policy(name, "base", adapter={"rank": 16})
    renderer, trainees = Renderer(words), {}
    for name in names:
        policy = LanguagePolicy(PolicyRef(name), engine, renderer, act="text", max_tokens=tokens)
        learner = Learner(
            engine.live(name),
            engine.parameters(name),
            schedule=1e-4,
            activate=lambda name=name: engine.live(name),  # type: ignore[misc]
        )
        trainees[name] = Trainee(policy, learner, make_objective("ppo"), lambda share: {})
    return Online(
        env="kuhn",
        params={"retries": 0},
        cast={seat: trainees[names[i % policies]].policy for i, seat in enumerate(SEATS)},
        engine=engine,
        trainees=trainees,
        recipe=Recipe(steps=STEPS, episodes=episodes, objective="ppo"),
        estimator=Estimator("rae"),
        league=League(list(names)),
    )


def peak(device: str) -> float:
    """Highest memory so far in MiB: resident on the CPU (Linux counts in KiB), allocated on an accelerator."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(policies: int, *, shape: dict[str, Any] = QWEN3_0_6B, steps: int = STEPS) -> dict[str, Any]:
    """What a measured process does: some steps, with what they took."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    loop = online(policies, device, shape, *((256, 32) if device == "cuda" else (16, 4)))
    ready, lines = peak(device), []
    for _ in range(steps):
        wall, cpu = time.perf_counter(), time.process_time()
        episodes, metrics = loop.step()
        assert not any(e.failure for e in episodes), episodes[0].failure
        trained = sum(t.sampled() for e in episodes for t in e.trajectories)
        lines.append(
            {
                "trained_tokens": trained,
                "wall_s": round(time.perf_counter() - wall, 3),
                "cpu_s": round(time.process_time() - cpu, 3),
                "rollout_s": metrics["time/rollout_s"],
                "learn_s": metrics["time/learn_s"],
                "mismatch": max(metrics[f"mismatch/{name}"] for name in loop.trainees),
                "grad_norm": [metrics[f"grad_norm/{name}"] for name in loop.trainees],
            }
        )
    name = next(iter(loop.trainees))
    model: Any = loop.engine.live(name)
    own = sum(t.numel() * t.element_size() for t in loop.engine.parameters(name).values())
    adapters = sum(p.numel() for n in loop.trainees for p in loop.engine.parameters(n).values())
    return {
        "policies": policies,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": str(next(model.parameters()).dtype),
        "base_parameters": sum(p.numel() for p in model.parameters()) - adapters,
        "adapter_bytes": own,
        "ready_mib": round(ready),
        "peak_mib": round(peak(device)),
        "steps": lines,
    }


def main() -> None:
    """Measure both in turns, write the table."""
    runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    env = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "HF_HUB_OFFLINE": "1"}
    for _ in range(2):
        for policies, kept in runs.items():
            command = [sys.executable, "-m", "proofs.two_policies", str(policies)]
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            kept.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"   {policies} of 2 policies: {kept[-1]['steps'][-1]}", flush=True)
    rows, rates = [], {}
    first = runs[1][0]
    for policies, kept in runs.items():
        lines = [line for run in kept for line in run["steps"]]
        clock = "cpu_s" if first["device"] == "cpu" else "wall_s"
        # rollout and learning were timed by the wall; their shares of a step hold on a busy machine too
        seconds = [line[clock] * line["learn_s"] / (line["rollout_s"] + line["learn_s"]) for line in lines]
        rates[policies] = median(line["trained_tokens"] / s for line, s in zip(lines, seconds, strict=True))
        whole = median(line["trained_tokens"] / line[clock] for line in lines)
        size = median(run["peak_mib"] for run in kept)
        rows.append(
            (
                "one for both seats" if policies == 1 else "one for each seat",
                lines[0]["trained_tokens"],
                f"{rates[policies]:.1f}",
                f"{whole:.1f}",
                f"{size:,.0f}",
                f"{policies * first['adapter_bytes'] / 2**20:.1f}",
                f"{max(line['mismatch'] for line in lines):.1e}",
            )
        )
    memory = [median(run["peak_mib"] for run in runs[p]) for p in (1, 2)]
    head = (
        "policies", "trained tokens a step", "trained tokens/s", "tokens/s of the whole step", "peak memory, MiB",
        "adapters, MiB", "largest engine/learner gap, nats",
    )  # fmt: skip
    facts = {
        "speed_of_two_against_one": round(rates[2] / rates[1], 3),
        "memory_of_two_against_one": round(memory[1] / memory[0], 3),
        "adapter_bytes_a_policy": first["adapter_bytes"],
    }
    where = first["device"] if first["device"] != "cpu" else f"the CPU, {env['OMP_NUM_THREADS']} thread(s), CPU time"
    text = f"""# Two policies on one base

{__doc__}
{first["base_parameters"] / 1e6:.0f} million parameters in {first["dtype"].removeprefix("torch.")} on {where}; medians
over {len(runs[1])} processes of {len(first["steps"])} steps each, taken in turns.

{table(head, rows)}

Two policies train at {facts["speed_of_two_against_one"]:.2f} times the speed of one, in
{facts["memory_of_two_against_one"]:.2f} times its memory. A further policy is its adapter of
{first["adapter_bytes"] / 2**20:.1f} MiB, and twice that for the optimizer.
"""
    write("two_policies", {"facts": facts, "one": runs[1], "two": runs[2]}, text)


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))
