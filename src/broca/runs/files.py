"""Files that are either whole or absent, and errors that say what to do about a disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from broca.errors import RunError

TEMPORARY = ".tmp-"
"""What the names of unfinished files begin with."""

_ADVICE = {
    errno.ENOSPC: "Free some space and repeat the call: it resumes. Or choose another path.",
    errno.EDQUOT: "Your quota is used up. Free some space and repeat the call: it resumes. Or choose another path.",
    errno.EACCES: "Choose a directory that you may write to.",
    errno.EPERM: "Choose a directory that you may write to.",
    errno.EROFS: "Choose a directory that you may write to.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A file stands where a directory is needed. Choose another path.",
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
        reason = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "Mend the disk, or choose another path.")
        raise RunError(f"{path} could not be written: {reason}. {advice}") from error


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
