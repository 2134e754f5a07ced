"""Looking: activations streamed into reducers; and of one text at once, by calling this package."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)


class _Room(ModuleType):
    """The package as what it does most often: ``broca.capture(lm, text, site)`` is `capture_text`."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.capture_text(*args, **named)


sys.modules[__name__].__class__ = _Room
