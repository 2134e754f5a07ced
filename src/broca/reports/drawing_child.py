"""A process that draws charts: the renderer takes down the process that it runs in when it gets no memory.

Run as ``python -m broca.reports.drawing_child``; see `broca.storage.child`.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode

SCALE = 3.0
"""Pixels of a PNG for each of the figure."""


def main() -> None:
    """Answer until the input ends."""
    import vl_convert

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "chart" in question:
                answer = {"text": vl_convert.vegalite_to_svg(question["chart"])}
            elif question.get("form") == "pdf":
                answer = {"bytes": b64encode(vl_convert.svg_to_pdf(question["svg"])).decode("ascii")}
            elif question.get("form") == "png":
                answer = {"bytes": b64encode(vl_convert.svg_to_png(question["svg"], scale=SCALE)).decode("ascii")}
            else:
                answer = {"text": vl_convert.javascript_bundle()}  # pyright: ignore[reportCallIssue] - its stub forgets the default
        except Exception as error:  # noqa: BLE001 - a renderer may fail in any way
            answer = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
