"""Signing in by Google, against an OpenID provider that runs in the test."""

import asyncio
import time
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import RSAKey

from control_api.identity import openid_provider
from control_api.settings import GoogleSettings
from tests.integration.control_api.api_client import ADMIN, problem_of
from tests.integration.control_api.openid_stand_in import CLIENT_ID, CLIENT_SECRET, OpenIdStandIn, running
from tests.integration.control_api.people import PASSWORD, person_from, register

START, CALLBACK = "/v1/public/oauth/google/start", "/v1/public/oauth/google/callback"


@pytest_asyncio.fixture
async def provider():
    async with running(OpenIdStandIn(), lambda: int(time.time())) as started:
        yield started


@pytest.fixture
def open_google_api(open_api, provider):
    @asynccontextmanager
    async def open_with(**changes):
        google = GoogleSettings(CLIENT_ID, CLIENT_SECRET, f"{provider.url}/.well-known/openid-configuration")
        async with open_api(google=google, api_url="http://api", **changes) as api:
            yield api

    return open_with


@pytest_asyncio.fixture
async def api(open_google_api):
    async with open_google_api() as opened:
        yield opened


async def start(api):
    """The query of the callback, once the browser has been to the provider."""
    started = await api.client.get(START)
    assert started.status_code == 303, started.text
    async with httpx.AsyncClient() as browser:
        back = await browser.get(started.headers["location"])
    assert back.headers["location"].startswith(f"http://api{CALLBACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(back.headers["location"]).query).items()}


async def sign_in(api):
    return await api.client.get(CALLBACK, params=await start(api))


async def test_a_new_user_gets_an_account_and_is_signed_in(api):
    answer = await sign_in(api)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["user"]["email"], body["user"]["name"], body["workspace"]["personal"]) == (
        "ada@example.com",
        "Ada",
        True,
    )
    profile = await api.client.get("/v1/me", headers=person_from(body).headers)
    assert (profile.json()["email_verified"], profile.json()["has_password"]) == (True, False)


async def test_the_second_time_it_is_the_same_user_whatever_their_address_is_now(api, provider):
    first = person_from((await sign_in(api)).json())
    provider.claims = {"email": "ada@elsewhere.example"}
    assert person_from((await sign_in(api)).json()).user_id == first.user_id


async def test_the_browser_is_sent_with_state_nonce_and_challenge_that_are_new_each_time(api):
    sent = []
    for _ in range(2):
        answer = await api.client.get(START)
        sent.append(
            {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        )
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/v1/public/oauth/google" in cookie
        for name in ("state", "nonce"):
            assert sent[-1][name].lower() not in cookie
    for name in ("state", "nonce", "code_challenge"):
        assert sent[0][name] != sent[1][name]
        assert len(sent[0][name]) >= 43
    assert sent[0]["code_challenge_method"] == "S256"


async def test_the_cookie_is_for_https_alone_where_the_api_is(open_google_api):
    async with open_google_api() as api:
        assert "secure" not in (await api.client.get(START)).headers["set-cookie"].lower()
        api.app.state.settings = api.app.state.settings.__class__(
            **{**vars(api.app.state.settings), "api_url": "https://api"}
        )
        assert "secure" in (await api.client.get(START)).headers["set-cookie"].lower()


async def test_what_comes_back_counts_once_in_the_browser_that_was_sent_and_with_its_state(api):
    query = await start(api)
    cookies = dict(api.client.cookies)
    wrong = [
        (query, {}),
        (query, {"scanhop_google": "x"}),
        (query | {"state": "x" * 43}, cookies),
        ({"code": query["code"]}, cookies),
        ({"state": query["state"]}, cookies),
        (query | {"error": "access_denied"}, cookies),
        (query | {"code": "x"}, cookies),
    ]
    for params, held in wrong:
        api.client.cookies.clear()
        for name, value in held.items():
            api.client.cookies.set(name, value)
        problem_of(await api.client.get(CALLBACK, params=params), 401, "google_sign_in_failed")
    assert (await api.client.get(CALLBACK, params=query)).status_code == 200
    assert not api.client.cookies.get("scanhop_google", domain="api")
    for name, value in cookies.items():
        api.client.cookies.set(name, value)
    problem_of(await api.client.get(CALLBACK, params=query), 401, "google_sign_in_failed")


async def test_the_answer_to_another_browsers_sign_in_is_refused(api):
    """An attacker's code and state, slipped to somebody whose own sign-in is under way."""
    attackers = await start(api)
    await start(api)
    problem_of(await api.client.get(CALLBACK, params=attackers), 401, "google_sign_in_failed")


async def test_a_sign_in_that_takes_too_long_is_refused(api):
    query = await start(api)
    google = api.app.state.google_sign_in
    clock = google._clock
    google._clock = lambda: clock().replace(year=clock().year + 1)
    problem_of(await api.client.get(CALLBACK, params=query), 401, "google_sign_in_failed")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "somebody-else"},
        {"aud": [CLIENT_ID, "other"]},  # without azp
        {"nonce": "replayed"},
        {"nonce": None},
        {"exp": 1_000_000},
        {"exp": None},
        {"sub": None},
        {"sub": "google\0"},
        {"email": None},
        {"email": "no address"},
    ],
)
async def test_an_id_token_that_does_not_prove_who_this_is_is_refused(api, database, provider, claims):
    provider.claims = claims
    problem_of(await sign_in(api), 401, "google_sign_in_failed")
    assert await database.fetchval("SELECT count(*) FROM users") == 0


async def test_an_id_token_by_another_key_is_refused(api, provider):
    provider.signing_key = RSAKey.generate_key(2048, parameters={"kid": "first"})
    problem_of(await sign_in(api), 401, "google_sign_in_failed")


async def test_another_algorithm_than_rs256_is_refused(api, provider):
    provider.signing_key = RSAKey.generate_key(2048, parameters={"kid": "first"})
    provider.key, provider.algorithm = provider.signing_key, "PS256"
    problem_of(await sign_in(api), 401, "google_sign_in_failed")


async def test_new_keys_of_the_provider_are_taken_up(api, provider):
    assert (await sign_in(api)).status_code == 200
    kept = api.app.state.google_sign_in._provider
    clock = kept._clock
    provider.rotate_key()
    problem_of(await sign_in(api), 401, "google_sign_in_failed")  # asked less than a minute ago
    kept._clock = lambda: clock().fromtimestamp(clock().timestamp() + 61, clock().tzinfo)
    assert (await sign_in(api)).status_code == 200


async def test_what_the_provider_publishes_is_asked_once(api, provider):
    for _ in range(3):
        await sign_in(api)
    assert provider.asked.count("/keys") == 1
    assert provider.asked.count("/.well-known/openid-configuration") == 1


async def test_an_address_that_google_has_not_verified_opens_nothing(api, database, provider):
    provider.claims = {"email_verified": False}
    problem_of(await sign_in(api), 403, "email_not_verified")
    assert await database.fetchval("SELECT count(*) FROM users") == 0


async def test_an_account_registered_with_a_password_is_not_opened_until_its_address_is_known(api):
    """Whoever registered it may be waiting for the address's owner to fill it."""
    ada = await register(api, "Ada@example.com")
    problem_of(await sign_in(api), 409, "password_sign_in_needed")
    made = await api.client.post(f"/v1/admin/users/{ada.user_id}/password-reset", headers=ADMIN)
    body = {"token": made.json()["token"], "password": PASSWORD}
    assert (await api.client.post("/v1/public/reset-password", json=body)).status_code == 204
    assert person_from((await sign_in(api)).json()).user_id == ada.user_id


async def test_another_google_account_does_not_take_the_place_of_the_one_that_is_linked(api, provider):
    """An address may be somebody else's by now."""
    first = person_from((await sign_in(api)).json())
    provider.claims = {"sub": "google-2"}
    problem_of(await sign_in(api), 409, "other_google_account")
    provider.claims = {}
    assert person_from((await sign_in(api)).json()).user_id == first.user_id


async def test_what_google_sends_back_besides_is_ignored(api):
    query = await start(api) | {"session_state": "1", "no_such_parameter": "2"}
    assert (await api.client.get(CALLBACK, params=query)).status_code == 200


async def test_an_account_that_an_admin_made_is_opened_by_its_address(api):
    made = await api.client.post("/v1/admin/users", headers=ADMIN, json={"email": "ada@example.com"})
    assert person_from((await sign_in(api)).json()).user_id == made.json()["user"]["id"]


async def test_a_closed_installation_lets_known_users_in_and_nobody_new(open_google_api, provider):
    async with open_google_api(registration_open=False) as api:
        problem_of(await sign_in(api), 403, "registration_closed")
        await api.client.post("/v1/admin/users", headers=ADMIN, json={"email": "ada@example.com"})
        assert (await sign_in(api)).status_code == 200


async def test_a_provider_that_is_away_is_told_and_the_rest_goes_on(api, provider):
    provider.is_broken = True
    answer = await api.client.get(START)
    problem_of(answer, 503, "provider_unavailable")
    assert answer.headers["retry-after"]
    await register(api, "grace@example.com")
    provider.is_broken = False
    query = await start(api)
    provider.is_broken = True
    problem_of(await api.client.get(CALLBACK, params=query), 503, "provider_unavailable")


async def test_who_begins_while_the_provider_is_silent_waits_for_one_answer_with_all_others(
    api, provider, monkeypatch
):
    monkeypatch.setattr(openid_provider, "TIMEOUT_S", 0.3)
    provider.speaks.clear()
    answers = await asyncio.gather(*(api.client.get(START) for _ in range(8)))
    for answer in answers:
        problem_of(answer, 503, "provider_unavailable")
    assert len(provider.asked) == 1
    provider.speaks.set()
    assert (await sign_in(api)).status_code == 200


async def test_who_goes_away_takes_the_answer_from_nobody(api, provider):
    provider.speaks.clear()
    begun = [asyncio.create_task(api.client.get(START)) for _ in range(2)]
    while not provider.asked:  # noqa: ASYNC110 - it is asked by another task
        await asyncio.sleep(0.01)
    begun[0].cancel()
    provider.speaks.set()
    assert (await begun[1]).status_code == 303


async def test_without_a_client_id_nobody_signs_in_by_google(open_api):
    async with open_api() as api:
        for path in (START, CALLBACK):
            problem_of(await api.client.get(path), 403, "sign_in_off")
