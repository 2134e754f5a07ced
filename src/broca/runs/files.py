"""Files that are either whole or absent, and errors that say what to do about a disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from broca.errors import RunError
from broca.storage import legible

TEMPORARY = ".tmp-"
"""What the names of unfinished files begin with."""

_ADVICE = {
    errno.ENOSPC: "Free some space{again} choose another path.",
    errno.EDQUOT: "Your quota is used up. Free some space{again} choose another path.",
    errno.EACCES: "Choose a directory that you may write to.",
    errno.EPERM: "Choose a directory that you may write to.",
    errno.EROFS: "Choose a directory that you may write to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A file stands where a directory is needed. Choose another path.",
    errno.EISDIR: "A directory stands where a file is needed. Choose another path.",
    errno.ELOOP: "Its links go in a circle. Choose another path.",
}


@contextlib.contextmanager
def writing(path: Path, *, resumes: bool = True) -> Iterator[None]:
    """Turn what the disk refuses, while `path` is written, into a RunError.

    Args:
        path: what is written.
        resumes: whether the same call goes on where it stopped.

    Raises:
        RunError: with the path, the reason and what to do.
    """
    try:
        yield
    except OSError as error:
        raise _refused(path, error.errno or 0, error.strerror or str(error), resumes=resumes) from error
    except SafetensorError as error:
        # It wraps what the disk says into a text of its own.
        if "I/O error" not in str(error):
            raise
        code = next((number for number in _ADVICE if f"os error {number})" in str(error)), 0)
        raise _refused(path, code, os.strerror(code) if code else str(error), resumes=resumes) from error
    except UnicodeError as error:
        raise _refused(path, 0, "no file can have this name") from error
    except ValueError as error:
        if "null byte" not in str(error) and "null character" not in str(error):
            raise
        raise _refused(path, 0, "no file can have this name") from error


def _refused(path: Path, code: int, reason: str, *, resumes: bool = False) -> RunError:
    advice = _ADVICE.get(code, "Choose another path." if not code else "Mend the disk, or choose another path.")
    again = " and repeat the call: it resumes. Or" if resumes else ", or"
    return RunError(f"{legible(path)} could not be written: {reason}. {advice.format(again=again)}")


def check_place(path: Path, *, file: bool = False) -> None:
    """Refuse a directory, or file, that could not be written, before anything is computed for it. Nothing is made.

    Args:
        path: where something is to be written.
        file: whether it is a file, whose folder must be there already; else a directory.

    Raises:
        RunError: if a name is impossible, a file stands in the way, or the place may not be written to.
    """
    with writing(path):
        place = path
        while True:
            try:
                mode = os.stat(place).st_mode  # noqa: PTH116 - likewise, for names that pathlib would hide
                break
            except FileNotFoundError:
                if place == place.parent:
                    return
                place = place.parent
        if (place != path or not file) and not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if file and place not in (path, path.parent):
            raise RunError(
                f"{path} could not be written: there is no folder {path.parent}. Make it, or choose another path."
            )
        if file and place == path and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name, flush it to the disk, and give it its name.

    Whoever dies at any moment leaves the old file, or none, or the whole new one.

    Raises:
        RunError: if the disk refuses.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{digest(path.name.encode())[:12]}")
    with writing(path):
        try:
            with open(temporary, "wb") as file:  # noqa: PTH123 - one name for tests to fill the disk under
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 - likewise
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        settle(path.parent)


def settle(folder: Path) -> None:
    """Flush a directory's list of names to the disk, where the platform can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a directory; they keep names safe by themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def read(path: Path) -> bytes:
    """The content of a file that a run must have.

    Raises:
        RunError: if it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunError(
            f"{path} is missing, so this run is incomplete. Run the same spec again under another path."
        ) from error
    except OSError as error:
        raise RunError(
            f"{path} could not be read: {error.strerror or error}. Check that you may read it, and that it is a file."
        ) from error


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
