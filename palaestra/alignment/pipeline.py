"""A run as a pipeline, simulated: how busy learner and engines are, how many steps an hour, how stale the tokens.

Engines serve episodes: `live` at once, all at one speed that depends on how many there are. The learner takes a batch,
learns, and publishes a version; engines go on meanwhile. What may be begun when is the admission:

- `batches`: the episodes of step `k` as soon as version `k - S` is there, trained on at step `k` (`loops/ahead.py`)
- `continuous`: one by one while `begun < (S + version + 1) * batch`, trained on in the order in which they end, as soon
  as a batch is there (AReaL, arXiv 2505.24298, section 4, where `begun` is accepted + running). Differs: an episode
  keeps the version that it was begun with

Only durations are simulated, events in the order of time from a heap; one seed gives one result.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Draw = Callable[[random.Random], float]
"""A random amount."""


def always(amount: float) -> Draw:
    """No spread."""
    return lambda rng: amount


def long_tail(mean: float, spread: float, most: float = math.inf) -> Draw:
    """Log-normal; `spread` is the standard deviation as a share of the mean, both before it is cut off at `most`."""
    sigma = math.sqrt(math.log1p(spread**2))
    return lambda rng: min(rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma), most)


def steady(alone_s: float, each_s: float = 0.0) -> Callable[[int], float]:
    """Seconds for a token of every episode, from how many are served at once: a part for all, a part for each."""
    return lambda live: alone_s + each_s * live


class Slowdown(NamedTuple):
    """By how much what goes on at once is slower than alone; both 1 where nothing is shared."""

    play: float = 1.0
    learn: float = 1.0


@dataclass(frozen=True)
class Pipeline:
    """What a run consists of, in seconds and tokens."""

    episodes: int
    """A step."""
    tokens: Draw
    """Sampled one after the other in an episode: of all turns."""
    token_s: Callable[[int], float]
    """Seconds for a token, from how many episodes an engine serves at once."""
    learn: Draw
    """Seconds a step."""
    publish_s: float = 0.0
    """What the learner does besides: publishing, credit, writing."""
    engines: int = 1
    live: int = 256
    """Episodes that an engine serves at once."""
    staleness: int = 0
    admission: Literal["batches", "continuous"] = "batches"
    at_once: int | None = None
    """Batches that are played at once at most; None: all that are admitted."""
    shared: Callable[[int, bool], Slowdown] = lambda playing, learning: Slowdown()
    """From how many episodes are played, and whether the learner learns."""


class Forecast(NamedTuple):
    """What comes of it, over the steps after the warm-up."""

    step_s: float
    learner: float
    """Share of the time in which the learner learns."""
    engines: float
    """Share of the time in which an engine has something to do."""
    filled: float
    """Share of the engines' places that are taken."""
    staleness: float
    """Versions between an episode's first token and the step that trains on it: mean."""
    stalest: int

    @property
    def steps_an_hour(self) -> float:
        return 3600 / self.step_s


class _Episode(NamedTuple):
    batch: int
    version: int
    tokens: float


class _Engine:
    """Serves its episodes side by side. `served` is how many tokens one that was always there would have got."""

    def __init__(self) -> None:
        self.served = self.since = 0.0
        """Up to when `served` is counted."""
        self.pace = 1.0
        """Seconds a token since then."""
        self.ends: list[tuple[float, int, _Episode]] = []
        self.stamp = 0
        """Of its next event: an older one in the heap is void."""

    def count(self, now: float) -> None:
        """Bring `served` up to now, before anything about the pace changes."""
        self.served += (now - self.since) / self.pace
        self.since = now


class _Run:
    def __init__(self, pipeline: Pipeline, seed: int, steps: int) -> None:
        self.p, self.rng, self.steps = pipeline, random.Random(seed), steps
        self.now = 0.0
        self.version = self.begun = self.batches = self.count = 0
        self.engines = [_Engine() for _ in range(pipeline.engines)]
        self.busy: set[int] = set()
        self.free = [(0, e) for e in range(pipeline.engines)]
        self.playing = 0
        self.waiting: deque[_Episode] = deque()
        self.held: deque[list[_Episode]] = deque()
        self.left: dict[int, int] = {}
        self.done: deque[_Episode] = deque()
        self.learning: float | None = None
        """Seconds of work left, while the learner learns."""
        self.publishing: float | None = None
        """When it ends."""
        self.trained: list[_Episode] = []
        self.heap: list[tuple[float, int, int]] = []
        self.slow = Slowdown()
        self.totals = [0.0, 0.0, 0.0]
        self.marks: list[tuple[float, tuple[float, ...], float, int]] = []

    # -- what may be begun -------------------------------------------------------------------------------------------
    def admit(self) -> None:
        p = self.p
        if p.admission == "batches":
            while self.batches < self.steps and self.version >= self.batches - p.staleness:
                self.held.append([self._episode(self.batches) for _ in range(p.episodes)])
                self.left[self.batches] = p.episodes
                self.batches += 1
            while self.held and (p.at_once is None or sum(map(bool, self.left.values())) - len(self.held) < p.at_once):
                self.waiting.extend(self.held.popleft())
        else:
            while self.begun < min(p.staleness + self.version + 1, self.steps) * p.episodes:
                self.waiting.append(self._episode(self.begun // p.episodes))
                if self.playing + len(self.waiting) > p.engines * p.live:  # its version is that of its first token
                    self.waiting.pop()
                    self.begun -= 1
                    break
        touched = set()
        while self.waiting and self.playing < p.engines * p.live:
            load, e = heapq.heappop(self.free)
            engine = self.engines[e]
            if load != len(engine.ends):
                heapq.heappush(self.free, (len(engine.ends), e))
                continue
            episode = self.waiting.popleft()
            self.count += 1
            engine.count(self.now)
            heapq.heappush(engine.ends, (engine.served + episode.tokens, self.count, episode))
            heapq.heappush(self.free, (load + 1, e))
            self.playing += 1
            touched.add(e)
        for e in touched:
            self._schedule(e)

    def _episode(self, batch: int) -> _Episode:
        self.begun += 1
        return _Episode(batch, self.version, self.p.tokens(self.rng))

    # -- time ----------------------------------------------------------------------------------------------------------
    def _schedule(self, e: int) -> None:
        """Put an engine's next end into the heap."""
        engine = self.engines[e]
        engine.count(self.now)
        engine.stamp += 1
        engine.pace = self.p.token_s(len(engine.ends)) * self.slow.play if engine.ends else 1.0
        if engine.ends:
            self.busy.add(e)
            at = self.now + (engine.ends[0][0] - engine.served) * engine.pace
            heapq.heappush(self.heap, (at, e, engine.stamp))
        else:
            self.busy.discard(e)

    def _share(self) -> None:
        """Take up the pace that goes with what is going on now."""
        slow = self.p.shared(self.playing, self.learning is not None)
        if slow != self.slow:
            self.slow = slow
            for e in sorted(self.busy):
                self._schedule(e)

    def _pass(self, until: float) -> None:
        """Let time go by."""
        dt, self.now = until - self.now, until
        if self.learning is not None:
            self.learning -= dt / self.slow.learn
            self.totals[0] += dt
        self.totals[1] += dt * len(self.busy)
        self.totals[2] += dt * self.playing

    # -- what happens --------------------------------------------------------------------------------------------------
    def go(self) -> None:
        while self.version < self.steps:
            self.admit()
            self._take()
            self._share()
            while self.heap and self.heap[0][2] != self.engines[self.heap[0][1]].stamp:
                heapq.heappop(self.heap)
            ends = self.heap[0][0] if self.heap else math.inf
            learned = self.now + self.learning * self.slow.learn if self.learning is not None else math.inf
            published = math.inf if self.publishing is None else self.publishing
            until = max(self.now, min(ends, learned, published))
            self._pass(until)
            if ends <= min(learned, published):
                self._end(heapq.heappop(self.heap)[1])
            elif learned <= published:
                self.learning, self.publishing = None, self.now + self.p.publish_s
            else:
                self.publishing = None
                self.version += 1
                late = [self.version - 1 - e.version for e in self.trained]
                self.marks.append((self.now, tuple(self.totals), sum(late) / len(late), max(late)))

    def _end(self, e: int) -> None:
        engine = self.engines[e]
        served, _, episode = heapq.heappop(engine.ends)
        engine.served, engine.since = served, self.now  # without the rounding of the sum
        heapq.heappush(self.free, (len(engine.ends), e))
        self.playing -= 1
        if self.p.admission == "batches":
            self.left[episode.batch] -= 1
        self.done.append(episode)
        self._schedule(e)

    def _take(self) -> None:
        """Begin to learn, where the learner is free and a batch is there."""
        if self.learning is not None or self.publishing is not None or self.version >= self.steps:
            return
        if self.p.admission == "batches":
            if self.left.get(self.version) != 0:
                return
            del self.left[self.version]
            self.trained = [e for e in self.done if e.batch == self.version]
            self.done = deque(e for e in self.done if e.batch != self.version)
        else:
            if len(self.done) < self.p.episodes:
                return
            self.trained = [self.done.popleft() for _ in range(self.p.episodes)]
        self.learning = self.p.learn(self.rng)


def simulate(pipeline: Pipeline, *, steps: int = 50, warm: int = 5, seed: int = 0) -> Forecast:
    """The steady state of a pipeline, from the steps `warm` to `steps` of a run of some more."""
    run = _Run(pipeline, seed, steps + pipeline.staleness + 1)  # the last steps have nothing more to begin
    run.go()
    (begin, before, _, _), (end, after, _, _) = run.marks[warm - 1], run.marks[steps - 1]
    took = end - begin
    learned, busy, served = (b - a for a, b in zip(before, after, strict=True))
    kept = run.marks[warm:steps]
    return Forecast(
        took / (steps - warm),
        learned / took,
        busy / took / pipeline.engines,
        served / took / (pipeline.engines * pipeline.live),
        sum(mark[2] for mark in kept) / len(kept),
        max(mark[3] for mark in kept),
    )
