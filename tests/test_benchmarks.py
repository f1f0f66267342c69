"""Benchmarks and the proof of two policies run; what they measure is not asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.common import Side, ratio
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
    assert "no benchmark 'speed': envs, sandbox, rollout, training, start" in capsys.readouterr().err


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
