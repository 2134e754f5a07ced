"""Files and folders that are either whole or absent, and errors that say what to do about a disk.

What is unfinished has a name of its own beside the name that it will get. Whoever dies while writing leaves at most that, and
the next one who writes there, or looks into the folder, takes it away.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from broca.errors import RunError
from broca.storage.temporary import remove, sweep, temporary_of

_LONGEST = 200
"""Characters of a path that a message shows."""


_ADVICE = {
    errno.ENOSPC: "Free some space and repeat the command (a run goes on where it stopped), or choose another path.",
    errno.EDQUOT: "Your quota is used up. Free some space and repeat the command (a run goes on where it stopped), or choose another path.",
    errno.EACCES: "Choose a directory that you may write to.",
    errno.EPERM: "Choose a directory that you may write to.",
    errno.EROFS: "Choose a directory that you may write to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A file stands where a directory is needed. Choose another path.",
    errno.EEXIST: "A file stands where a directory is needed. Choose another path.",
    errno.EISDIR: "A directory stands where a file is to be. Choose another path.",
    errno.ELOOP: "A link leads in a circle there. Choose another path.",
}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses, while `path` is written, into a RunError.

    Raises:
        RunError: with the path, the reason and what to do.
    """
    try:
        yield
    except OSError as error:
        raise _write_error(path, error.errno or 0, error.strerror or str(error)) from error
    except SafetensorError as error:
        # It wraps what the disk says into a text of its own.
        if "I/O error" not in str(error):
            raise
        code = next((number for number in _ADVICE if f"os error {number})" in str(error)), 0)
        raise _write_error(path, code, os.strerror(code) if code else str(error)) from error
    except UnicodeError as error:
        raise _write_error(path, 0, "no file can have this name") from error
    except ValueError as error:
        if "null byte" not in str(error) and "null character" not in str(error):
            raise
        raise _write_error(path, 0, "no file can have this name") from error


def _write_error(path: Path, code: int, reason: str) -> RunError:
    advice = _ADVICE.get(code, "Choose another path." if not code else "Mend the disk, or choose another path.")
    return RunError(f"{legible(path)} could not be written: {reason}. {advice}")


def legible(path: object) -> str:
    """A path as it can be read: a long one cut, one with control characters quoted, which may be why it was refused."""
    text = str(path)
    return (
        text
        if text.isprintable() and len(text) <= _LONGEST
        else repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
    )


def write_json(path: Path, value: object) -> None:
    """`write` plain values as indented JSON in UTF-8.

    Raises:
        RunError: if the disk refuses.
    """
    write(path, (json.dumps(value, indent=1) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, flush it to the disk, and give it its name.

    Whoever dies at any moment leaves the old file, or none, or the whole new one.

    Raises:
        RunError: if the disk refuses.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:  # noqa: PTH123 - one name for tests to fill the disk under
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Run the body, which writes a file or a folder under the temporary name that it is given; then give it its name.

    A device or a pipe is written in place. A folder takes the place of nothing, or of an empty folder.

    Raises:
        RunError: if the disk refuses.
    """
    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, only=path)
        temporary = temporary_of(path)
        try:
            yield temporary
            for part in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
                settle(part)
            settle(temporary)
            if temporary.is_dir() and path.is_dir():
                path.rmdir()
            os.replace(temporary, path)  # noqa: PTH105 - one name for tests to stop the work at
        except BaseException:
            remove(temporary)
            raise
        settle(path.parent)


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Run the body, which writes files into the temporary folder that it is given; then move each into `folder`, whole.

    A file of the same name there is replaced; others stay.

    Raises:
        RunError: if the disk refuses.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as they are
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        inner = folder / folder.name
        sweep(folder, only=inner)
        temporary = temporary_of(inner)
        try:
            temporary.mkdir()
            yield temporary
            for part in sorted(temporary.iterdir()):
                settle(part)
                os.replace(part, folder / part.name)  # noqa: PTH105 - one name for tests to stop the work at
        finally:
            remove(temporary)
        settle(folder)


def probe(path: Path, *, folder: bool = False, size: int = 0) -> None:
    """See whether a file or folder can be written at `path`, before work is spent on what it is to hold. Leaves nothing.

    Args:
        path: where something is to be written; folders above it are made when it is.
        folder: whether it is a folder.
        size: how many bytes it will have, where that is known.

    Raises:
        RunError: if it cannot.
    """
    with writing(path):
        if _look(path):
            if path.is_dir() and not folder:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not path.is_dir() and not path.is_file() and not folder:
                return
        nearest = path if folder else path.parent
        while not _look(nearest):
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        for place in {nearest, path.parent}:  # where one who died has probed before the folder was there
            sweep(place, only=path)
        temporary = nearest / temporary_of(path).name
        try:
            with temporary.open("wb") as file:
                file.write(b"\0" * 4096)
        finally:
            temporary.unlink(missing_ok=True)
        free = shutil.disk_usage(nearest).free
        if size > free:
            raise RunError(
                f"{legible(path)} takes {size / 1e9:.1f} GB, and {nearest} has {free / 1e9:.1f} GB left. Free some space, or choose another disk."
            )


def _look(path: Path) -> bool:
    """Whether something is there; unlike `Path.exists`, a name that cannot be is an error."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def settle(place: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk, where the platform can."""
    if os.name == "nt":
        return
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a directory; they keep names safe by themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def read(path: Path) -> bytes:
    """The content of a file that must be there.

    Raises:
        RunError: if it is missing, a link, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunError(
            f"{path} is missing, so this run is incomplete. Run the same spec again under another path."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path} could not be read: {reason}. Check that you may read it, and that it is a file."
        ) from error
