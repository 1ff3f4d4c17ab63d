"""Text files and TOML that users give: whatever is in them, the answer comes soon and is a value or one error."""

from __future__ import annotations

import errno
import stat
import tomllib
from pathlib import Path
from typing import Any

from fpsim.errors import FpsimError

#: Bytes of the longest text file that is read; the largest codebook takes a tenth of it.
LONGEST = 1 << 24
#: Python prints integers of at most 4300 digits, and errors quote what they refuse.
_INTEGER_BITS = 10_000
#: What only says that there is nothing (yet), or a link to nothing.
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
#: Levels of tables and arrays; further down, printing a value would exhaust the stack.
_DEPTH = 100


def check_name(path: Path) -> None:
    """Refuse a path under which no file can be: pathlib's questions about one raise all kinds of errors.

    Raises:
        FpsimError: the name is too long or holds a NUL, or a folder on the way may not be searched.
    """
    try:
        path.lstat()
    except ValueError:
        raise FpsimError(f"{str(path)!r} is no name that a file can have") from None
    except OSError as error:
        if error.errno not in _ABSENT:
            raise FpsimError(f"{str(path)!r} is no place for a file: {error.strerror or error}") from None


def check_regular(path: Path, what: str) -> None:
    """Refuse what is no readable regular file: a pipe would keep one waiting.

    Args:
        path: the file.
        what: what errors call it.

    Raises:
        FpsimError: it is missing, no regular file, or may not be read.
    """
    check_name(path)
    if path.exists() and not path.is_file():
        raise FpsimError(f"{what} {str(path)!r} is no regular file; give one")
    try:
        path.open("rb").close()
    except OSError as error:
        raise FpsimError(f"{what} {str(path)!r} cannot be read ({error.strerror}); give an existing file") from error


def read_text(path: str, what: str) -> str:
    """Return the text of a file.

    Args:
        path: the file; a pipe or a device could block or never end, so only a regular file is read.
        what: what errors call it, such as ``formats file``.

    Raises:
        FpsimError: it is no regular file, too long, cannot be read, or is not UTF-8 text.
    """
    try:
        return _bytes(Path(path)).decode("utf-8")
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except FpsimError as error:
        reason = str(error)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:
        reason = "no file can have this name"
    raise FpsimError(f"{what} {path!r} cannot be read: {reason}")


def _bytes(path: Path) -> bytes:
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise FpsimError("it is no regular file; copy its text into one")
    with path.open("rb") as stream:
        content = stream.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise FpsimError(f"it is longer than {LONGEST >> 20} MiB; is it the right file?")
    return content


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """Return the tables of a TOML document.

    Args:
        text: the document.
        file: what errors call it.

    Raises:
        FpsimError: malformed TOML, or values too large or too deep to be any format's.

    >>> parse_toml("[a]\\nb = 1", "mine.toml")
    {'a': {'b': 1}}
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FpsimError(f"{file}: not valid TOML: {error}") from None
    except RecursionError:
        raise FpsimError(f"{file}: not valid TOML for a format: it nests too deep") from None
    except ValueError:  # an integer that Python refuses to read, or a date that does not exist
        raise FpsimError(f"{file}: not valid TOML: an integer is too long, or a date does not exist") from None
    _check(tables, file)
    return tables


def _check(tables: dict[str, Any], file: str) -> None:
    """Refuse what cannot be printed; level by level, for recursion is what it protects from."""
    level: list[Any] = [tables]
    for _ in range(_DEPTH):
        if any(isinstance(value, int) and value.bit_length() > _INTEGER_BITS for value in level):
            raise FpsimError(f"{file}: an integer of the TOML has more than {_INTEGER_BITS:,} bits")
        containers = [value for value in level if isinstance(value, dict | list)]
        level = [item for value in containers for item in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return
    raise FpsimError(f"{file}: the TOML nests deeper than {_DEPTH} levels")
