"""How orders of mini-Diplomacy are carried out, and which are good: pure functions of boards."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

POWERS = ("red", "green", "blue")
ARMIES = 2  # that a power may have
HOMES = "abc"
# d e f lie between two homes, g h i in the middle, each at one home
MAP = {
    "a": "dfg", "b": "deh", "c": "efi", "d": "abgh", "e": "bchi", "f": "acgi", "g": "adfhi", "h": "bdegi", "i": "cefgh",
}  # fmt: skip


class Order(NamedTuple):
    verb: str
    target: str
    """Where the army moves, or which one it supports; its own province where it holds."""


Borders = Mapping[str, Sequence[str]]
Orders = Mapping[str, Order]
"""By the province of the army."""


class Board(NamedTuple):
    armies: dict[str, str]
    """Province -> power."""
    owners: dict[str, str]
    """Centre -> power, the empty string where nobody owns it."""


class World(NamedTuple):
    borders: Borders
    homes: dict[str, str]
    """Power -> its home."""

    def steps(self, start: str, goals: AbstractSet[str]) -> int:
        """Moves from a province to the nearest of some; 9 where there is no way."""
        reached, n = {start}, 0
        while n < 9 and not reached & goals:
            reached, n = reached.union(*(self.borders[a] for a in reached)), n + 1
        return n


def standing(board: Board, power: str) -> list[str]:
    """Where the armies of a power are."""
    return sorted(a for a, p in board.armies.items() if p == power)


def moved(borders: Borders, armies: Mapping[str, str], orders: Orders) -> set[str]:
    """The provinces whose armies move as they are ordered: the largest set of moves that agrees with the rules."""
    moves = {a: order.target for a, order in orders.items() if order.verb == "move"}
    entering: dict[str, list[str]] = {}
    supports: dict[str, list[str]] = {}
    for a, (verb, target) in orders.items():
        if verb == "move":
            entering.setdefault(target, []).append(a)
        elif verb == "support" and moves.get(target, target) in borders[a]:
            supports.setdefault(target, []).append(a)

    def strength(a: str, done: AbstractSet[str], foe: str = "") -> int:
        """An army and its uncut supports, without those of the power that it would dislodge."""
        return 1 + sum(armies[s] != foe and not cut(s, moves.get(a), done) for s in supports.get(a, ()))

    def cut(s: str, aim: str | None, done: AbstractSet[str]) -> bool:
        """Attacked by another power, but not from where the support is aimed at; or dislodged."""
        return any(x in done or (armies[x] != armies[s] and x != aim) for x in entering.get(s, ()))

    def enters(a: str, done: AbstractSet[str]) -> bool:
        to = moves[a]
        foe = armies.get(to, "") if to not in done or moves[to] == a else ""  # who stays there, or comes from there
        mine = strength(a, done, foe)
        if foe:
            theirs = strength(to, done) if moves.get(to, a) == a else 1  # it fails to go elsewhere
            if foe == armies[a] or mine <= theirs:
                return False
        # an army that is thrown back from in front holds up nobody
        beaten = moves[to] if to in done else ""
        return all(mine > strength(x, done) for x in entering[to] if x not in (a, beaten))

    for size in range(len(moves), -1, -1):
        for done in map(frozenset, itertools.combinations(moves, size)):
            if all(enters(a, done) == (a in done) for a in moves):
                return set(done)
    raise AssertionError("without convoys some set of moves agrees with the rules")


def carry_out(world: World, board: Board, orders: Orders) -> tuple[Board, set[str], set[str]]:
    """The board after a year, the provinces whose armies moved, and those whose armies were lost."""
    done = moved(world.borders, board.armies, orders)
    goes = {a: orders[a].target if a in done else a for a in board.armies}
    lost = {goes[a] for a in done if goes[a] in board.armies} - done
    armies = {goes[a]: power for a, power in board.armies.items() if a not in lost}
    owners = {centre: armies.get(centre, owner) for centre, owner in board.owners.items()}
    for power, home in world.homes.items():
        if owners[home] == power and home not in armies and list(armies.values()).count(power) < ARMIES:
            armies[home] = power
    return Board(armies, owners), done, lost


def options(world: World, board: Board, a: str) -> list[Order]:
    """The orders that an army may get."""
    near = world.borders[a]
    helped = [x for x in sorted(board.armies) if x != a and (x in near or {*world.borders[x]} & {*near})]
    return [Order("hold", a), *(Order("move", x) for x in near), *(Order("support", x) for x in helped)]


def value(power: str, world: World, board: Board) -> float:
    """What a power thinks of a board: its part of the owned centres, then armies, then nearness to other centres."""
    owners = [owner for owner in board.owners.values() if owner]
    mine = standing(board, power)
    wanted = {centre for centre, owner in board.owners.items() if owner != power}
    return owners.count(power) / len(owners) + 0.05 * len(mine) - 0.01 * sum(world.steps(a, wanted) for a in mine)


def greedy_orders(power: str, world: World, board: Board) -> Orders:
    """Every army goes to the nearest centre that is not its power's, and no two to the same province."""
    wanted = {centre for centre, owner in board.owners.items() if owner != power}
    orders: dict[str, Order] = {}
    for a in standing(board, power):
        taken = {order.target for order in orders.values()}
        free = [x for x in (a, *world.borders[a]) if x not in taken]
        to = min(free, key=lambda x: world.steps(x, wanted), default=a)
        orders[a] = Order("hold" if to == a else "move", to)
    return orders


def best_orders(power: str, world: World, board: Board, others: Orders) -> Orders:
    """The best orders of one year against given orders of all other armies; of equally good ones greedy orders."""
    choices = [[(a, order) for order in options(world, board, a)] for a in standing(board, power)]
    plans = [greedy_orders(power, world, board), *map(dict, itertools.product(*choices))]
    return max(plans, key=lambda plan: value(power, world, carry_out(world, board, {**others, **plan})[0]))
