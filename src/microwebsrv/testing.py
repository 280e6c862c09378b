"""The pytest fixture `testClient`. pytest finds it automatically when this package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from microWebSrv import MicroWebSrv
    from microWebTestClient import TestClient


class NewClient(Protocol):
    """The type of the fixture: testClient(mws, …), with the arguments of TestClient."""

    def __call__(self, mws: MicroWebSrv, **options: Any) -> TestClient: ...


@pytest.fixture
def testClient() -> Iterator[NewClient]:
    """testClient(mws, **options) -> a TestClient for this server, closed after the test."""
    from microWebTestClient import TestClient     # not at the top: pytest loads this in other projects too
    clients = []

    def New(mws: MicroWebSrv, **options: Any) -> TestClient:
        clients.append(TestClient(mws, **options))
        return clients[-1]

    yield New
    error = None
    for client in reversed(clients):
        try:
            client.Close()
        except Exception as failure:
            error = error or failure
    if error:
        raise error
