"""A run's policies behind an OpenAI-compatible endpoint: any kept version by name, for other people's tools.

`POST /v1/chat/completions` and `GET /v1/models`. A model is a policy (`solver`: its last version) or a version of it
(`solver@0`). A chat is rendered as in training, so a client that says what the environment says reads the policy that
was trained. Requests that wait together are served together. What is no field of the real endpoint: with
`return_token_ids`, a choice carries `prompt_token_ids` and `token_ids`.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palaestra.agents.batching import together
from palaestra.agents.engines import Completion, Sampling
from palaestra.agents.episode import PolicyRef
from palaestra.agents.language import LanguagePolicy, draw_seed
from palaestra.agents.play import wait_for
from palaestra.agents.render import Message
from palaestra.errors import PalaestraError, UnknownNameError, nearest

LARGEST = 8 << 20
"""Bytes of a request."""
BATCH = 256


class Text(BaseModel):
    """A part of a message; other kinds (pictures, sound) are refused."""

    type: str = Field(pattern="^text$")
    text: str


class Said(BaseModel):
    """One message."""

    role: str
    content: str | list[Text]

    def plain(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class Chat(BaseModel):
    """The body of a request; fields that would change the answer and are not here are refused, others ignored."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Said] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=2)
    n: int = Field(1, ge=1, le=128)
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool = False
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    return_token_ids: bool = False


REFUSED = {"tools": [], "tool_choice": "none", "functions": [], "response_format": {"type": "text"}, "top_p": 1}
"""Fields that are not supported, with the value at which they say nothing."""


class Problem(Exception):
    """What the client is told instead of an answer."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class _Asked(NamedTuple):
    policy: LanguagePolicy
    prompt: list[int]
    sampling: Sampling
    seed: int
    answer: queue.SimpleQueue[Completion | Exception]


class Desk:
    """Takes requests of many threads to one engine, all that wait at once."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="engine", daemon=True).start()

    def ask(self, asked: _Asked) -> None:
        self._asked.put(asked)

    def close(self) -> None:
        self._asked.put(None)

    def _work(self) -> None:
        while first := self._asked.get():
            batch = [first]
            while len(batch) < BATCH and not self._asked.empty():
                more = self._asked.get()
                if more is None:
                    return
                batch.append(more)

            async def one(job: _Asked) -> Completion | Exception:
                try:
                    return await job.policy.engine.generate(job.prompt, job.sampling, job.policy.ref, job.seed)
                except Exception as error:  # of one request; the others have answers
                    return error

            for job, answer in zip(batch, wait_for(together(*map(one, batch))), strict=True):
                job.answer.put(answer)


class Policies:
    """The policies of a run, and the answers to requests for them.

    Args:
        run: the run's directory.
    """

    def __init__(self, run: Path) -> None:
        from palaestra.scenarios.runs import open_run

        _, online, self.run = open_run(run)
        self._last = online.speakers()
        if not self._last:
            raise UnknownNameError(f"{run}: only scripted players took part\n  there is no model to serve")
        self._versions = {str(ref): ref for ref in self.run.versions() if ref.name in self._last}
        self._versions |= {str(policy.ref): policy.ref for policy in self._last.values()}
        self._desk = Desk()

    @property
    def models(self) -> list[str]:
        """Every name that a request may give."""
        return [*self._last, *sorted(self._versions, key=lambda label: PolicyRef.parse(label))]

    def policy(self, model: str) -> LanguagePolicy:
        """What a model's name means."""
        if model in self._last:
            return self._last[model]
        if model in self._versions:
            ref = self._versions[model]
            return self._last[ref.name].at(ref.version)
        raise Problem(404, f"no model {model!r}; {nearest(model, self.models)}", "not_found_error")

    def complete(self, body: bytes) -> tuple[Chat, dict[str, Any]]:
        """The answer to a chat, in the words of the endpoint."""
        chat = parse(body)
        policy = self.policy(chat.model)
        try:
            prompt = policy.renderer.start([said.plain() for said in chat.messages])
        except PalaestraError as error:
            raise Problem(400, str(error)) from None
        limit = chat.max_completion_tokens or chat.max_tokens or policy.max_tokens
        sampling = Sampling(limit, chat.temperature, policy.renderer.stop_ids)
        seed = secrets.randbits(63) if chat.seed is None else chat.seed
        answers: list[queue.SimpleQueue[Completion | Exception]] = [queue.SimpleQueue() for _ in range(chat.n)]
        for number, answer in enumerate(answers):
            self._desk.ask(_Asked(policy, prompt, sampling, draw_seed("served", seed, number), answer))
        done = [answer.get() for answer in answers]
        for one in done:
            if isinstance(one, Exception):
                raise Problem(400 if isinstance(one, PalaestraError) else 500, str(one), "server_error") from one
        replies = [one for one in done if isinstance(one, Completion)]
        if all(reply.stop == "context" for reply in replies):
            raise Problem(400, f"the prompt has {len(prompt)} tokens, and the model's context no room for a reply")
        sampled = sum(len(reply.ids) for reply in replies)
        return chat, {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": policy.label,
            "choices": [_choice(chat, policy, number, prompt, reply) for number, reply in enumerate(replies)],
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": sampled,
                "total_tokens": len(prompt) + sampled,
            },
        }

    def close(self) -> None:
        self._desk.close()


def parse(body: bytes) -> Chat:
    """A request, checked.

    Raises:
        Problem: names the field.
    """
    try:
        chat = Chat.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Problem(400, f"{where}: {first['msg']}") from None
    for name, value in (chat.model_extra or {}).items():
        if name in REFUSED and value not in (None, REFUSED[name]):
            raise Problem(400, f"{name}: not supported; the policies of a run answer in text, from all their tokens")
    return chat


def _choice(chat: Chat, policy: LanguagePolicy, number: int, prompt: list[int], reply: Completion) -> dict[str, Any]:
    text, finish = policy.renderer.said(reply.ids), "stop" if reply.stop == "stop" else "length"
    stops = [chat.stop] if isinstance(chat.stop, str) else chat.stop or []
    if found := [text.index(stop) for stop in stops if stop and stop in text]:
        text, finish = text[: min(found)], "stop"
    choice: dict[str, Any] = {
        "index": number,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": finish,
        "logprobs": None,
    }
    if chat.logprobs:
        pieces = [policy.renderer.decode([token]) for token in reply.ids]
        choice["logprobs"] = {
            "content": [
                {"token": piece, "logprob": logprob, "bytes": list(piece.encode()), "top_logprobs": []}
                for piece, logprob in zip(pieces, reply.logprobs, strict=True)
            ],
            "refusal": None,
        }
    if chat.return_token_ids:
        choice |= {"prompt_token_ids": prompt, "token_ids": reply.ids}
    return choice


def chunks(chat: Chat, whole: dict[str, Any]) -> list[dict[str, Any]]:
    """An answer as a stream's events: one for each choice, its end, and the usage where it was asked for."""
    head = {**{k: whole[k] for k in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    out = []
    for choice in whole["choices"]:
        own = {"index": choice["index"], "logprobs": choice["logprobs"]}
        out.append({**head, "choices": [{**own, "delta": choice["message"], "finish_reason": None}]})
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        out.append({**head, "choices": [end]})
    if (chat.stream_options or {}).get("include_usage"):
        out.append({**head, "choices": [], "usage": whole["usage"]})
    return out


def server(policies: Policies, port: int, *, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """The endpoint, bound and not yet serving; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the base class names it so
            self._answer(self._get)

        def do_POST(self) -> None:
            self._answer(self._post)

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _get(self) -> None:
            path = self.path.partition("?")[0].rstrip("/")
            if path == "/v1/models":
                listed = [{"id": m, "object": "model", "created": 0, "owned_by": "palaestra"} for m in policies.models]
                self._send(200, {"object": "list", "data": listed})
            elif path.startswith("/v1/models/"):
                name = path.removeprefix("/v1/models/").replace("%40", "@")
                policies.policy(name)
                self._send(200, {"id": name, "object": "model", "created": 0, "owned_by": "palaestra"})
            else:
                raise Problem(404, f"no such path {path!r}; there are /v1/models and /v1/chat/completions")

        def _post(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if size > LARGEST:
                self.close_connection = True
                raise Problem(413, f"a request of {size} bytes; at most {LARGEST}")
            body = self.rfile.read(size)
            if self.path.partition("?")[0].rstrip("/") != "/v1/chat/completions":
                raise Problem(404, f"no such path {self.path!r}; there are /v1/models and /v1/chat/completions")
            chat, whole = policies.complete(body)
            if not chat.stream:
                self._send(200, whole)
                return
            events = [f"data: {json.dumps(event)}\n\n" for event in chunks(chat, whole)]
            self._write(200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode())

        def _answer(self, work: Callable[[], None]) -> None:
            try:
                work()
            except Problem as problem:
                error = {"message": str(problem), "type": problem.kind, "param": None, "code": None}
                self._send(problem.status, {"error": error})

        def _send(self, status: int, data: dict[str, Any]) -> None:
            self._write(status, "application/json", json.dumps(data).encode())

        def _write(self, status: int, kind: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return ThreadingHTTPServer((host, port), Handler)


def serve(run: Path, port: int) -> None:
    """Serve until interrupted."""
    policies = Policies(run)
    with server(policies, port) as endpoint:
        where = f"http://127.0.0.1:{endpoint.server_address[1]}/v1"
        print(f"serving {', '.join(policies.models)}\n  at {where} (any API key)", flush=True)
        try:
            endpoint.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
        finally:
            policies.close()
