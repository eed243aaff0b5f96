"""Every setting stands in `.env.example` and in `docs/settings.md`, and neither names one that does not exist."""

import re
from pathlib import Path

import pytest

from scanhop.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).parents[2]
VARIABLES = sorted(PREFIX + name.upper() for name in Settings.model_fields)


@pytest.fixture(params=[".env.example", "docs/settings.md"])
def text(request: pytest.FixtureRequest) -> str:
    return (ROOT / request.param).read_text()


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_is_described(text, variable):
    assert re.search(rf"\b{variable}\b", text), f"{variable} is missing"


def test_no_setting_is_described_that_does_not_exist(text):
    assert set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", text)) <= set(VARIABLES)


def test_a_copy_of_the_example_works_as_it_is():
    assert load_settings({}, ROOT / ".env.example") == Settings()
