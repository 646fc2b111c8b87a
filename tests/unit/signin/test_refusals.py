"""Refusals of Microsoft Entra: code → reason, words, next step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import Unavailable
from connector.foreign.characters import is_harmless
from connector.foreign.reflected import MARK
from connector.signin.msal_calls import without_secrets
from connector.signin.refusals import LAPSED, SignInRefused, refusal, said

JWT = "eyJhbGciOiJIUzI1NiJ9abc.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def entra(code: int, **more: Any) -> dict[str, Any]:
    return {"error": "invalid_client", "error_description": f"AADSTS{code}: words. Trace ID: a", **more}


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (7000215, "secret_wrong", "client secret is wrong"),
        (7000222, "secret_expired", "client secret has expired"),
        (700016, "app_unknown", "not known in this directory"),
        (7000229, "consent_missing", "not present in this directory"),
        (65001, "consent_missing", "nobody has consented"),
        (7000112, "app_disabled", "disabled"),
        (90002, "tenant_unknown", "no such tenant"),
        (700027, "certificate_unknown", "certificate"),
        (700024, "clock", "not valid at this time"),
        (700213, "federation", "subject"),
        (53003, "conditional_access", "Conditional Access"),
        (123456, "invalid_client", "refused"),
    ],
)
def test_code_is_named_with_its_remedy(code: int, reason: str, words: str) -> None:
    error = refusal(entra(code), what="signing in to X")
    assert isinstance(error, SignInRefused)
    assert error.reason == reason
    assert error.what.startswith("signing in to X: ")
    assert words in error.what
    assert f"AADSTS{code}" in error.what
    assert error.hint


def test_number_is_preferred_to_text() -> None:
    error = refusal(entra(7000215, error_codes=[7000222]), what="x")
    assert isinstance(error, SignInRefused)
    assert error.reason == "secret_expired"


@pytest.mark.parametrize("result", [entra(90033), {"error": "temporarily_unavailable"}, {"error": "server_error"}])
def test_what_time_heals(result: dict[str, Any]) -> None:
    assert isinstance(refusal(result, what="x"), Unavailable)


@pytest.mark.parametrize("code", sorted(LAPSED))
def test_lapsed_sign_in_of_a_person(code: int) -> None:
    error = refusal(entra(code), what="x", delegated=True)
    assert isinstance(error, SignInRefused)
    assert error.reason == "login_lapsed"
    assert "securescore login" in error.hint


def test_only_the_first_line_with_the_ids_is_repeated() -> None:
    long = entra(7000215, trace_id="t-1", correlation_id="c-1")
    long["error_description"] = "AADSTS7000215: one\r\nTimestamp: 2026\nmore" + "x" * 10_000
    assert said(long) == " (AADSTS7000215: one; trace t-1, correlation c-1)"


@given(
    st.dictionaries(
        st.sampled_from(["error", "error_description", "error_codes", "trace_id"]),
        st.none() | st.text() | st.integers() | st.lists(st.integers() | st.text()),
    )
)
def test_any_answer_gives_one_bounded_line(result: dict[str, Any]) -> None:
    error = refusal(result, what="x")
    assert is_harmless(error.what)
    assert len(error.what) < 1000


def test_secrets_and_tokens_are_taken_out() -> None:
    text = without_secrets(f"plain a+b&c, encoded a%2Bb%26c, token {JWT}, empty", ["a+b&c", ""])
    assert text == f"plain {MARK}, encoded {MARK}, token {MARK}, empty"
