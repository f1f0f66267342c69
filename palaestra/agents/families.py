"""Hand-written renderers of model families in place of the chat template: the package `renderers`, behind `Renderer`.

The package writes a conversation as text and ids and encodes with whatever tokenizer it is given, control tokens
included, so that `<|im_end|>` in one seat's words would end another seat's prompt. It is given a tokenizer of ours, and
contents in which every name of a control token is broken: what is broken is encoded as ordinary tokens.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.agents.render import DATE, Bridge, Message, Renderer
from palaestra.errors import EngineError, MissingExtraError, ScenarioError, nearest

_BREAK = "\ue002"
"""In content: followed by 1, it breaks a name after its first character; followed by 0, it is itself."""
_UNFIT = "gpt-oss"  # it encodes with a vocabulary of its own, which it downloads


def known() -> dict[str, str]:
    """The models that the package knows, each with its family.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from renderers.base import MODEL_RENDERER_MAP
    except ModuleNotFoundError as error:  # httpx too: the package imports it, but does not require it
        raise MissingExtraError(
            f'renderer = "renderers" needs {error.name}\n  pip install "palaestra[renderers]"'
        ) from None
    return dict(MODEL_RENDERER_MAP)


def family_of(setting: str, model: str) -> str:
    """The family that `renderer = "renderers"` or `"renderers:FAMILY"` means for a model.

    A model is known by its name on the hub alone: a fine-tune, or a directory, may have another template.

    Raises:
        MissingExtraError: the package is not installed.
        ScenarioError: it does not know the model, or there is no such family.
    """
    kind, colon, named = setting.partition(":")
    if kind != "renderers":
        raise ScenarioError(f'{setting!r} is none\n  give "template", "renderers" or "renderers:FAMILY"')
    models = known()
    families = sorted({*models.values()} - {_UNFIT})
    family = named if colon else models.get(model, "")
    if family == _UNFIT:
        raise ScenarioError(f'{_UNFIT} needs a vocabulary that it downloads\n  take "template"')
    if colon and family not in families:
        raise ScenarioError(f"the package renderers has no family {named!r}\n  {nearest(named, families)}")
    if not family:
        raise ScenarioError(
            f"the package renderers does not know the model {model!r}\n"
            f'  name its family as in "renderers:qwen3", or take "template"\n  families: {", ".join(families)}'
        )
    return family


class FamilyRenderer(Renderer):
    """Renders for one tokenizer as the package's renderer of a family does.

    Args:
        family: as the package calls it, for example "qwen3".
        date: what families that write the date are told.
        options: fields of the package's configuration of the family, for example `{"enable_thinking": False}`.

    Raises:
        MissingExtraError: the package is not installed.
        ScenarioError: the tokenizer or the options do not fit the family.
    """

    def __init__(
        self, tokenizer: Any, family: str, *, date: datetime.date = DATE, options: Mapping[str, Any] | None = None
    ) -> None:
        family_of(f"renderers:{family}", "")
        self.family, self._date, self._settings = family, date, dict(options or {})
        super().__init__(tokenizer, date=date)

    def _controls(self, name: str) -> bool:
        return name in ("<think>", "</think>") or super()._controls(name)

    def _probe(self) -> None:
        self._package = self._make()
        #: tokens that end a reply, as the family has them
        self.stop_ids = tuple(sorted(self._package.get_stop_token_ids()))
        self._stops = frozenset(self.stop_ids)
        self._whole: dict[tuple[str, ...], bool] = {}
        self._has_system = self._renders("system", "user")
        self._repeats = self._renders("user", "user")
        self._opening = self._ids([{"role": "user", "content": "question"}])
        _, tag, after = self._text(self._opening).rpartition("<think>")
        self._opened = bool(tag) and "</think>" not in after  # the prompt itself opens the reasoning
        self._closing = self._find_closing()
        #: whether the family keeps earlier reasoning
        self.keeps_reasoning = self._find_keeps_reasoning()
        self._reads_reasoning = self.keeps_reasoning and self._keeps({"content": "answer", "reasoning_content": "why"})

    def _make(self) -> Any:
        import pydantic
        from renderers import config_from_name, create_renderer

        kind = type(config_from_name(self.family))
        dated = {"date_string": self._date.strftime("%d %b %Y")} if "date_string" in kind.model_fields else {}
        try:
            config = kind(**{**dated, **self._settings})
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ScenarioError(
                f"options of the renderer of {self.family}: {key}: {first['msg']}\n  {nearest(key, kind.model_fields)}"
            ) from None
        try:
            return create_renderer(_Words(self._tokenizer, self._core, self._names, self._content), config)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ScenarioError(f"the tokenizer is not one of the family {self.family}: {error}") from None

    # -- what a Renderer does ------------------------------------------------------------------------------------
    @property
    def extends(self) -> bool:
        reply = [*self.encode("yes"), self.end_id]
        return self.bridge(reply, [{"role": "user", "content": "more"}]) is not None

    def start(self, messages: Sequence[Message]) -> list[int]:
        messages = self._fit(messages)
        roles = tuple([m["role"] for m in messages])
        if roles not in self._whole:
            self._whole[roles] = self._renders(*roles)
        ids = self._ids([self._message(m) for m in messages])
        if not self._whole[roles]:
            raise EngineError(f"the renderer of {self.family} leaves out a message of the roles {', '.join(roles)}")
        return ids

    def bridge(self, reply: bool | Sequence[int], messages: Sequence[Message]) -> Bridge | None:
        if isinstance(reply, bool):
            if not self.keeps_reasoning:
                return None  # not enough to know
            reply = [self.end_id] if reply else []
        messages = self._fit(messages)
        if any(m["role"] != "user" for m in messages):
            return None  # which renderers of families leave out without a word, some of them
        new = [self._message(m) for m in messages]
        past = [*self._opening, *reply]  # of the prompt, only how it opened the reply matters
        rendered = self._package.bridge_to_next_turn(self._opening, list(reply), new) if new else None
        if rendered is None or rendered.token_ids[: len(past)] != past:
            return None
        rest = list(rendered.token_ids[len(past) :])
        ended = bool(reply) and reply[-1] in self._stops
        # What closes a reply that was cut: a stop token, perhaps after one that closes its reasoning.
        cut = next((k + 1 for k, i in enumerate(rest[:2]) if i in self._stops and not ended), 0)
        return Bridge(rest[:cut], rest[cut:])

    def close(self, reply: bool | Sequence[int]) -> list[int]:
        bridge = self.bridge(reply, [{"role": "user", "content": "more"}])
        return super().close(reply) if bridge is None else bridge.forced

    def said(self, ids: Sequence[int]) -> str:
        text = self.decode(ids)
        if "think>" in text or not (self._opened or self.control_ids & {i for i in ids if i not in self._stops}):
            return text
        parsed = self._package.parse_response(list(ids), prompt_ids=self._opening)
        if not parsed.reasoning_content:
            return text
        end = "" if parsed.reasoning_complete is False else "</think>"
        return f"<think>{parsed.reasoning_content}{end}{parsed.content}"

    # -- what the package is asked -------------------------------------------------------------------------------
    def _ids(self, messages: list[dict[str, Any]], *, prompt: bool = True) -> list[int]:
        try:
            ids: list[int] = self._package.render_ids(messages, add_generation_prompt=prompt)
        except Exception as error:  # another's program may raise anything
            roles = ", ".join(m["role"] for m in messages)
            raise EngineError(f"the renderer of {self.family} refuses the roles {roles}: {error}") from error
        return ids

    def _message(self, message: Message) -> dict[str, Any]:
        """A message as the package reads it, names of control tokens in it broken."""
        role, content = message["role"], message["content"]
        if role == "assistant" and self._reads_reasoning and "</think>" in content:
            reasoning, _, content = content.partition("</think>")
            reasoning = reasoning.partition("<think>")[2] or reasoning
            content, reasoning = content.lstrip("\n"), reasoning.strip("\n")
            return {"role": role, "content": self._broken(content), "reasoning_content": self._broken(reasoning)}
        return {"role": role, "content": self._broken(content)}

    def _broken(self, text: str) -> str:
        return re.sub(
            f"(?=(?:{self._names.pattern}))(.)",
            lambda m: f"{m[1]}{_BREAK}1",
            text.replace(_BREAK, f"{_BREAK}0"),
            flags=re.DOTALL,
        )

    def _renders(self, *roles: str) -> bool:
        contents = [f"\ue000{i}\ue001" for i in range(len(roles))]
        try:
            ids = self._ids([{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)])
        except EngineError:
            return False
        return all(self._text(ids).count(c) == 1 for c in contents)

    def _find_closing(self) -> list[int]:
        ids = self._ids([{"role": r, "content": f"\ue000{r}\ue001"} for r in ("user", "assistant", "user")])
        said = next((k for k in range(len(ids)) if "\ue000assistant\ue001" in self._text(ids[: k + 1])), len(ids))
        return next(([i] for i in ids[said:] if i in self._stops), list(self.stop_ids[:1]))

    def _find_keeps_reasoning(self) -> bool:
        return self._keeps({"content": "<think>\nwhy\n</think>\n\nanswer"})

    def _keeps(self, reply: dict[str, str]) -> bool:
        first, last = ({"role": "user", "content": text} for text in ("question", "more"))
        return "why" in self._text(self._ids([first, {"role": "assistant", **reply}, last]))

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._core.decode(ids, skip_special_tokens=False)
        return text


class _Words:
    """What the package needs of a tokenizer. It offers no offsets, of which the package would make masks."""

    def __init__(self, tokenizer: Any, core: Any, names: re.Pattern[str], content: Callable[[str], tuple[int, ...]]):
        self.name_or_path: str = tokenizer.name_or_path
        self.eos_token_id, self.unk_token_id = tokenizer.eos_token_id, tokenizer.unk_token_id
        self.chat_template, self.all_special_tokens = tokenizer.chat_template, tokenizer.all_special_tokens
        self.convert_tokens_to_ids = tokenizer.convert_tokens_to_ids
        self._core, self._content = core, content
        self._written = re.compile(f"((?:{names.pattern})(?!{_BREAK}1))")  # names that the package writes itself
        self._encode = functools.lru_cache(16384)(self._encode_text)

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return list(self._encode(text))

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        text: str = self._core.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def _encode_text(self, text: str) -> tuple[int, ...]:
        if _BREAK not in text:
            return tuple(self._core.encode(text, add_special_tokens=False).ids)
        ids: list[int] = []
        for index, part in enumerate(self._written.split(text)):
            if index % 2:
                ids += self._core.encode(part, add_special_tokens=False).ids
            else:
                ids += self._content(part.replace(f"{_BREAK}1", "").replace(f"{_BREAK}0", _BREAK))
        return tuple(ids)
