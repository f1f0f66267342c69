"""Coalition: three to five seats are worth something together, and bargain over who joins and who gets what.

| fact | value |
|---|---|
| seats | `member_0`, `member_1`, `member_2`; from level 1 `member_3`, at level 2 `member_4` |
| turns | one proposal after the other, each answered at once by all whom it names |
| hidden | nothing, but the answers to a proposal while they are given |
| reward | own share of what all are worth together: 0 to 1; not zero-sum |
| gold outcome | coalitions, shares, efficiency, core or not, greatest complaint, Shapley value and nearness to it |
| theory | core by the constraints of all coalitions, Shapley value over all orders; `oracle` in all seats reaches it |
| controls | `joint` (all are paid the mean), `silent` (speech is not passed on), `swap` (the next seat begins) |
| source | L. S. Shapley (1953); A. Okada, A noncooperative coalitional bargaining game (1996), without discount |

Rules: everyone knows what each coalition is worth. In turn (who begins is drawn) a seat passes or proposes a coalition
with itself and a split of its worth in proportion to numbers, one for each member in the order of the letters:
`[propose abc 2 1 1]` gives a half and two quarters; zeros alone are equal parts. The others named answer `[yes]` or
`[no]`. If all say yes, the coalition is formed and its members have their shares for good. The others go on, until all
have joined or the proposals are used up. Who stays alone gets its own worth.

Level 0: three seats, all together worth 10, numbers 0..2, 3 proposals. Level 1: four seats, numbers 0..100, 6
proposals, natural wording. Level 2: five seats, 8 proposals. From level 1 the worths come from pairs of gloves, from
votes with a quota, or from gains between pairs of members; nobody is told from which.

Splits: train and test share no game; in ood all together are worth 16 at level 0, and later worths grow with the square
of sizes. Parameter: `rounds` (proposals; 0: the level's own).

Players: `random`, `greedy` (seeks the most per head, wants double, is content with half), `oracle` (proposes and takes
the Shapley value among those who are left), `equal` (all together, equal shares).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from palaestra.envs.common.bargaining import Bargaining, offers_left
from palaestra.envs.common.solutions import Worths, coalitions, shapley
from palaestra.envs.negotiation import ventures
from palaestra.envs.script import Request, Script, play_random

SIZES, ROUNDS = (3, 4, 5), (3, 6, 8)  # seats and proposals by level


class Coalition(Bargaining):
    """Forming coalitions and sharing their worth."""

    env_id = "coalition"
    levels = (0, 1, 2)
    rules = (
        "Members earn together what their coalition is worth. In turn, propose a coalition with yourself and numbers "
        "for its members, in the order of their letters: its worth is split in proportion to them. If all others named "
        "say yes, it is formed and they have their shares for good; the rest goes on. Who stays alone gets its own "
        "worth, mostly nothing."
    )
    reward_range = (0.0, 1.0)
    skill = "shapley_nearness"

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"member_{i}" for i in range(SIZES[self.level]))

    def script(self, rng: random.Random) -> Script:
        players = "abcde"[: len(self.seats)]
        letter = dict(zip(self.seats, players, strict=True))
        rounds = self.rounds or ROUNDS[self.level]
        table = self.item("game", lambda r: ventures.draw_game(r, players, ood=self.split == "ood"))
        worths = ventures.complete(table, players)
        whole = worths[frozenset(players)]
        free = list(self.order(rng))  # who has not joined, the next to propose first
        opening = rng.choice(ventures.OPENINGS[min(self.level, 1)])
        for seat in self.seats:
            self.tell(f"{ventures.opened(opening, letter[seat], players, table)} {offers_left(rounds)}", to=seat)

        shares, formed = dict[str, float](), list[str]()
        for left in range(rounds - 1, -1, -1):
            if len(free) < 2:
                break
            seat, *others = free
            free = [*others, seat]
            groups = sorted("".join(sorted({letter[seat], *g})) for g in coalitions([letter[s] for s in others]))
            most = "0..100" if self.level else "0..2"
            commands = [f"propose {group}{f' {most}' * len(group)}" for group in groups]
            move = yield self.turn(seat, *commands, "pass", default="pass")
            if move.verb == "pass":
                self.tell(f"{letter[seat]} passes. {offers_left(left)}")
                continue
            group, *numbers = move.args
            parts = ventures.share_out(worths[frozenset(group)], [int(n) for n in numbers])
            split = dict(zip(group, parts, strict=True))
            for hearer in (s for s in self.seats if s != seat):
                proposal = ventures.proposed(letter[seat], split, letter[hearer], listed=self.level > 0)
                self.tell(f"{proposal}{self.talk(move)}", to=hearer)
            asked = tuple(s for s in self.seats if letter[s] in group and s != seat)
            answers = yield self.turn(asked, "yes", "no", default="no")
            for member, answer in answers.items():
                line = f"{letter[member]} says {answer.verb}.{self.talk(answer)}"
                self.tell(line, to=[s for s in self.seats if s != member])
            agreed = all(answer.verb == "yes" for answer in answers.values())
            if agreed:
                formed.append(group)
                shares |= split
                free = [s for s in free if letter[s] not in group]
            self.tell(f"{f'{group} is formed' if agreed else 'No agreement'}. {offers_left(left)}")

        shares = {p: shares.get(p, float(worths[frozenset(p)])) for p in players}
        self.pay({s: shares[p] / whole for s, p in letter.items()})
        efficiency = sum(shares.values()) / whole
        self.outcome(formed=formed, shares=shares, efficiency=efficiency, **ventures.judged(shares, worths))


# -- players -----------------------------------------------------------------------------------------------------


def _seen(request: Request) -> tuple[str, str, Worths]:
    """Own letter, the letters of those who have not joined, and all worths."""
    players = "abcde"[: len(request.env.seats)]
    return players[request.env.seats.index(request.seat)], *ventures.read(request.heard, players)


def _play(request: Request, group: str, numbers: Sequence[int], least: float) -> str:
    """Answer yes to `least` and more; else propose."""
    if "yes" in request.commands:
        return "[yes]" if ventures.read_offer(request.heard) >= least - 0.06 else "[no]"  # it is told in three digits
    return f"[propose {group} {' '.join(map(str, numbers))}]"


def _greedy(request: Request) -> str:
    me, free, worths = _seen(request)
    mine = [group for group in coalitions(free) if me in group and len(group) > 1]
    best = max(mine, key=lambda group: worths[group] / len(group))
    group = "".join(sorted(best))
    least = max(worths[best] / len(best) / 2, worths[frozenset(me)])
    return _play(request, group, [2 if p == me else 1 for p in group], least)


def _oracle(request: Request) -> str:
    me, free, worths = _seen(request)
    value = shapley(free, worths)
    scale = (100 if request.env.level else 2) / (max(value.values()) or 1)
    numbers = [round(x * scale) for x in value.values()]
    return _play(request, free, numbers, ventures.share_out(worths[frozenset(free)], numbers)[free.index(me)])


def _equal(request: Request) -> str:
    _, free, worths = _seen(request)
    return _play(request, free, [1] * len(free), worths[frozenset(free)] / len(free))


Coalition.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "equal": _equal}
