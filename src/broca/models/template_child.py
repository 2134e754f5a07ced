"""A process that renders chat templates, which are code of strangers: it may take so much memory, and is killed when it takes too long.

Run as ``python -m broca.models.template_child``; one line of JSON in, one out. It imports neither torch nor anything of ours.
"""

from __future__ import annotations

import json
import signal
import sys

MEMORY = 1 << 30
"""Bytes beside what the interpreter and transformers take."""
LONGEST = 1 << 26
"""Characters of a rendered chat."""
_ALONE = 60
"""Seconds after which a template ends with its process, where nobody is left to stop it."""


def main() -> None:
    """Answer until the input ends."""
    from transformers.utils.chat_template_utils import render_jinja_template

    _limit()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        _alarm(_ALONE)
        try:
            asked = json.loads(line)
            rendered = render_jinja_template([asked["turns"]], chat_template=asked["template"], **asked["more"])[0][0]
            if len(rendered) > LONGEST:
                raise ValueError(f"it writes {len(rendered):,} characters")  # noqa: TRY301 - told as any other failure
            answer = {"text": rendered}
        except MemoryError:
            answer = {"error": "MemoryError", "why": f"it takes more than {MEMORY >> 20} MB"}
        except Exception as error:  # noqa: BLE001 - a template may fail in any way
            answer = {"error": type(error).__name__, "why": str(error)[:500]}
        _alarm(0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):  # not on Windows
        signal.alarm(seconds)


def _limit() -> None:
    """Bound the memory, where the platform can."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123 - before anything of ours is imported
            held = int(pages.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # not Linux
        return
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))


if __name__ == "__main__":
    main()
