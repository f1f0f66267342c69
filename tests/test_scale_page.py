"""The page about scale says what the code computes, where that takes no simulation."""

from __future__ import annotations

import pytest

from tools import scale


@pytest.mark.parametrize(
    ("name", "table"),
    [("memory", scale.memory_table), ("engines", scale.engine_table), ("network", scale.network_table)],
)
def test_the_page_has_the_present_table(name: str, table: object) -> None:
    assert callable(table)
    assert f"<!-- begin {name} -->\n{table()}\n<!-- end {name} -->" in scale.PAGE.read_text()


def test_published_sizes_are_met() -> None:
    sizes = {model.name: model.shape.parameters / 1e9 for model in scale.MODELS}
    assert sizes == pytest.approx(
        {"Qwen3-0.6B": 0.596, "Qwen3-4B": 4.02, "Qwen3-8B": 8.19, "Qwen3-32B": 32.8, "Llama-3.1-70B": 70.6}, rel=0.002
    )
