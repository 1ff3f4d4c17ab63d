"""Policies as TOML text, out and in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number import Format
from fpsim.number.user_files import parse_toml
from fpsim.quant.binned_toml import BIN_KEYS, bin_keys, read_bins
from fpsim.quant.format_toml import Definitions, inline, read_definitions, read_format, text
from fpsim.quant.policy import BinnedSpec, Policy, Rule, TensorSpec

_HOW = ("granularity", "scale")
_SPEC_KEYS = ("format", "bias", "specials", "subnormals", *_HOW, "biases")
_RULE_KEYS = ("match", "weights", "acts", "skip")


def dumps(policy: Policy) -> str:
    """Return a policy as TOML: one ``[[rule]]`` a rule, in order, after the formats that have no name of their own."""
    formats, rules = Definitions(), []
    for rule in policy.rules:
        lines = ["[[rule]]", f"match = {text(rule.match)}"]
        for key, spec in (("weights", rule.weights), ("acts", rule.acts)):
            lines.append(f"{key} = {inline(_keys(spec, formats) if spec else 'none')}")
        rules.append("\n".join(lines) + "\n")
    return str(formats) + "\n".join(rules)


def _keys(spec: TensorSpec | BinnedSpec, formats: Definitions) -> dict[str, Any]:
    if isinstance(spec, BinnedSpec):
        return bin_keys(spec, lambda each: _keys(each, formats))
    return {**formats.keys(spec.format), **_how(spec)}


def _how(spec: TensorSpec) -> dict[str, Any]:
    how: dict[str, Any] = {"granularity": spec.granularity, "scale": spec.scale}
    return how if spec.biases is None else {**how, "biases": spec.biases}


def loads(document: str, *, file: str = "the policy", formats_files: Sequence[str] = ()) -> Policy:
    """Return the policy of a TOML text.

    Args:
        document: the text. A rule has ``match``, a glob over layer names, and ``weights``, ``acts`` (a format's name,
            or a table of ``format``, ``granularity``, ``scale``, ``bias``, ``specials``, ``subnormals``, ``biases``) or
            ``skip = true``; what is not named is left alone. Activations may have ``timestep_bins`` (how many bins of
            equal width, or their edges) or ``bins``, a list of such tables with ``from``, ``to`` and perhaps ``value``.
            Tables ``[formats.NAME]`` define formats as a formats file does.
        file: what errors call it.
        formats_files: the user's TOML files of formats.

    Raises:
        FpsimError: malformed TOML, an unknown key, a missing or wrong value; names the file and the rule's number.
    """
    tables = parse_toml(document, file)
    unknown = [key for key in tables if key not in ("rule", "formats")]
    rules = tables.get("rule")
    if unknown or not isinstance(rules, list) or not rules:
        what = f"unknown key {unknown[0]!r}" if unknown else "no rule"
        raise FpsimError(f"{file}: {what}; a policy is a list of [[rule]] tables")
    mine = read_definitions(tables.get("formats", {}), file)
    found = []
    for number, table in enumerate(rules, 1):
        try:
            found.append(_rule(table, mine, formats_files))
        except FpsimError as error:
            raise FpsimError(f"{file}: rule {number}: {error}") from None
    return Policy(tuple(found))


def _rule(table: Any, mine: Mapping[str, Format], files: Sequence[str]) -> Rule:
    if not isinstance(table, dict):
        raise FpsimError("a rule is a table")
    _only(table, _RULE_KEYS)
    if not isinstance(table.get("match"), str):
        raise FpsimError("key 'match' is missing or no text; it is a glob over layer names")
    named = [key for key in ("weights", "acts") if key in table]
    if not isinstance(table.get("skip", False), bool):
        raise FpsimError(f"key 'skip': {table['skip']!r} is not true or false")
    if table.get("skip") and named:
        raise FpsimError(f"'skip = true' contradicts {named[0]!r}; drop one of them")
    if not table.get("skip") and not named:
        raise FpsimError("says nothing; give 'weights', 'acts' or 'skip = true'")
    weights = _spec("weights", table.get("weights", "none"), "channel", mine, files)
    return Rule(match=table["match"], weights=weights, acts=_acts(table.get("acts", "none"), mine, files))


def _acts(value: Any, mine: Mapping[str, Format], files: Sequence[str]) -> TensorSpec | BinnedSpec | None:
    if not isinstance(value, dict) or not any(key in value for key in BIN_KEYS):
        return _spec("acts", value, "tensor", mine, files)
    try:
        return read_bins(value, lambda table: _of_table(table, "tensor", mine, files))
    except FpsimError as error:
        raise FpsimError(f"acts: {error}") from None


def _spec(
    key: str, value: Any, granularity: str, mine: Mapping[str, Format], files: Sequence[str]
) -> TensorSpec | None:
    if value == "none":
        return None
    try:
        return _of_table(value if isinstance(value, dict) else {"format": value}, granularity, mine, files)
    except FpsimError as error:
        raise FpsimError(f"{key}: {error}") from None


def _of_table(table: dict[str, Any], granularity: str, mine: Mapping[str, Format], files: Sequence[str]) -> TensorSpec:
    _only(table, _SPEC_KEYS)
    if "format" not in table:
        raise FpsimError("key 'format' is missing")
    biases = _biases(table)
    usual = {"granularity": granularity, "scale": "mse" if biases is None else "none"}
    chosen = usual | {key: table[key] for key in _HOW if key in table}
    for name, choice in chosen.items():
        if not isinstance(choice, str):
            raise FpsimError(f"key {name!r}: {choice!r} is no text")
    return TensorSpec(format=read_format(table, mine, files), biases=biases, **chosen)


def _biases(table: Mapping[str, Any]) -> tuple[float, ...] | None:
    values = table.get("biases")
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise FpsimError("key 'biases': a list of numbers, one an output channel")
    return tuple(values)


def _only(table: dict[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise FpsimError(f"unknown key {key!r}; known are {', '.join(known)}")
