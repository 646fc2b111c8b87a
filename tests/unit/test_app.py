"""What a composed connector calls itself."""

import socket

import pytest

from connector.app import instance


def test_a_host_is_called_by_its_name_and_a_function_app_by_the_app_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "3f0d25f1_container")
    monkeypatch.delenv("WEBSITE_SITE_NAME", raising=False)
    assert instance() == "3f0d25f1-container"
    monkeypatch.setenv("WEBSITE_SITE_NAME", "securescore-fn")
    assert instance("/2") == "securescore-fn-2"
