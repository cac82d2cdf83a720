"""What is logged while clips are listed."""

import logging

import pytest


@pytest.fixture
def said(caplog):
    """The lines logged while a function runs."""
    def of(function, *args) -> str:
        caplog.clear()
        with caplog.at_level(logging.INFO, "trokens.clips"):
            function(*args)
        return "\n".join(record.message for record in caplog.records)
    return of
