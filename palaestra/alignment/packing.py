"""Where tokens lie: tries of distinct prefixes, micro-batches of tries, and one forward pass as arrays.

All rows go into tries, so that equal trajectories are computed once. Packing lays a whole trie into one row, with a
mask that lets a token see its ancestors only, and positions that count along the branch: equal prefixes and what the
candidates of a choice share are computed once as well. Without packing each leaf is a right-padded row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from palaestra.alignment.rows import ChoiceRow, Row, TokenRow, ValueRow

PACKED_ROW_TOKENS = 512  # a packed row is at most this long (or its longest member): dense masks cost length²


class Trie:
    """Distinct prefixes of token sequences. A node is a token in its context; parents come before children."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def missing(self, ids: Sequence[int]) -> int:
        """How many nodes `ids` would add."""
        node = -1
        for depth, token in enumerate(ids):
            child = self._children.get((node, token))
            if child is None:
                return len(ids) - depth
            node = child
        return 0

    def add(self, ids: Sequence[int], start: int = -1) -> list[int]:
        """The nodes along `ids`, from the root or from node `start`."""
        path: list[int] = []
        node = start
        for token in ids:
            child = self._children.get((node, token))
            if child is None:
                child = self._children[node, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
                self.depths.append(self.depths[node] + 1 if node >= 0 else 0)
            path.append(child)
            node = child
        return path

    def leaves(self) -> list[int]:
        """Nodes without children, in order."""
        inner = set(self.parents)
        return [n for n in range(len(self.tokens)) if n not in inner]

    def path(self, node: int) -> list[int]:
        """The nodes from the root to `node`."""
        out: list[int] = []
        while node >= 0:
            out.append(node)
            node = self.parents[node]
        return out[::-1]

    def visible(self, length: int) -> np.ndarray:
        """bool (length, length): row i is True at i and its ancestors. Padding sees itself only."""
        mask = np.zeros((length, length), np.bool_)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                mask[node] = mask[parent]
            mask[node, node] = True
        pad = np.arange(len(self.parents), length)
        mask[pad, pad] = True
        return mask


def needed(row: Row) -> tuple[tuple[int, ...], int]:
    """The tokens that a row's predictions follow, shared by all of them, and how many more its candidates add."""
    if isinstance(row, ChoiceRow):
        return row.prefix, sum(len(c) - 1 for c in row.candidates)
    if isinstance(row, ValueRow):
        return row.ids[: max(row.positions, default=-1) + 1], 0
    return row.ids[: max((i for i, m in enumerate(row.mask) if m), default=0)], 0


class MicroBatch(NamedTuple):
    """Rows (by index) and the tries in which their tokens lie."""

    rows: list[int]
    tries: list[Trie]
    where: list[int]
    """For each row, which trie."""


def plan(rows: Sequence[Row], *, tokens_per_micro_batch: int, packing: bool) -> list[MicroBatch]:
    """Micro-batches within the token budget (a single larger row gets one of its own), in a fixed order.

    Packed rows come in lexicographic order, so that neighbors share prefixes; padded ones by length.
    """
    keys = [needed(row) for row in rows]
    if packing:
        order = sorted(range(len(rows)), key=lambda i: keys[i][0])
    else:
        order = sorted(range(len(rows)), key=lambda i: (len(keys[i][0]) + keys[i][1], keys[i][0]))
    order = [i for i in order if keys[i][0]]  # rows without a trained token ask for nothing
    cap = min(tokens_per_micro_batch, PACKED_ROW_TOKENS) if packing else tokens_per_micro_batch
    filled: list[tuple[Trie, list[int]]] = []
    padded = 0  # rows of the rectangle, not counting what sharing will save
    for i in order:
        row, (ids, more) = rows[i], keys[i]
        branches = len(row.candidates) if isinstance(row, ChoiceRow) and more else 1
        if not filled:
            full = True
        elif packing:
            full = len(filled[-1][0]) + filled[-1][0].missing(ids) + more > cap
        else:
            full = (padded + branches) * (len(ids) + more) > cap
        if full:
            filled.append((Trie(), []))
            padded = 0
        trie, members = filled[-1]
        path = trie.add(ids)
        if isinstance(row, ChoiceRow):
            for candidate in row.candidates:
                trie.add(candidate[:-1], start=path[-1])
        members.append(i)
        padded += branches
    return list(_grouped(filled, tokens_per_micro_batch if packing else 0))


def _grouped(filled: list[tuple[Trie, list[int]]], budget: int) -> Iterator[MicroBatch]:
    """Several tries a micro-batch, as long as the padded rectangle stays in the budget."""
    rows: list[int] = []
    tries: list[Trie] = []
    where: list[int] = []
    for trie, members in filled:
        longest = max(len(t) for t in (*tries, trie))
        if tries and longest * (len(tries) + 1) > budget:
            yield MicroBatch(rows, tries, where)
            rows, tries, where = [], [], []
        where = where + [len(tries)] * len(members)
        rows, tries = rows + members, [*tries, trie]
    if rows:
        yield MicroBatch(rows, tries, where)


class Layout(NamedTuple):
    """One forward pass as numpy arrays, and where in it every prediction is."""

    ids_BT: np.ndarray
    positions_BT: np.ndarray
    visible_BTT: np.ndarray | None
    """None: causal."""
    heads_C: np.ndarray
    """Flat (row · T + column) indices of the hidden states that go through the head."""
    head_Q: np.ndarray
    """For each query, which of them."""
    target_Q: np.ndarray
    """For each query, the token asked for."""
    tokens_N: np.ndarray
    """For each trained token, its query."""
    choices_MKJ: np.ndarray
    """For each candidate of each choice, the queries of its tokens; -1 is padding."""
    divisors_MK: np.ndarray
    """What a candidate's summed log-probability is divided by."""
    values_U: np.ndarray
    """Flat indices of the hidden states that values are read from."""


def layout(rows: Sequence[Row], batch: MicroBatch, *, packing: bool, chains_causal: bool = False) -> Layout:
    """Where everything lies. Rows keep the order of `batch.rows`, apart by kind.

    With `chains_causal`, packed rows in which nothing branches are causal ones: without a mask attention has a faster
    kernel, and results that differ in the last bits.
    """
    flat_of, ids, positions, visible = _place(batch.tries, packing, chains_causal)
    flats: list[int] = []
    targets: list[int] = []
    choices: list[list[list[int]]] = []
    divisors: list[tuple[float, ...]] = []
    tokens = 0
    values: list[int] = []
    for kind in (TokenRow, ChoiceRow, ValueRow):
        for i, where in zip(batch.rows, batch.where, strict=True):
            row, trie, flat = rows[i], batch.tries[where], flat_of[where]
            if type(row) is not kind:
                continue
            path = trie.add(needed(row)[0])
            if isinstance(row, TokenRow):
                trained = [t for t, m in enumerate(row.mask) if m]
                flats += [flat[path[t - 1]] for t in trained]
                targets += [row.ids[t] for t in trained]
                tokens += len(trained)
            elif isinstance(row, ChoiceRow):
                asked: list[list[int]] = []
                for candidate in row.candidates:
                    nodes = [path[-1], *trie.add(candidate[:-1], start=path[-1])]
                    asked.append(list(range(len(flats), len(flats) + len(nodes))))
                    flats += [flat[n] for n in nodes]
                    targets += candidate
                choices.append(asked)
                divisors.append(row.divisors)
            else:
                values += [flat[path[p]] for p in row.positions]
    stride = max(targets, default=0) + 1
    keys, query = np.unique(np.asarray(flats, np.int64) * stride + np.asarray(targets, np.int64), return_inverse=True)
    heads, head = np.unique(keys // stride, return_inverse=True)
    most = max((len(c) for asked in choices for c in asked), default=1)
    padded = np.full((len(choices), max((len(a) for a in choices), default=1), most), -1, np.int64)
    unit = np.ones(padded.shape[:2], np.float32)
    for m, asked in enumerate(choices):
        for k, raw in enumerate(asked):
            padded[m, k, : len(raw)] = query[raw]
        if divisors[m]:
            unit[m, : len(asked)] = divisors[m]
    read = np.asarray(values, np.int64)
    return Layout(ids, positions, visible, heads, head, keys % stride, query[:tokens], padded, unit, read)


def _place(
    tries: list[Trie], packing: bool, chains_causal: bool
) -> tuple[list[list[int]], np.ndarray, np.ndarray, np.ndarray | None]:
    """Flat index of every node of every trie; ids, positions and visibility of the rectangle. Padding is token 0."""
    if packing:
        length = max(map(len, tries))
        ids, positions = np.zeros((2, len(tries), length), np.int64)
        for b, trie in enumerate(tries):
            ids[b, : len(trie)], positions[b, : len(trie)] = trie.tokens, trie.depths
        flat = [[b * length + n for n in range(len(trie))] for b, trie in enumerate(tries)]
        if chains_causal and all(len(trie) == max(trie.depths, default=-1) + 1 for trie in tries):
            return flat, ids, np.tile(np.arange(length), (len(tries), 1)), None
        return flat, ids, positions, np.stack([trie.visible(length) for trie in tries])
    (trie,) = tries
    leaves = trie.leaves()
    length = max((trie.depths[leaf] + 1 for leaf in leaves), default=1)
    ids = np.zeros((max(len(leaves), 1), length), np.int64)
    place = [-1] * len(trie)
    for b, leaf in enumerate(leaves):
        path = trie.path(leaf)
        ids[b, : len(path)] = [trie.tokens[n] for n in path]
        for depth, node in enumerate(path):
            if place[node] < 0:  # a shared prefix is read off where it comes first
                place[node] = b * length + depth
    return [place], ids, np.tile(np.arange(length), (len(ids), 1)), None
