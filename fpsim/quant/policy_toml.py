"""Policies as TOML text, out and in."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, FloatFormat, Format
from fpsim.number.names import format as resolve
from fpsim.quant.policy import Policy, Rule, TensorSpec

_SPEC_KEYS = ("format", "bias", "specials", "subnormals", "granularity", "scale")


def dumps(policy: Policy) -> str:
    """Return a policy as TOML: one ``[[rule]]`` a rule, in order.

    Raises:
        FpsimError: a format that only the user's file defines (name that file in the policy by hand).
    """
    blocks = []
    for rule in policy.rules:
        lines = ["[[rule]]", f"match = {json.dumps(rule.match)}"]
        for key, value in (("weights", rule.weights), ("acts", rule.acts)):
            lines.append(f"{key} = {_inline(_spec_out(value)) if value else json.dumps('none')}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _spec_out(spec: TensorSpec) -> dict[str, Any]:
    return {**format_out(spec.format), "granularity": spec.granularity, "scale": spec.scale}


def format_out(fmt: Format) -> dict[str, Any]:
    """Return the keys by which a policy names a format: a name, and what differs from the format of that name."""
    try:
        if resolve(fmt.name) == fmt:
            return {"format": fmt.name}
    except FpsimError:
        pass  # the user's own name: describe the format instead
    if isinstance(fmt, FloatFormat) and fmt.signed and fmt.exponent_bits <= 8:
        base = f"e{fmt.exponent_bits}m{fmt.mantissa_bits}"
        keys: dict[str, Any] = {"format": base, "bias": fmt.bias, "specials": str(fmt.specials)}
        return keys if fmt.subnormals else {**keys, "subnormals": False}
    if isinstance(fmt, CodebookFormat):
        return {"format": list(fmt.values)}
    raise FpsimError(f"format {fmt.name!r} has no built-in name; write its file into the policy: 'mine.toml#{fmt.name}'")


def _inline(table: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"


def loads(text: str, *, file: str = "the policy", formats_files: Sequence[str] = ()) -> Policy:
    """Return the policy of a TOML text.

    Args:
        text: the document.
        file: what errors call it.
        formats_files: the user's TOML files of formats.

    Raises:
        FpsimError: malformed TOML, an unknown key, a missing or wrong value; names the file and the rule's number.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FpsimError(f"{file}: not valid TOML: {error}") from None
    unknown = [key for key in document if key != "rule"]
    rules = document.get("rule")
    if unknown or not isinstance(rules, list) or not rules:
        what = f"unknown key {unknown[0]!r}" if unknown else "no rule"
        raise FpsimError(f"{file}: {what}; a policy is a list of [[rule]] tables")
    found = []
    for number, table in enumerate(rules, 1):
        try:
            found.append(_rule(table, formats_files))
        except FpsimError as error:
            raise FpsimError(f"{file}: rule {number}: {error}") from None
    return Policy(tuple(found))


def _rule(table: Any, files: Sequence[str]) -> Rule:
    if not isinstance(table, dict):
        raise FpsimError("a rule is a table")
    _only(table, ("match", "weights", "acts", "skip"))
    if not isinstance(table.get("match"), str):
        raise FpsimError("key 'match' is missing or no text; it is a glob over layer names")
    if table.get("skip") is True and ("weights" in table or "acts" in table):
        raise FpsimError("'skip = true' contradicts 'weights' and 'acts'; drop one of them")
    weights, acts = (_spec(table.get(key, "none"), default, files) for key, default in (("weights", "channel"), ("acts", "tensor")))
    return Rule(match=table["match"], weights=weights, acts=acts)


def _spec(value: Any, granularity: str, files: Sequence[str]) -> TensorSpec | None:
    if value == "none":
        return None
    table = value if isinstance(value, dict) else {"format": value}
    _only(table, _SPEC_KEYS)
    if "format" not in table:
        raise FpsimError("key 'format' is missing")
    changes = {key: table.get(key) for key in ("bias", "specials", "subnormals")}
    fmt = resolve(table["format"], **changes, files=files)
    return TensorSpec(format=fmt, granularity=table.get("granularity", granularity), scale=table.get("scale", "mse"))


def _only(table: dict[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise FpsimError(f"unknown key {key!r}; known are {', '.join(known)}")
