"""Files and folders that are either whole or absent, and errors that say what to do about a disk.

What is unfinished has a name of its own beside the name that it will get. Whoever dies while writing leaves at most that, and
the next one who writes there, or looks into the folder, takes it away.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from broca.errors import RunError

TEMPORARY = ".tmp-"
"""What the names of unfinished files and folders begin with."""

_NAME = re.compile(rf"{re.escape(TEMPORARY)}(?P<host>[0-9a-f]{{6}})-(?P<pid>\d+)-(?P<target>[0-9a-f]{{12}})")

_ADVICE = {
    errno.ENOSPC: "Free some space and repeat the call: it resumes. Or choose another path.",
    errno.EDQUOT: "Your quota is used up. Free some space and repeat the call: it resumes. Or choose another path.",
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
        raise refused(path, error) from error
    except ValueError as error:
        if "null" not in str(error) and not isinstance(error, UnicodeEncodeError):
            raise
        raise RunError(f"{str(path)!r} cannot be a path: {error}. Choose another name.") from error


def refused(path: Path, error: OSError) -> RunError:
    """The error for what the disk refused."""
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "Mend the disk, or choose another path.")
    return RunError(f"{str(path)[:300]} could not be written: {reason}. {advice}")


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
        temporary = _temporary(path)
        try:
            yield temporary
            for part in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
                settle(part)
            settle(temporary)
            if temporary.is_dir() and path.is_dir():
                path.rmdir()
            os.replace(temporary, path)  # noqa: PTH105 - one name for tests to stop the work at
        except BaseException:
            _remove(temporary)
            raise
        settle(path.parent)


def sweep(folder: Path, *, only: Path | None = None) -> list[Path]:
    """Take away what writers that are no more have left unfinished in a folder, and name it.

    Args:
        folder: where.
        only: what was to become this file or folder alone; all of it when None.
    """
    gone = []
    for place in folder.glob(f"{TEMPORARY}*"):
        found = _NAME.fullmatch(place.name)
        if found is None or found["host"] != _host() or _alive(int(found["pid"])):
            continue
        if only is None or found["target"] == _target(only):
            _remove(place)
            gone.append(place)
    return gone


def probe(path: Path, *, size: int = 0) -> None:
    """See whether a file or folder can be written at `path`, before work is spent on what it is to hold. Leaves nothing.

    Args:
        path: where something is to be written.
        size: how many bytes it will have, where that is known.

    Raises:
        RunError: if it cannot.
    """
    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            return
        _look(path)
        nearest = path.parent
        while not _look(nearest):
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        temporary = nearest / _temporary(path).name
        try:
            with temporary.open("wb") as file:
                file.write(b"\0" * 4096)
        finally:
            temporary.unlink(missing_ok=True)
        free = shutil.disk_usage(nearest).free
        if size > free:
            raise RunError(
                f"{path} takes {size / 1e9:.1f} GB, and {nearest} has {free / 1e9:.1f} GB left. Free some space, or choose another disk."
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


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{_host()}-{os.getpid()}-{_target(path)}")


def _target(path: Path) -> str:
    return digest(path.name.encode(errors="surrogateescape"))[:12]


def _host() -> str:
    return digest(platform.node().encode())[:6]


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill(pid, 0) would end the process there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _reaped_not(pid)


def _reaped_not(pid: int) -> bool:
    """Whether a process is dead and only its number is left, since nobody has asked how it ended. Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
