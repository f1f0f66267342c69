"""Four guests at a table: one has stolen something, one half saw it, and all vote.

| fact | value |
|---|---|
| seats | `guest_0` ... `guest_3` |
| turns | two each: all speak one after the other, then all vote at once |
| hidden | each guest's part, from all others |
| reward | 1 to the honest if the thief is sent away, else 1 to the thief |
| gold outcome | thief, sent (away), caught |
| splits | train and test share no theft |
| controls | `silent`: nobody hears what the others say |

Rules: one guest is the thief, and another saw something. In the order of their seats they accuse somebody or pass; what
is said beside it is heard by all. Then all vote at once: the one with most votes is sent away, of equals nobody.

The witness saw the thief at level 0, and hesitates between the thief and one other at level 1.
"""

from __future__ import annotations

import random

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

THINGS = ("ring", "lamp", "book", "key", "cup", "coat")
PLACES = ("hall", "kitchen", "garden", "cellar", "attic", "stable")


def _greedy(request: Request) -> str:
    """A witness accuses whom it saw, a thief somebody; all vote for the last who was accused, if that is another."""
    told, draw = request.heard, request.rng
    others = [f"guest_{n}" for n in range(4) if f"guest_{n}" != request.seat]
    saw = [guest for guest in others if guest in told[1]]
    if any(move.startswith("[pass") for move in request.legal_actions):
        if not saw and "thief" not in told[1]:
            return "I saw nothing. [pass]"
        return f"I saw it. [accuse {draw.choice(saw or others)}]"
    accused = [text.split()[2].rstrip(".:") for text in told if " accuses " in text]
    return f"[vote {draw.choice(saw or [guest for guest in accused if guest in others][-1:] or others)}]"


def _oracle(request: Request) -> str:
    """Knows the thief, and as the thief plays on as any other."""
    thief = next(guest for guest, part in request.facts["parts"].items() if part == [guest])
    if request.seat == thief:
        return _greedy(request)
    return f"[{'accuse' if '[pass]' in request.legal_actions else 'vote'} {thief}]"


class Template(ScriptedEnv):
    """A thief among guests, who talk and vote."""

    silent: bool = False
    """Control: nobody hears what the others say."""

    seats = ("guest_0", "guest_1", "guest_2", "guest_3")
    levels = (0, 1)
    splits = ("train", "test")
    controls = ("silent",)
    skill = "caught"
    rules = "One of four guests is a thief. All accuse or pass, and may lie; then all vote whom to send away."
    reward_range = (0.0, 1.0)
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def _deal(self, rng: random.Random) -> dict[str, list[str]]:
        """Whom each guest saw; the thief saw itself."""
        thief, witness, other, last = rng.sample(self.seats, 4)
        return {thief: [thief], witness: sorted([thief, other][: self.level + 1]), other: [], last: []}

    def script(self, rng: random.Random) -> Script:
        thing, place = self.item("theft", lambda draw: (draw.choice(THINGS), draw.choice(PLACES)))
        parts = self.secrets("parts", self._deal)
        thief = next(seat for seat in self.seats if parts[seat] == [seat])
        self.tell(f"The {thing} is gone from the {place}.")
        for seat in self.seats:
            seen = f"You saw {' or '.join(parts[seat])} there." if parts[seat] else "You saw nobody there."
            self.tell("You are the thief." if seat == thief else seen, to=seat)

        others = {seat: "|".join(other for other in self.seats if other != seat) for seat in self.seats}
        for seat in self.seats:
            move = yield self.turn(seat, f"accuse {others[seat]}", "pass", default="pass")
            what = f"accuses {move.args[0]}" if move.verb == "accuse" else "accuses nobody"
            said = f": {move.said()}" if move.speech else "."
            if not self.silent:
                self.tell(f"{seat} {what}{said}", to=[other for other in self.seats if other != seat])

        self.tell("Whom do you send away?")
        votes = yield tuple(self.turn(s, f"vote {others[s]}", default=f"vote {others[s][:7]}") for s in self.seats)
        cast = [votes[seat].args[0] for seat in self.seats]
        most = [seat for seat in self.seats if cast.count(seat) == max(map(cast.count, self.seats))]
        sent = most[0] if len(most) == 1 else None
        caught = sent == thief
        self.reveal(f"{sent or 'Nobody'} is sent away. The thief is {thief}.")
        self.reward({seat: float(caught == (seat != thief)) for seat in self.seats})
        self.outcome(thief=thief, sent=sent, caught=caught)
