"""The browser, for all tests of pages."""

from pages.browsing import browser, undo  # noqa: F401 - fixtures are found by their names here
