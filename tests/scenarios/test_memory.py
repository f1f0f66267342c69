"""The memory plan: exact where it can be, and refusing what cannot fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from palaestra.agents.shapes import shape_of
from palaestra.errors import ScenarioError
from palaestra.scenarios.build import build
from palaestra.scenarios.memory import GIB, Plan, Process, copies, memory
from palaestra.scenarios.scenario import Scenario

LORA = "policies.player.adapter={ rank = 8 }"


def parts(plan: Plan, process: int = 0) -> dict[str, int]:
    return {part.name: part.bytes for part in plan.processes[process].parts}


def load(*settings: str, name: str = "kuhn_selfplay") -> Scenario:
    return Scenario.load(name, settings)


@pytest.mark.parametrize("settings", [(), ('policies.player.tiny.kind="qwen3"',), (LORA,)])
def test_weights_and_optimizer_are_those_of_the_run(settings: tuple[str, ...]) -> None:
    scenario = load(*settings)
    planned, online = parts(memory(scenario)), build(scenario)
    engine = online.engine
    engine.live("player")
    model = engine.module(next(iter(online._present_refs())))
    assert planned["weights"] == sum(p.numel() * 4 for p in model.parameters())
    assert planned["optimizer"] == 2 * sum(p.numel() * 4 for p in engine.parameters("player").values())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rank", [0, 8])
def test_activations_are_what_autograd_saves(packed: bool, kind: str, dtype: torch.dtype, rank: int) -> None:
    common = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "attn_implementation": "sdpa",
    }
    if kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(head_dim=16, **common)).to(dtype)
    else:
        model = LlamaForCausalLM(LlamaConfig(**common)).to(dtype)
    shape = shape_of(model.config, dtype)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    if rank:
        from peft import LoraConfig, get_peft_model

        get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
        assert shape.adapter(rank) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, tuple[int, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address is used twice
        return tensor

    rows, length = 8, 32
    mask = torch.ones(rows, 1, length, length, dtype=torch.bool).tril() if packed else None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(
            input_ids=torch.zeros(rows, length, dtype=torch.long),
            position_ids=torch.arange(length).expand(rows, length).contiguous(),
            attention_mask=mask,
            use_cache=False,
        )
    measured = sum(size for size, _ in saved.values())
    assert shape.activations(rows, length, packed=packed, rank=rank) == pytest.approx(measured, rel=0.03)


def test_versions_that_are_held_are_counted() -> None:
    assert copies(load("recipe.kl=none", "recipe.steps=4")) == 1  # the start
    assert copies(load("recipe.kl=none", "recipe.steps=4", "recipe.staleness=1")) == 3  # the start, this, the last
    assert copies(load("recipe.kl.refresh=1", "recipe.steps=4")) == 3  # the start, the old and the new reference
    assert copies(load("recipe.kl=none", "recipe.steps=100", "league.every=5", "league.limit=4")) == 5


def test_many_learners_share_and_every_worker_has_all() -> None:
    scenario = load()
    alone = memory(scenario)
    spread = memory(load("scale.ray=local", "scale.rollouts=3", "scale.learners=2"))
    assert [(p.name, p.number) for p in spread.processes] == [("the driver", 1), ("rollout worker", 3), ("learner", 2)]
    assert parts(spread, 2)["optimizer"] == parts(alone)["optimizer"] // 2
    assert parts(spread)["weights"] == parts(spread, 1)["weights"] == parts(alone)["weights"]
    assert parts(spread)["frozen copies"] == parts(alone)["frozen copies"]
    assert not {"activations", "optimizer", "gradients"} & (parts(spread).keys() | parts(spread, 1).keys())
    here = memory(load("scale.rollouts=3"))  # without Ray this process plays, part by part
    assert [p.name for p in here.processes] == ["the run"]


def test_processes_of_vllm_share_its_weights() -> None:
    def servers(*settings: str) -> tuple[int, int]:
        """How many processes, and the bytes of weights in each."""
        vllm = ('engines.local.kind="vllm"', "policies.solver.tiny.heads=2", *settings)
        plan = memory(load(*vllm, name="tools_rl"))
        (place,) = (n for n, process in enumerate(plan.processes) if process.name == "vLLM")
        return plan.processes[place].number, parts(plan, place)["weights"]

    number, weights = servers()
    shared = "engines.local.vllm.tensor_parallel=2"
    assert number == 1 and servers(shared) == (2, weights // 2)
    assert servers(shared, 'scale.ray="local"', "scale.rollouts=3") == (6, weights // 2)


def test_playing_and_learning_at_once_need_both() -> None:
    process = memory(load("recipe.staleness=1")).processes[0]
    apart = Process(process.name, process.device, process.parts, together=False)
    assert process.peak > apart.peak


def test_what_cannot_fit_is_refused_with_advice() -> None:
    plan = memory(load("policies.player.tiny={ width = 4096, layers = 32, heads = 32 }"))
    with pytest.raises(ScenarioError) as caught:
        plan.check("big", {"the CPU": 16 * GIB})
    text = str(caught.value)
    assert text.startswith("1 problem in big\n  memory: ") and "16.0 GiB is there" in text
    assert "frozen copies" in text and "league.limit" in text
    plan.check("big", {"the CPU": 2000 * GIB})
    plan.check("big", {})  # a device that cannot be asked is not judged


def test_a_config_that_is_not_here_is_not_guessed() -> None:
    with pytest.raises(ScenarioError, match="config of 'nobody/nothing' is not on this machine"):
        memory(load("policies.player.model=nobody/nothing"))


def test_a_model_in_a_folder_is_counted(tmp_path: Path) -> None:
    from palaestra.agents.models import save
    from palaestra.agents.tiny import tiny

    made = tiny(["some words"], width=32, layers=1)
    save(made.model, made.tokenizer, tmp_path)
    planned = parts(memory(load(f"policies.player.model={tmp_path}")))
    assert planned["weights"] == sum(p.numel() * 4 for p in made.model.parameters())


def test_the_plan_is_near_a_real_peak(tmp_path: Path) -> None:
    """One small case; all of them are in `python -m proofs memory`."""
    code = """
import json, sys
from pathlib import Path
from palaestra.scenarios.memory import memory
from palaestra.scenarios.runs import train
from palaestra.scenarios.scenario import Scenario
scenario = Scenario.load("kuhn_selfplay", sys.argv[2:])
planned = memory(scenario).processes[0].peak
train(scenario, Path(sys.argv[1]))
status = Path("/proc/self/status").read_text()  # ru_maxrss begins with what the parent had
peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
print(json.dumps([planned, int(peak.split()[1]) * 1024]))
"""
    settings = ["recipe.steps=2", "eval.instances=4", "run.record=false"]
    settings += ["policies.player.tiny={ width = 256, layers = 4, heads = 4 }"]
    command = [sys.executable, "-c", code, str(tmp_path / "run"), *settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    planned, peak = json.loads(done.stdout.splitlines()[-1])
    assert planned == pytest.approx(peak, rel=0.2)
