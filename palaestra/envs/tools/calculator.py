"""A calculator over integers: `+`, `-`, `*` and parentheses, evaluated without `eval`.

Spaces, commas and underscores between digits mean nothing, so `5 2 3 * 4 1 7` is 523 * 417.
"""

from __future__ import annotations

import re

MAX_CHARS = 200  # of an expression; bounds every number, every depth and the time
_BETWEEN_DIGITS = re.compile(r"[\s,_]+")
_TOKEN = re.compile(r"[0-9]+|[-+*()]")


def squeeze(text: str) -> str:
    """`text` without what may stand between digits, and with `*` for the multiplication signs."""
    return _BETWEEN_DIGITS.sub("", text).replace("×", "*").replace("·", "*")


def integer(text: str) -> int | None:
    """The integer that `text` writes, digits possibly spaced; None where it is none or longer than 200 characters."""
    digits = squeeze(text)
    return int(digits) if len(digits) <= MAX_CHARS and re.fullmatch(r"[-+]?[0-9]+", digits) else None


def calculator(expression: str) -> dict[str, str]:
    """The value of an integer expression: `{"value": digits}`, or `{"error": reason}`; never raises.

    The value is text because JSON readers lose integers beyond 64 bits. An expression has at most 200 characters,
    so a value has at most 200 digits.
    """
    text = squeeze(expression)
    if len(text) > MAX_CHARS:
        return {"error": f"longer than {MAX_CHARS} characters"}
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        return {"error": "only digits, + - * and parentheses are understood"}
    try:
        return {"value": str(_Reader(tokens).whole())}
    except SyntaxError as error:
        return {"error": str(error)}


class _Reader:
    """Recursive descent: a sum of products of factors; a factor is digits, -factor or (sum)."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = [*tokens, ""]
        self.at = 0

    def take(self, *wanted: str) -> str:
        """The next token if it is one of `wanted`, which it consumes; else the empty string."""
        token = self.tokens[self.at]
        if token == "" or token not in wanted:
            return ""
        self.at += 1
        return token

    def whole(self) -> int:
        value = self.sum()
        if self.tokens[self.at]:
            raise SyntaxError(f"{self.tokens[self.at]} was not expected")
        return value

    def sum(self) -> int:
        value = self.product()
        while sign := self.take("+", "-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> int:
        value = self.factor()
        while self.take("*"):
            value *= self.factor()
        return value

    def factor(self) -> int:
        if self.take("-"):
            return -self.factor()
        if self.take("("):
            value = self.sum()
            if not self.take(")"):
                raise SyntaxError("a parenthesis is not closed")
            return value
        token = self.tokens[self.at]
        if not token.isdigit():
            raise SyntaxError(
                f"a number was expected instead of {token}" if token else "a number is missing at the end"
            )
        self.at += 1
        return int(token)
