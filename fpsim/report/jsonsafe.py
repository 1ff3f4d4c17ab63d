"""JSON that keeps infinities and NaN: JSON has no such numbers, and the scores of a run do."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fpsim.errors import FpsimError

_NON_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_ESCAPED = re.compile(r"\\*(?:-?inf|nan)")


def dumps(obj: object) -> str:
    r"""Standard JSON text in which non-finite floats are the strings ``"inf"``, ``"-inf"`` and ``"nan"``.

    A text that reads like one of these three (a prompt "nan") gets a backslash in front, so that
    :func:`loads` gives back exactly what was written. Keys keep their order: equal input gives equal text.

    Args:
        obj: mappings with text keys, lists, tuples, text, numbers, booleans, None, NumPy scalars and arrays.

    Returns:
        ASCII text, one level of indent a space, ending with a newline.

    Raises:
        TypeError: something else is inside, or a key is not text.

    >>> dumps({"psnr_db": float("inf")})
    '{\n "psnr_db": "inf"\n}\n'
    """
    return json.dumps(_pack(obj), indent=1, allow_nan=False) + "\n"


def loads(text: str) -> Any:
    """What :func:`dumps` was given; tuples and arrays come back as lists.

    Args:
        text: JSON text.

    Returns:
        Dictionaries, lists, text, numbers, booleans and None.

    Raises:
        FpsimError: the text is not JSON.

    >>> loads('{"psnr_db": "-inf"}')
    {'psnr_db': -inf}
    """
    try:
        return _unpack(json.loads(text))
    except json.JSONDecodeError as error:
        raise FpsimError(f"this is not JSON: {error}; the file is damaged or was written by something else") from error


def _pack(obj: object) -> object:
    if isinstance(obj, np.ndarray | np.generic):
        return _pack(obj.tolist())
    if isinstance(obj, Mapping):
        return {_text_key(key): _pack(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_pack(value) for value in obj]
    if isinstance(obj, float) and not math.isfinite(obj):
        return str(float(obj))
    if isinstance(obj, str) and _ESCAPED.fullmatch(obj):
        return "\\" + obj
    return obj


def _text_key(key: object) -> str:
    # json.dumps would turn 1 into "1", which does not come back as 1.
    if not isinstance(key, str):
        raise TypeError(f"key {key!r} is a {type(key).__name__}: a key in JSON is text")
    return key


def _unpack(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {key: _unpack(value) for key, value in obj.items()}
    if isinstance(obj, list):
        return [_unpack(value) for value in obj]
    if isinstance(obj, str) and _ESCAPED.fullmatch(obj):
        return _NON_FINITE[obj] if obj in _NON_FINITE else obj[1:]
    return obj
