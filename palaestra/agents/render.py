"""From messages to tokens and back, such that a prompt extends the last one verbatim and words never become control.

The chat template is rendered once per structure (the roles of the messages) with marks in place of the contents. The
text between the marks is encoded with control tokens, the contents are encoded without, and both are spliced. So one
seat's words can be another seat's prompt: `<|im_end|>` in them is a few ordinary tokens that end nothing.

Splicing presumes that a text's tokens do not depend on what stands before it, as with byte-level BPE.
"""

from __future__ import annotations

import copy
import datetime
import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from palaestra.errors import EngineError

PLAIN = (
    "{% for message in messages %}{{ message['role'].capitalize() + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""For tokenizers that bring no chat template."""
DATE = datetime.date(2025, 1, 1)
_MARK = re.compile("\ue000\\+?(\\d+)\ue001")  # private-use characters: no template writes them


class Message(TypedDict):
    """One message of a chat: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


class Bridge(NamedTuple):
    """What follows a sampled reply: the tokens that close it, then the new messages and the generation prompt."""

    forced: list[int]
    told: list[int]


class _Slot(NamedTuple):
    """Where a message's content goes. `lead` is the space that the template writes before it: in byte-level BPE a
    space belongs to the word after it."""

    message: int
    lead: str


Pieces = list[list[int] | _Slot]


class _Tail(NamedTuple):
    closing: list[int]
    pieces: Pieces


class Renderer:
    """Renders for one tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers; without a chat template it is given `PLAIN`.
        date: what templates that read the clock are told.
        options: further variables for the template, for example `{"enable_thinking": False}`.
    """

    def __init__(self, tokenizer: Any, *, date: datetime.date = DATE, options: Mapping[str, Any] | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise EngineError(f"tokenizer {type(tokenizer).__name__} is not a fast one\n  it needs a tokenizer.json")
        self._tokenizer = tokenizer
        self._template: str = tokenizer.get_chat_template() if tokenizer.chat_template else PLAIN
        self._options = {
            "date_string": date.strftime("%d %b %Y"),
            "strftime_now": date.strftime,
            **(options or {}),
        }
        self._core = copy.deepcopy(tokenizer.backend_tokenizer)
        self._core.no_truncation()
        self._core.no_padding()
        self._plain = copy.deepcopy(self._core)
        self._plain.encode_special_tokens = True  # names of special tokens are split like other text
        # A token may control without being marked special, as Qwen's <think>: then the template writes it.
        names = {
            number: token.content
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special or (token.content.strip() and self._controls(token.content))
        }
        #: ids of the control tokens; none of them ever comes from content
        self.control_ids = frozenset(names)
        self._names = re.compile("|".join(map(re.escape, sorted(names.values(), key=len, reverse=True))) or r"(?!)")
        self._content = functools.lru_cache(16384)(self._encode_content)
        self._beginnings: dict[str, tuple[int, ...]] = {}
        self._structures: dict[tuple[str, ...], Pieces] = {}
        self._tails: dict[tuple[str, ...], _Tail | None] = {}
        self._probe()

    def _controls(self, name: str) -> bool:
        """Whether an added token that is not marked special is a control token nevertheless."""
        return name in self._template

    def _probe(self) -> None:
        """Find out how conversations are written here."""
        self._has_system = self._renders("system", "user")
        self._repeats = self._renders("user", "user")
        self._closing = self._find_closing()
        eos = self._tokenizer.eos_token_id
        ends = {*self._closing[-1:], *([] if eos is None else [eos])}
        #: tokens that end a reply: end of sequence and the template's end of turn
        self.stop_ids: tuple[int, ...] = tuple(sorted(ends))
        self._stops = frozenset(ends)
        #: whether the template keeps earlier reasoning (`<think>`) word for word
        self.keeps_reasoning = self._find_keeps_reasoning()

    @property
    def end_id(self) -> int:
        """The token with which the model should end a reply."""
        if self._closing:
            return self._closing[-1]
        if self.stop_ids:
            return self.stop_ids[0]
        raise EngineError("the tokenizer has no end-of-sequence token, and its template ends no turn with a token")

    @property
    def extends(self) -> bool:
        """Whether a reply (without reasoning) and a user message extend the prompt verbatim under this template."""
        return self._tail(("user",)) is not None

    def start(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of `messages`, up to and including the generation prompt.

        Raises:
            EngineError: the template refuses these roles in this order.
        """
        messages = self._fit(messages)
        roles = tuple([m["role"] for m in messages])
        pieces = self._structures.get(roles)
        if pieces is None:
            pieces = self._structures[roles] = self._pieces(self._render(roles), len(roles))
        return self._splice(pieces, messages)

    def bridge(self, reply: bool | Sequence[int], messages: Sequence[Message]) -> Bridge | None:
        """What to append after a sampled reply, so that the next prompt extends the tokens so far.

        Args:
            reply: the reply's ids; or only whether it ended with its stop token (where the template drops reasoning,
                that is not enough to know, and None comes back).
            messages: what came since, usually one user message.
        Returns:
            None where the template would render the history otherwise: a new sequence must begin.
        """
        messages = self._fit(messages)
        tail = self._tail(tuple([m["role"] for m in messages])) if messages else None
        if tail is None:
            return None
        if not self.keeps_reasoning:
            if isinstance(reply, bool) or "think>" in self.decode(reply):
                return None
        return Bridge(self.close(reply) if tail.closing else [], self._splice(tail.pieces, messages))

    def close(self, reply: bool | Sequence[int]) -> list[int]:
        """The tokens that close a reply: none where it ended with the template's end of turn itself."""
        if isinstance(reply, bool):
            ended = reply
        else:
            ended = bool(reply and self._closing) and reply[-1] == self._closing[-1]
        return [] if ended else list(self._closing)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as content, without control tokens."""
        return list(self._content(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The visible text of a reply: without its stop token and other special tokens."""
        end = len(ids) - 1 if ids and ids[-1] in self._stops else len(ids)
        text: str = self._core.decode(ids[:end], skip_special_tokens=True)
        return text

    def said(self, ids: Sequence[int]) -> str:
        """The text of a whole reply, with reasoning between `<think>` and `</think>`."""
        return self.decode(ids)

    # -- content -------------------------------------------------------------------------------------------------
    def beginning(self, text: str) -> tuple[int, ...]:
        """The tokens, control tokens left out, whose own text begins with `text`."""
        if text not in self._beginnings:
            ids = (i for i in range(self._core.get_vocab_size()) if i not in self.control_ids)
            self._beginnings[text] = tuple(i for i in ids if self.decode([i]).startswith(text))
        return self._beginnings[text]

    def _encode_content(self, text: str) -> tuple[int, ...]:
        ids = self._plain.encode(text, add_special_tokens=False).ids
        if self.control_ids.isdisjoint(ids):
            return tuple(ids)
        # A control token that is not marked special was matched by its name: break the names apart.
        cuts = [0, *(m.start() + 1 for m in self._names.finditer(text)), len(text)]
        ids = self._encode_parts([text[a:b] for a, b in itertools.pairwise(cuts)])
        if not self.control_ids.isdisjoint(ids):
            ids = self._encode_parts(list(text))
        return tuple(i for i in ids if i not in self.control_ids)

    def _encode_parts(self, parts: list[str]) -> list[int]:
        return [i for part in parts for i in self._plain.encode(part, add_special_tokens=False).ids]

    def _splice(self, pieces: Pieces, messages: Sequence[Message]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, _Slot):
                ids += self._content(piece.lead + messages[piece.message]["content"])
            else:
                ids += piece
        return ids

    # -- structure -----------------------------------------------------------------------------------------------
    def _fit(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as the template takes them: system and repeated roles merged where it refuses them."""
        fitted: list[Message] = []
        join = False
        for message in messages:
            role, content = message["role"], message["content"]
            if role == "assistant" and not self.keeps_reasoning:
                content = without_reasoning(content)
            if role == "system" and not self._has_system:
                role = "user"
            if fitted and role == fitted[-1]["role"] and (join or not self._repeats):
                content = f"{fitted.pop()['content']}\n{content}"
            fitted.append({"role": role, "content": content})
            join = role != message["role"]  # a system message is the beginning of the user message after it
        return fitted

    def _render(self, roles: Sequence[str], contents: Sequence[str] | None = None, *, prompt: bool = True) -> str:
        """The template's text with marks for contents, or with `contents`."""
        texts = contents or [f"\ue000{i}\ue001" for i in range(len(roles))]
        messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)]
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=prompt,
                **self._options,
            )
        except Exception as error:  # a template is a program and may raise anything
            raise EngineError(f"the chat template refuses the roles {', '.join(roles)}: {error}") from error
        return text

    def _renders(self, *roles: str) -> bool:
        """Whether the template takes these roles and shows every content once."""
        try:
            text = self._render(roles)
        except EngineError:
            return False
        return sorted(_MARK.findall(text)) == [str(i) for i in range(len(roles))]

    def _pieces(self, text: str, count: int) -> Pieces:
        """Template text as tokens, and slots for the contents."""
        parts = _MARK.split(text)  # template text and numbers in turn
        if missing := set(range(count)) - set(map(int, parts[1::2])):
            raise EngineError(f"the chat template leaves out message {min(missing)}")
        pieces: Pieces = []
        lead = ""
        for index, part in enumerate(parts):
            if index % 2:
                pieces.append(_Slot(int(part), lead))
                continue
            lead = " " if part[-1:] == " " and index + 1 < len(parts) else ""
            if part := part[: len(part) - len(lead)]:
                pieces.append(self._core.encode(part, add_special_tokens=False).ids)
        return pieces

    def _find_closing(self) -> list[int]:
        """The tokens after a reply up to its end-of-turn token; none where no control token follows it at once."""
        for roles in (("user", "assistant", "user"), ("user", "assistant")):
            try:
                after = self._render(roles, prompt=len(roles) == 3).partition("\ue0001\ue001")[2]
            except EngineError:
                continue
            text = _MARK.split(after)[0]
            ids: list[int] = self._core.encode(text, add_special_tokens=False).ids
            at = next((k for k, i in enumerate(ids) if i in self.control_ids), None)
            if at is not None and not self._core.decode(ids[:at]).strip():
                return ids[: at + 1]
        return []

    def _find_keeps_reasoning(self) -> bool:
        try:
            prompt = self._render(("user",), ["question"])
            opening = "" if prompt.rstrip().endswith("<think>") else "<think>\n"
            reply = f"{opening}reasons\n</think>\n\nanswer"
            after = self._render(("user", "assistant", "user"), ["question", reply, "more"])
        except EngineError:
            return False
        return after.startswith(prompt) and after[len(prompt) :].lstrip().startswith(reply)

    def _tail(self, roles: tuple[str, ...]) -> _Tail | None:
        if roles not in self._tails:
            self._tails[roles] = self._find_tail(roles)
        return self._tails[roles]

    def _find_tail(self, roles: tuple[str, ...]) -> _Tail | None:
        """What the template writes after a reply, if that never depends on what stands before the reply."""
        pasts: list[tuple[str, ...]] = [("user",), ("user", "assistant", "user")]
        if self._has_system:
            pasts += [("system", *past) for past in pasts]
        tails = set()
        for past in pasts:
            n = len(past)
            try:
                prompt, after = self._render(past), self._render((*past, "assistant", *roles))
            except EngineError:
                return None
            reply, rest = f"\ue000{n}\ue001", after[len(prompt) :]
            # Space that the template puts before a reply is sampled by the model as part of the reply.
            if not after.startswith(prompt) or not rest.lstrip().startswith(reply):
                return None
            tail = rest.lstrip()[len(reply) :]
            for index in range(len(roles)):  # numbered from the first new message
                tail = tail.replace(f"\ue000{n + 1 + index}\ue001", f"\ue000+{index}\ue001")
            tails.add(tail)
        tail = tails.pop()
        if tails or sorted(_MARK.findall(tail)) != [str(i) for i in range(len(roles))]:
            return None
        pieces = self._pieces(tail, len(roles))
        first, size = pieces[0], len(self._closing)
        if isinstance(first, _Slot) or first[:size] != self._closing:
            return _Tail([], pieces)
        return _Tail(self._closing, [first[size:], *pieces[1:]])


def without_reasoning(text: str) -> str:
    """A reply without its `<think>` part; an opened and never closed one is all reasoning."""
    visible = text.rpartition("</think>")[2]
    return (visible if visible is text else visible.lstrip()).partition("<think>")[0]
