"""A run's policies answer as an OpenAI-compatible endpoint does. The official client is tried in tests/vllm."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from palaestra.scenarios import runs
from palaestra.scenarios.scenario import Scenario
from palaestra.view.openai import Policies, server

TALK = [{"role": "user", "content": "You are player_0. Your card is K."}]


class Client:
    """Sends requests to an endpoint."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}/v1"

    def __call__(self, path: str = "/chat/completions", **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(urllib.request.Request(self.base + path, data), timeout=30) as answer:
            return json.load(answer) if answer.headers["Content-Type"] == "application/json" else answer.read().decode()

    def refused(self, path: str = "/chat/completions", **body: Any) -> tuple[int, str]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            self(path, **body)
        error = json.loads(caught.value.read())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return caught.value.code, error["message"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = ["recipe.steps=1", "recipe.episodes=32", "eval.instances=4"]
    run = runs.train(Scenario.load("kuhn_selfplay", settings), tmp_path_factory.mktemp("served") / "run")
    policies = Policies(run.path)
    endpoint = server(policies, 0)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    yield Client(endpoint.server_address[1])
    endpoint.shutdown()
    endpoint.server_close()
    policies.close()


def test_every_kept_version_is_a_model(client: Client) -> None:
    assert [m["id"] for m in client("/models")["data"]] == ["player", "player@0", "player@1"]
    assert client("/models/player@0")["id"] == "player@0"
    assert client.refused("/models/player@7")[0] == 404


def test_a_reply_is_what_the_version_samples_and_says_what_it_cost(client: Client) -> None:
    asked = {"messages": TALK, "seed": 3, "max_tokens": 12, "logprobs": True, "return_token_ids": True}
    first, again, last = (client(model=m, **asked) for m in ("player@1", "player@1", "player"))
    (choice,) = first["choices"]
    assert choice["token_ids"] == again["choices"][0]["token_ids"] == last["choices"][0]["token_ids"]
    assert first["model"] == last["model"] == "player@1" and choice["finish_reason"] in ("stop", "length")
    assert first["usage"]["completion_tokens"] == len(choice["token_ids"]) == len(choice["logprobs"]["content"])
    assert first["usage"]["prompt_tokens"] == len(choice["prompt_token_ids"])
    assert all(token["logprob"] <= 0 for token in choice["logprobs"]["content"])
    other = client(model="player@0", **asked)["choices"][0]
    assert other["prompt_token_ids"] == choice["prompt_token_ids"]
    assert other["logprobs"] != choice["logprobs"]


def test_several_choices_differ_and_requests_at_once_are_answered_as_alone(client: Client) -> None:
    asked = {"model": "player", "messages": TALK, "seed": 1, "max_tokens": 12}
    choices = client(**asked, n=4)["choices"]
    assert len({c["message"]["content"] for c in choices}) > 1 and [c["index"] for c in choices] == [0, 1, 2, 3]
    alone = [client(**{**asked, "seed": seed})["choices"][0]["message"]["content"] for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        at_once = pool.map(lambda seed: client(**{**asked, "seed": seed})["choices"][0]["message"]["content"], range(8))
        assert list(at_once) == alone


def test_a_stop_text_cuts_the_reply_and_a_stream_says_the_same(client: Client) -> None:
    asked = {"model": "player", "messages": TALK, "seed": 5, "max_tokens": 24}
    whole = client(**asked)["choices"][0]["message"]["content"]
    cut = client(**asked, stop=whole[4:6])["choices"][0]
    assert cut["message"]["content"] == whole[: whole.index(whole[4:6])] and cut["finish_reason"] == "stop"
    events = client(**asked, stream=True, stream_options={"include_usage": True}).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    data = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(d["choices"][0]["delta"].get("content", "") for d in data[:-1]) == whole
    assert data[-1]["usage"]["completion_tokens"] <= 24 and data[-2]["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "plaier", "messages": TALK}, 404, "did you mean player?"),
        ({"model": "player"}, 400, "messages"),
        ({"model": "player", "messages": []}, 400, "messages"),
        ({"model": "player", "messages": TALK, "temperature": 3}, 400, "temperature"),
        ({"model": "player", "messages": TALK, "tools": [{"type": "function"}]}, 400, "tools: not supported"),
        ({"model": "player", "messages": TALK, "top_p": 0.5}, 400, "top_p: not supported"),
        ({"model": "player", "messages": [{"role": "user", "content": "word " * 900}]}, 400, "no room for a reply"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(client: Client, body: Any, status: int, words: str) -> None:
    code, message = client.refused(**body)
    assert code == status and words in message


def test_unknown_paths_are_refused(client: Client) -> None:
    assert client.refused("/embeddings", model="player")[0] == 404
    assert client.refused("/nothing")[0] == 404
