"""What the function app is opened from: settings, a tenants file that changes, secrets in a vault. No turn is taken."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from connector.clock import SystemClock
from connector.errors import ConfigError, Unavailable
from connector.homes.functions import Functions, configuration, fetch_tenants, read_secrets

TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "22222222-2222-4222-8222-222222222222"


def settings(**more: str) -> dict[str, str]:
    return {
        "SECURESCORE__state__blob__account_url": "https://account.blob.core.windows.net",
        "SECURESCORE__state__blob__container": "state",
        "SECURESCORE__tenants__0__name": "contoso",
        "SECURESCORE__tenants__0__tenant_id": TENANT,
        "SECURESCORE__defaults__auth__kind": "managed_identity",
        "SECURESCORE__sinks__0__name": "hook",
        "SECURESCORE__sinks__0__kind": "webhook",
        "SECURESCORE__sinks__0__url": "https://casb.example.org/hook",
        **more,
    }


def test_settings_and_a_tenants_file_make_one_configuration() -> None:
    config = configuration(settings(), "https://a/config/tenants.csv", f"name,tenant_id\nb,{CLIENT}\n".encode())
    assert [t.name for t in config.tenants] == ["contoso", "b"]
    assert {t.auth.kind for t in config.tenants if t.auth} == {"managed_identity"}


def test_every_problem_is_named_at_once_by_setting_or_line() -> None:
    wrong = settings(SECURESCORE__poll__interval="often", SECURESCORE__sinks__0__url="http://casb.example.org")
    with pytest.raises(ConfigError) as caught:
        configuration(wrong, "https://a/config/tenants.csv", b"name,tenant_id\nb,no-guid\n")
    words = caught.value.problems
    assert len(words) == 3
    assert any(w.startswith("app setting SECURESCORE__poll__interval: ") for w in words)
    assert any(w.startswith("app setting SECURESCORE__sinks__0__url: ") for w in words)
    assert any(w.startswith("tenants.csv line 2: ") for w in words)


def test_a_state_on_a_disk_is_refused() -> None:
    found = {name: value for name, value in settings().items() if "__state__" not in name}
    with pytest.raises(ConfigError, match="no container"):
        configuration(found)


def test_sinks_that_need_a_process_are_refused() -> None:
    changed = settings(SECURESCORE__sinks__0__kind="file", SECURESCORE__sinks__0__path="/tmp/x")
    del changed["SECURESCORE__sinks__0__url"]
    with pytest.raises(ConfigError, match="kind file"):
        configuration(changed)


async def test_a_wrong_configuration_shows_in_the_status_and_fails_every_invocation() -> None:
    functions = Functions(settings(SECURESCORE__poll__intervall="1h"))
    code, text = await functions.status()
    assert code == 503
    (problem,) = json.loads(text)["problems"]
    assert problem.startswith("app setting SECURESCORE__poll__intervall: ")
    assert "did you mean interval?" in problem
    with pytest.raises(ConfigError):
        await functions.plan()
    await functions.close()


# ---------------------------------------------------------------------------------------------------- identity endpoint


@asynccontextmanager
async def platform(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[web.Request], web.Response]
) -> AsyncIterator[str]:
    """The identity endpoint of App Service, and one more server at the same root."""

    async def token(request: web.Request) -> web.Response:
        assert request.headers["X-IDENTITY-HEADER"] == "header"
        found = f"token-for-{request.query['resource']}"
        return web.json_response(
            {"access_token": found, "expires_on": "4000000000", "token_type": "Bearer", "resource": "x"}
        )

    async def other(request: web.Request) -> web.Response:
        return answer(request)

    application = web.Application()
    application.router.add_get("/token", token)
    application.router.add_get("/{path:.*}", other)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{root}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    try:
        yield root
    finally:
        await runner.cleanup()


async def test_the_tenants_file_is_fetched_once_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token-for-https://storage.azure.com"
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=b"name,tenant_id\n", headers={"ETag": '"1"'})

    async with platform(monkeypatch, answer) as root:
        environ = {"SECURESCORE__state__blob__account_url": root}
        address = f"{root}/config/tenants.csv"
        assert await fetch_tenants(address, "", environ, SystemClock()) == (b"name,tenant_id\n", '"1"')
        assert await fetch_tenants(address, '"1"', environ, SystemClock()) == (None, '"1"')


@pytest.mark.parametrize(("status", "error"), [(403, ConfigError), (404, ConfigError), (503, Unavailable)])
async def test_a_tenants_file_that_cannot_be_had_says_why(
    monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    async with platform(monkeypatch, lambda _: web.Response(status=status)) as root:
        with pytest.raises(error, match=str(status)):
            environ = {"SECURESCORE__state__blob__account_url": root}
            await fetch_tenants(f"{root}/config/tenants.csv", "", environ, SystemClock())


@pytest.mark.parametrize(
    "address", ["https://elsewhere.example.org/t.csv", "https://account.blob.core.windows.net.evil/t"]
)
async def test_the_identitys_token_goes_to_its_own_storage_account_only(address: str) -> None:
    with pytest.raises(ConfigError, match="not in the storage account"):
        await fetch_tenants(address, "", settings(), SystemClock())


async def test_settings_that_point_into_a_vault_are_all_tried_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with platform(monkeypatch, lambda _: web.json_response({"value": "never"})):
        environ = {
            "GOOD": "as it is",
            "ONE": "keyvault:http://vault.vault.azure.net/secrets/name",
            "TWO": "keyvault:https://vault.vault.azure.net/keys/name",
            "THREE": "keyvault:https://elsewhere.example.org/secrets/name",
            "FOUR": "keyvault:https://x.vault.azure.net.example.org/secrets/name",
        }
        with pytest.raises(ConfigError) as caught:
            await read_secrets(environ, SystemClock())
        assert [problem.split(":")[0] for problem in caught.value.problems] == [
            f"app setting {name}" for name in ("ONE", "TWO", "THREE", "FOUR")
        ]
        assert environ["GOOD"] == "as it is"


def test_one_process_opens_once_for_many_invocations() -> None:
    async def ask() -> None:
        functions = Functions(settings(SECURESCORE__poll__interval="never"))
        found = await asyncio.gather(*(functions.status() for _ in range(5)))
        assert {code for code, _ in found} == {503}

    asyncio.run(ask())
