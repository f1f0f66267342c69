"""A policy behind any OpenAI-compatible server, as an opponent or a judge: text in, text out, nothing to train on.

What it is told is what a language policy here would be told, as messages. Requests of many episodes are under way at
once; each is tried again where the server is busy, counted, and, with a cache, asked only once: an evaluation that is
repeated asks nothing and gives the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.agents import batching
from palaestra.agents.episode import Trajectory
from palaestra.agents.language import draw_seed, system_text, turn_text
from palaestra.agents.render import Message, without_reasoning
from palaestra.envs.script import Request
from palaestra.errors import EngineError, MissingExtraError


@dataclass
class Ledger:
    """What was asked of a server, and what it cost."""

    requests: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    """In the currency of the prices."""

    def __str__(self) -> str:
        asked = f"{self.requests} requests, {self.cached} answers from the cache"
        return f"{asked}, {self.tokens_in} tokens in, {self.tokens_out} out, {self.cost:.4g} spent"


class Remote:
    """A server, and the account that is kept of it.

    Args:
        url: the endpoint, such as `https://api.openai.com/v1`; None: the client's own default.
        key_env: the environment variable that holds the key; where it is empty, none is sent.
        at_once: requests under way at most.
        per_minute: requests begun in a minute at most; None: no limit.
        retries: how often a request is tried again that the server was too busy for; the wait doubles each time.
        timeout: seconds for one try.
        price_in, price_out: for a million tokens.
        budget: when so much is spent, nothing more is asked.
        cache: a directory for answers; None: none are kept.
        extra: fields of every request that the protocol does not know.

    Raises:
        MissingExtraError: the official client is not installed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key_env: str = "OPENAI_API_KEY",
        at_once: int = 16,
        per_minute: float | None = None,
        retries: int = 4,
        timeout: float = 60.0,
        price_in: float = 0.0,
        price_out: float = 0.0,
        budget: float | None = None,
        cache: Path | str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        try:
            import openai
        except ModuleNotFoundError:
            raise MissingExtraError(
                'engine kind = "openai" needs its client\n  pip install "palaestra[openai]"'
            ) from None
        self._client = openai.OpenAI(
            base_url=url, api_key=os.environ.get(key_env) or "none", max_retries=retries, timeout=timeout
        )
        self._failed: tuple[type[Exception], ...] = (openai.OpenAIError,)
        self.url, self.budget, self.extra = str(self._client.base_url), budget, extra or {}
        self._prices = price_in, price_out
        self._pause = 60.0 / per_minute if per_minute else 0.0
        self._cache = Path(cache) if cache else None
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="remote")
        self._lock, self._next = threading.Lock(), 0.0
        self.ledger = Ledger()

    async def chat(self, model: str, messages: list[Message], **settings: Any) -> str:
        """The reply to a conversation.

        Raises:
            EngineError: the budget is spent, or the server refused or could not be reached.
        """
        asked = {"model": model, "messages": messages, **settings}
        loop = asyncio.get_running_loop()
        return await batching.apart(loop.run_in_executor(self._threads, self._answer, asked))

    def _answer(self, asked: dict[str, Any]) -> str:
        kept = self._kept(asked)
        if kept and kept.exists():
            with self._lock:
                self.ledger.cached += 1
            return str(json.loads(kept.read_text())["reply"])
        with self._lock:
            if self.budget is not None and self.ledger.cost >= self.budget:
                raise EngineError(f"{asked['model']}: the budget of {self.budget:g} is spent\n  {self.ledger}")
            begin = max(time.monotonic(), self._next)
            self._next = begin + self._pause
        time.sleep(max(0.0, begin - time.monotonic()))
        try:
            done = self._client.chat.completions.create(**asked, extra_body=self.extra)
        except self._failed as error:
            raise EngineError(f"{asked['model']} at {self.url}: {error}") from error
        reply = done.choices[0].message.content or ""
        self._count(done.usage)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            whole = kept.with_suffix(f".{threading.get_ident()}")
            whole.write_text(json.dumps({"reply": reply, "asked": asked, "url": self.url}))
            whole.replace(kept)
        return reply

    def _kept(self, asked: dict[str, Any]) -> Path | None:
        if self._cache is None:
            return None
        text = json.dumps([self.url, self.extra, asked], sort_keys=True)
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return self._cache / name[:2] / f"{name}.json"

    def _count(self, usage: Any) -> None:
        told, said = (getattr(usage, name, 0) or 0 for name in ("prompt_tokens", "completion_tokens"))
        with self._lock:
            self.ledger.requests += 1
            self.ledger.tokens_in += told
            self.ledger.tokens_out += said
            self.ledger.cost += (told * self._prices[0] + said * self._prices[1]) / 1e6


@dataclass(frozen=True)
class RemotePolicy:
    """A model of a server in a seat. It is never trained, and its record holds words and no tokens."""

    model: str
    remote: Remote
    max_tokens: int = 256
    temperature: float = 1.0
    persona: str = ""
    show_rules: bool = True
    show_legal: bool = True

    @property
    def label(self) -> str:
        return f"remote:{self.model}"

    def sit(self, seat: str, key: str) -> _Sitter:
        return _Sitter(self, seat, key)


@dataclass
class _Sitter:
    """One seat of one episode: the conversation so far."""

    policy: RemotePolicy
    seat: str
    key: str
    messages: list[Message] = field(default_factory=list)
    asides: int = 0

    async def answer(self, request: Request) -> str | None:
        policy = self.policy
        if request.kind == "probe":  # a side branch, of which nothing stays
            self.asides += 1
            return await self._say([*self.messages, {"role": "user", "content": request.text}], "probe", self.asides)
        if not self.messages and (system := system_text(request, rules=policy.show_rules, persona=policy.persona)):
            self.messages.append({"role": "system", "content": system})
        self.messages.append({"role": "user", "content": turn_text(request, legal=policy.show_legal)})
        reply = await self._say(self.messages, request.turn)
        self.messages.append({"role": "assistant", "content": without_reasoning(reply)})
        return reply

    def trajectories(self) -> list[Trajectory]:
        return []

    async def _say(self, messages: list[Message], *turn: object) -> str:
        policy = self.policy
        return await policy.remote.chat(
            policy.model,
            list(messages),
            max_tokens=policy.max_tokens,
            temperature=policy.temperature,
            seed=draw_seed(self.key, self.seat, *turn) >> 32,
        )
