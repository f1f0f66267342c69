"""Solve the poker games and write down an equilibrium, for players and for the regret of moves.

python tools/equilibria.py    (a minute; writes palaestra/envs/games/<game>.json)
"""

from __future__ import annotations

import json

from palaestra.alignment.exploit import Tree
from palaestra.envs.common.cards import SOLVED, line_so_far, situation
from palaestra.envs.games import kuhn, leduc

GAMES = {"kuhn": (kuhn.Kuhn, kuhn.seen), "leduc": (leduc.Leduc, leduc.seen)}
ITERATIONS = 60_000
TREMBLE = 0.002
"""Seats err in so many moves while the game is solved, so that play off the equilibrium's path is sound too."""


def main() -> None:
    for name, (game, seen) in GAMES.items():
        tree = Tree(game())
        trembling = tree.cfr(ITERATIONS, tremble=TREMBLE)
        losses = tree.losses(trembling)
        policy = {key: [(p - TREMBLE / len(row)) / (1 - TREMBLE) for p in row] for key, row in trembling.items()}
        lines = []
        for info in tree.infosets:
            verbs = [action.strip("[]") for action in info.legal_actions]
            row = {
                verb: [round(max(likely, 0.0), 5), round(lost, 3)]
                for verb, likely, lost in zip(verbs, policy[info.key], losses[info.key], strict=True)
            }
            where = situation(*seen(info.view), line_so_far(info.view))
            lines.append(f" {json.dumps(where)}: {json.dumps(row)}")
        (SOLVED / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(f"{name}: {len(lines)} situations, NashConv {tree.nashconv(policy):.2g}, value {tree.value(policy)}")


if __name__ == "__main__":
    main()
