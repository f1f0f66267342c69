"""A language model in a seat: what it is told becomes a prompt, what it samples becomes the reply and the record.

The prompt of the next turn extends the last one verbatim. Where the template cannot do that, or the policy's `history`
says so, a new sequence begins; the old one stays in the record as it was sampled.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass, field, replace
from typing import Literal

from palaestra.agents.engines import Completion, Engine, Sampling
from palaestra.agents.episode import Choice, Origin, PolicyRef, Span, Trajectory
from palaestra.agents.render import Message, Renderer, without_reasoning
from palaestra.envs import transcript
from palaestra.envs.script import Player, Request

YOUR_TURN = "It is your turn."


def draw_seed(*key: object) -> int:
    """63 bits fixed by the key, the same in every process."""
    return int.from_bytes(hashlib.blake2b("|".join(map(str, key)).encode(), digest_size=8).digest(), "big") >> 1


def system_text(request: Request, *, rules: bool, persona: str) -> str:
    """What a model reads first: rules, how to move, persona."""
    parts = []
    if rules:
        if request.env.rules:
            parts.append(request.env.rules)
        parts.append("A move is written in square brackets; the last one in your reply counts.")
    if persona:
        parts.append(persona)
    return "\n".join(parts)


def turn_text(request: Request, *, legal: bool) -> str:
    """What a model reads at a turn: what its seat was told since the last one, and perhaps its legal moves."""
    told = "\n".join(request.told) or YOUR_TURN
    if legal and request.legal_actions:
        told += "\nLegal moves: " + " ".join(request.legal_actions)
    return told


@dataclass(frozen=True)
class LanguagePolicy:
    """A version of a policy, and how it reads and acts.

    act: "text" samples a free reply; "score" draws among the legal actions, where they can be listed, by the
        normalised probability of each candidate (arXiv 2302.02662, GLAM; 2401.14151, TWOSOME).
    norm: a candidate's score is the "sum" of its token log-probabilities, the mean per "token", or per "word".
    history: "keep" all that was said: in a full context nothing more can be said. "slide": where prompt and reply would
        outgrow the context, a new sequence begins with the newest turns that fill half of it. "drop" the reasoning of
        replies: each turn begins a new sequence.
    legal: record the legal actions of free replies too, for exact entropy and KL over them.
    teacher: a scripted player that speaks instead of the model; its replies are recorded as if sampled, with
        log-probability 0, so that they can be cloned.
    """

    ref: PolicyRef
    engine: Engine
    renderer: Renderer
    act: Literal["text", "score"] = "text"
    max_tokens: int = 64
    temperature: float = 1.0
    norm: Literal["sum", "token", "word"] = "sum"
    history: Literal["keep", "slide", "drop"] = "keep"
    persona: str = ""
    show_rules: bool = False
    show_legal: bool = False
    legal: bool = False
    teacher: Player | None = None

    @property
    def label(self) -> str:
        return str(self.ref)

    def at(self, version: int) -> LanguagePolicy:
        """The same policy at another version."""
        return replace(self, ref=self.ref._replace(version=version))

    def sit(self, seat: str, key: str) -> LanguageSitter:
        return LanguageSitter(self, seat, key)

    def system(self, request: Request) -> str:
        """The system message; empty where nothing is to be shown."""
        return system_text(request, rules=self.show_rules, persona=self.persona)

    def content(self, request: Request) -> str:
        """The user message of a turn."""
        return turn_text(request, legal=self.show_legal)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.max_tokens, self.temperature, self.renderer.stop_ids)

    def weigh(self, logprobs: list[list[float]], candidates: list[list[int]], texts: tuple[str, ...]) -> list[float]:
        """Normalised natural-log probability of each candidate."""
        scores = []
        for tokens, ids, text in zip(logprobs, candidates, texts, strict=True):
            unit = {"sum": 1, "token": len(ids), "word": len(text.split())}[self.norm]
            scores.append(sum(tokens) / unit / (self.temperature or 1.0))
        top = max(scores)
        norm = top + math.log(sum(math.exp(s - top) for s in scores))
        return [s - norm for s in scores]


@dataclass
class LanguageSitter:
    """One seat of one episode: the tokens so far, and the messages in case that they must be told anew."""

    policy: LanguagePolicy
    seat: str
    key: str
    messages: list[Message] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    reply: list[int] = field(default_factory=list)
    _done: list[Trajectory] = field(default_factory=list)
    _open: Trajectory | None = None

    async def answer(self, request: Request) -> str | None:
        if request.kind == "probe":
            return await self._aside(request)
        self._prompt(request)
        if self.policy.teacher:
            return self._repeat(self.policy.teacher(request), request.turn)
        if self.policy.act == "score" and request.enumerable:
            return await self._choose(request)
        return await self._speak(request)

    def trajectories(self) -> list[Trajectory]:
        return [*self._done, self._open] if self._open else self._done

    def _prompt(self, request: Request) -> None:
        """Bring the tokens up to the generation prompt of this turn."""
        policy, turn, longest = self.policy, request.turn, self._longest(request)
        new: list[Message] = [{"role": "user", "content": policy.content(request)}]
        if self.ids and policy.history != "drop":
            bridge = policy.renderer.bridge(self.reply, new)
            if bridge is not None and len(self.ids) + sum(map(len, bridge)) <= longest:
                self.messages += new
                self._append("forced", bridge[0], turn)
                self._append("told", bridge[1], turn)
                return
        if not self.messages and (system := policy.system(request)):
            self.messages.append({"role": "system", "content": system})
        self.messages += new
        if self._open:
            self._done.append(self._open)
        self._open = Trajectory(self.seat, policy.label, [])
        self.ids = []
        self.messages, ids = self._newest(self.messages, longest)
        self._append("told", ids, turn)

    def _longest(self, request: Request) -> float:
        """How many tokens a prompt may have, so that there is room for the reply; only who slides keeps to it."""
        policy = self.policy
        if policy.history != "slide":
            return math.inf
        room = policy.max_tokens
        if request.kind != "probe" and policy.act == "score" and request.enumerable and policy.teacher is None:
            room = max(len(policy.renderer.encode(action)) for action in request.legal_actions)
        return policy.engine.context(policy.ref.name) - room

    def _newest(self, messages: list[Message], longest: float) -> tuple[list[Message], list[int]]:
        """What a new sequence begins with, and its prompt: all messages, or the newest that fill half the context."""
        renderer = self.policy.renderer
        ids = renderer.start(messages)
        if len(ids) > longest:
            most = min(longest, self.policy.engine.context(self.policy.ref.name) // 2)
            first = 1 if messages[0]["role"] == "system" else 0
            while len(ids) > most and len(messages) > first + 2:
                messages = messages[:first] + messages[first + 2 :]  # without what was told, and the reply
                ids = renderer.start(messages)
        return messages, ids

    async def _speak(self, request: Request) -> str:
        policy, turn = self.policy, request.turn
        if policy.legal and request.enumerable:
            candidates = [policy.renderer.encode(a) for a in request.legal_actions]
            self._trajectory.choices.append(Choice(turn, len(self.ids), candidates, -1, []))
        seed = draw_seed(self.key, self.seat, turn)
        done: Completion = await policy.engine.generate(self.ids, policy.sampling, policy.ref, seed)
        self._trajectory.versions += [(len(self.ids) + start, version) for version, start in done.versions]
        self._append("sampled", done.ids, turn, done.logprobs)
        text = policy.renderer.said(done.ids)
        self._said(text, done.stop, done.ids)
        return text

    async def _choose(self, request: Request) -> str:
        policy, turn = self.policy, request.turn
        texts = request.legal_actions
        candidates = [policy.renderer.encode(a) for a in texts]
        scored = await policy.engine.score(self.ids, candidates, policy.ref)
        logprobs = policy.weigh(scored, candidates, texts)
        draw = random.Random(draw_seed(self.key, self.seat, turn)).random()
        if policy.temperature > 0:
            chosen, mass = 0, math.exp(logprobs[0])
            while draw >= mass and chosen < len(texts) - 1:
                chosen += 1
                mass += math.exp(logprobs[chosen])
        else:
            chosen = logprobs.index(max(logprobs))
        self._trajectory.choices.append(Choice(turn, len(self.ids), candidates, chosen, logprobs))
        self._append("sampled", candidates[chosen], turn, scored[chosen])
        self._said(texts[chosen], "choice", candidates[chosen])
        return texts[chosen]

    def _repeat(self, text: str, turn: int) -> str:
        """A teacher's reply, closed by the stop token that the model should learn to sample."""
        renderer = self.policy.renderer
        ids = renderer.encode(text) + ([renderer.end_id] if self.policy.act == "text" else [])
        self._append("sampled", ids, turn, [0.0] * len(ids))
        self._said(text, "stop", ids)
        return text

    async def _aside(self, request: Request) -> str:
        """A side branch: the seat's tokens so far, the question, a reply; none of it stays."""
        policy, longest = self.policy, self._longest(request)
        question: list[Message] = [{"role": "user", "content": request.text}]
        bridge = policy.renderer.bridge(self.reply, question) if self.ids else None
        if bridge is not None and len(self.ids) + sum(map(len, bridge)) <= longest:
            prefix = self.ids + bridge[0] + bridge[1]
        else:
            prefix = self._newest([*self.messages, *question], longest)[1]
        asked = sum(isinstance(e, transcript.Probe) and e.seat == self.seat for e in request.env.events)
        seed = draw_seed(self.key, self.seat, "probe", asked)
        done: Completion = await policy.engine.generate(prefix, policy.sampling, policy.ref, seed)
        return policy.renderer.said(done.ids)

    @property
    def _trajectory(self) -> Trajectory:
        assert self._open is not None
        return self._open

    def _said(self, text: str, stop: str, ids: list[int]) -> None:
        self._trajectory.stops.append(stop)
        self.reply = ids
        kept = without_reasoning(text) if self.policy.history == "drop" else text
        self.messages.append({"role": "assistant", "content": kept})

    def _append(self, origin: Origin, ids: list[int], turn: int, logprobs: list[float] | None = None) -> None:
        if ids:
            self.ids = self.ids + ids
            self._trajectory.spans.append(Span(origin, ids, logprobs or [], turn))
