"""The company of ``examples/adopting``, and its stream managers before and after."""

from __future__ import annotations

import logging

import pytest

from tests.support.adopting import CASES, Case, Company


@pytest.fixture
def company(caplog: pytest.LogCaptureFixture) -> Company:
    caplog.set_level(logging.INFO, "company")
    return Company(caplog)


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found
