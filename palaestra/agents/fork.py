"""An episode that is played one answer at a time, may be taken back, and may begin in the middle of another.

Taking back is a fork: the episode is begun again with fewer of its answers.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from palaestra.agents.episode import Episode, Failure
from palaestra.agents.play import _boundary, wait_for
from palaestra.agents.policy import Cast, Policy, Scripted, Sitter
from palaestra.envs.script import Request, ScriptedEnv

if TYPE_CHECKING:
    from palaestra.agents.language import LanguageSitter


class Fork:
    """An episode of `env` after the given answers (`transcript.answers()[:n]`), with `cast` for what follows."""

    def __init__(
        self, env: ScriptedEnv, cast: Cast, seed: int, answers: Sequence[tuple[str, Any]] = (), *, key: str = ""
    ) -> None:
        self.env, self.cast, self.seed = env, cast, seed
        self.key = key or str(seed)
        self._begin(answers)

    def _begin(self, answers: Sequence[tuple[str, Any]]) -> None:
        self._sitters: dict[str, Sitter] = {}
        self.env.start(self.seed)
        for key, value in answers:
            self.env.submit({key: value})

    @property
    def next(self) -> Request | None:
        """What is to be answered now; None when the episode is over."""
        return next(iter(self.env.waiting.values()), None)

    def step(self, request: Request) -> None:
        """Have the cast, or the tool, answer `request`."""
        if request.kind == "effect":
            result = request.run()
            self.submit(request, wait_for(_awaited(result)) if inspect.isawaitable(result) else result)
        else:
            self.submit(request, wait_for(self._sitter(request).answer(request)))

    def submit(self, request: Request, answer: Any) -> None:
        """Answer `request`."""
        self.env.submit({request.key: answer})

    def back(self, seat: str) -> bool:
        """Take back the seat's last reply and all that followed; False where it has none."""
        answers = self.env.transcript.answers()
        last = max((i for i, (key, _) in enumerate(answers) if key == seat), default=None)
        if last is None:
            return False
        self._begin(answers[:last])
        return True

    def finish(self) -> Episode:
        """Play on to the end; what goes wrong on the way breaks the episode off, and is recorded."""
        try:
            while request := self.next:
                self.step(request)
        except Exception as error:
            return self.broken(error)
        return self.episode()

    def broken(self, error: Exception) -> Episode:
        """The record of an episode that an error has ended."""
        return self.episode(Failure(_boundary(error), f"{type(error).__name__}: {error}"))

    def episode(self, failure: Failure | None = None) -> Episode:
        """The record so far. What was answered before the fork has no tokens in it."""
        tokens = [t for sitter in self._sitters.values() for t in sitter.trajectories()]
        labels = {seat: self.cast[seat].label for seat in self.env.seats}
        return Episode(self.key, self.env.transcript, labels, tokens, failure=failure)

    def _sitter(self, request: Request) -> Sitter:
        seat = request.seat
        if seat not in self._sitters:
            self._sitters[seat] = _sit(self.cast[seat], request, self.key)
        return self._sitters[seat]


def _sit(policy: Policy, request: Request, key: str) -> Sitter:
    """Take a seat in mid-episode, knowing all that the seat has been told and has said."""
    sitter = policy.sit(request.seat, key)
    if not isinstance(policy, Scripted) and request.turn:
        from palaestra.agents.language import LanguageSitter  # only here, so that scripted play starts quickly

        if isinstance(sitter, LanguageSitter):
            _remember(sitter, request)
    return sitter


def _remember(sitter: LanguageSitter, request: Request) -> None:
    """Put the seat's earlier turns into the messages of a language model that has just sat down."""
    if system := sitter.policy.system(request):
        sitter.messages.append({"role": "system", "content": system})
    told: list[str] = []
    said = max(i for i, (kind, _) in enumerate(request.view) if kind == "said")
    for kind, text in request.view[: said + 1]:
        if kind == "told":
            told.append(text)
            continue
        sitter.messages.append({"role": "user", "content": "\n".join(told) or "It is your turn."})
        sitter.messages.append({"role": "assistant", "content": text})
        told = []


async def _awaited(result: Any) -> Any:
    return await result
