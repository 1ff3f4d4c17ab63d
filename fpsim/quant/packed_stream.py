"""Reading and writing safetensors files tensor by tensor, at most one of them in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name
from fpsim.quant.packed_header import LONGEST, Entry, Header, build, parse, shown

#: Tensors that are only copied pass in pieces of this many bytes.
_PIECE = 1 << 24
Put = Callable[[str, Any], None]


class Reader:
    """An open safetensors file.

    Args:
        path: the file.

    Attributes:
        header: its tensors and metadata.
        size: of the file in bytes.

    Raises:
        FpsimError: it cannot be read or is no whole safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_name(path)
        if path.is_dir():
            raise FpsimError(f"{path} is a folder; name the safetensors file, or the index of its shards, in it")
        if path.exists() and not path.is_file():
            raise FpsimError(f"{path} is no regular file; name a safetensors file")
        try:
            self._stream: BinaryIO = path.open("rb")
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
        try:
            self.size = os.fstat(self._stream.fileno()).st_size
            self.header = _read_header(self._stream, self.size, path)
        except OSError as error:
            self._stream.close()
            raise _unreadable(path, error) from None
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Return a tensor's bytes.

        Raises:
            FpsimError: the file cannot be read to there.
        """
        raw = np.empty(entry.size, np.uint8)
        place = 0
        for piece in self.pieces(entry):
            raw[place : place + len(piece)] = piece
            place += len(piece)
        return raw

    def pieces(self, entry: Entry) -> Iterator[NDArray[np.uint8]]:
        """Yield a tensor's bytes in pieces.

        Raises:
            FpsimError: as :meth:`read`.
        """
        for place in range(entry.begin, entry.end, _PIECE):
            wanted = min(_PIECE, entry.end - place)
            try:
                self._stream.seek(self.header.start + place)
                piece = self._stream.read(wanted)
            except OSError as error:
                raise _unreadable(self.path, error) from None
            if len(piece) < wanted:
                raise FpsimError(f"{self.path}: it ends within tensor {shown(entry.name)!r}; was it changed?")
            yield np.frombuffer(piece, np.uint8)


def _read_header(stream: BinaryIO, size: int, path: Path) -> Header:
    first = stream.read(8)
    if len(first) < 8:
        raise FpsimError(f"{path} has {size} bytes, too few for a safetensors file")
    length = int.from_bytes(first, "little")
    if length > min(size - 8, LONGEST):
        raise FpsimError(
            f"{path} is no safetensors file, or cut off: its first 8 bytes announce a header of {length:,} bytes, "
            f"but {size - 8:,} follow"
        )
    return parse(stream.read(length), size - 8 - length, str(path))


def _unreadable(path: Path, error: Exception) -> FpsimError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return FpsimError(f"{path} cannot be read: {reason}")


def check_target(path: Path, sources: Iterable[Path] = (), *, overwrite: bool) -> None:
    """Refuse a place that a file must not be written to.

    Args:
        path: the file to write.
        sources: files that are read meanwhile.
        overwrite: whether an existing file may be replaced.

    Raises:
        FpsimError: it is a source, a folder, in no folder, or it exists.
    """
    check_name(path)
    for source in sources:
        if path.exists() and source.exists() and path.samefile(source):
            raise FpsimError(f"the output {path} is an input; choose another name")
    if path.is_dir():
        raise FpsimError(f"the output {path} is a folder; name a file in it, such as {path / 'model.safetensors'}")
    if path.exists() and not path.is_file():
        raise FpsimError(f"the output {path} is no regular file; choose another name")
    if not path.parent.is_dir():
        raise FpsimError(f"the output {path} lies in no existing folder; make {path.parent} first")
    if path.exists() and not overwrite:
        raise FpsimError(f"the output {path} exists; choose another name, or replace it with overwrite (--overwrite)")


@contextlib.contextmanager
def writing(
    path: Path, tensors: Iterable[Entry], sizes: Mapping[str, int], metadata: Mapping[str, str]
) -> Iterator[Put]:
    """Write a safetensors file in any order of its tensors; it appears under its name once all of it is there.

    Args:
        path: the file; an existing one is replaced.
        tensors: as :func:`fpsim.quant.packed_header.build`.
        sizes: bytes of each.
        metadata: free text by key.

    Yields:
        A function that takes a tensor's name and its data: an array, or an iterable of arrays that follow each other.

    Raises:
        OSError: the file cannot be written; nothing of it is left.
    """
    first, header = build(tensors, sizes, metadata)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def put(name: str, data: Any) -> None:
        entry = header.entries[name]
        stream.seek(header.start + entry.begin)
        for piece in (data,) if isinstance(data, np.ndarray) else data:
            stream.write(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
        assert stream.tell() == header.start + entry.end, f"tensor {name!r} has another size than was announced"

    try:
        with temporary.open("wb") as stream:
            stream.write(first)
            yield put
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
