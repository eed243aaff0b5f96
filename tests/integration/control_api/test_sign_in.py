"""Registering, signing in and out, refreshing, forgotten and changed passwords."""

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from uuid import UUID

import jwt
import pytest
from argon2 import PasswordHasher

from control_api.identity import access_token, attempt_limits, password_resets, sessions
from scanhop.stores.redis import open_redis
from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of
from tests.integration.control_api.people import PASSWORD, person_from, register
from tests.integration.control_api.statement_count import counted_statements

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
OTHER_PASSWORD = "another horse, another battery"


async def login(api, email="ada@example.com", password=PASSWORD, **headers):
    return await api.client.post("/v1/public/login", json={"email": email, "password": password}, headers=headers)


async def refresh(api, token):
    return await api.client.post("/v1/public/refresh", json={"refresh_token": token})


async def me(api, person):
    return await api.client.get("/v1/me", headers=person.headers)


class Clock:
    """Now, and as much later as the test says."""

    def __init__(self):
        self.later = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.later


def set_clock(api, clock):
    state = api.app.state
    for each in (state.authenticator, state.authenticator._tokens, state.sessions, state.password_resets):
        each._clock = clock


async def test_who_registers_is_signed_in_with_a_personal_workspace(api, database):
    answer = await api.client.post(
        "/v1/public/register", json={"email": "Ada@Example.com", "password": PASSWORD, "name": "Ada"}
    )
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "user", "workspace"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert (body["user"]["email"], body["user"]["role"]) == ("Ada@Example.com", "user")
    assert (body["workspace"]["name"], body["workspace"]["personal"]) == ("Ada", True)
    ada = person_from(body)
    profile = (await me(api, ada)).json()
    assert (profile["id"], profile["email_verified"], profile["has_password"]) == (ada.user_id, False, True)
    codes = await api.client.get("/v1/qr-codes", headers=ada.headers)
    assert codes.json() == {"data": [], "next_cursor": None}


async def test_nothing_that_was_secret_is_stored(api, database):
    ada = await register(api, "ada@example.com")
    rows = ""
    for table in ("users", "sessions", "refresh_tokens", "audit_log"):
        rows += str(await database.fetch(f"SELECT t::text FROM {table} t"))
    assert "$argon2id$" in rows
    for secret in (PASSWORD, ada.access_token, ada.refresh_token, ada.refresh_token.removeprefix("scanhop_refresh_")):
        assert secret not in rows
    assert "ada@example.com" not in str(await database.fetch("SELECT t::text FROM audit_log t"))


async def test_an_address_is_registered_once_whatever_its_letter_case(api):
    await register(api, "ada@example.com")
    again = {"email": "ADA@example.com", "password": OTHER_PASSWORD}
    problem_of(await api.client.post("/v1/public/register", json=again), 409, "email_taken")


async def test_of_many_who_register_one_address_at_once_one_does(api, database):
    wanted = {"email": "ada@example.com", "password": PASSWORD}
    answers = await asyncio.gather(*(api.client.post("/v1/public/register", json=wanted) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await database.fetchval("SELECT count(*) FROM workspaces") == 1


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, {"email", "password"}),
        ({"email": "x", "password": PASSWORD}, {"email"}),
        ({"email": "a@b.test", "password": "short"}, {"password"}),
        ({"email": "a@b.test", "password": "x" * 201}, {"password"}),
        ({"email": "a@b.test", "password": PASSWORD, "role": "admin"}, {"role"}),
    ],
)
async def test_what_is_wrong_with_a_registration_is_named(api, fields, names):
    assert bad_names(await api.client.post("/v1/public/register", json=fields)) == names


async def test_a_closed_installation_registers_nobody_but_lets_users_in(open_api):
    async with open_api(registration_open=False) as api:
        wanted = {"email": "ada@example.com", "password": PASSWORD}
        problem_of(await api.client.post("/v1/public/register", json=wanted), 403, "registration_closed")


async def test_without_a_secret_key_nobody_signs_in_and_keys_go_on_working(open_api):
    async with open_api(access_keys=(), state_keys=()) as api:
        account = await api.create_account()
        wanted = {"email": "ada@example.com", "password": PASSWORD}
        for path, body in (
            ("register", wanted),
            ("login", wanted),
            ("refresh", {"refresh_token": "x"}),
        ):
            problem_of(await api.client.post(f"/v1/public/{path}", json=body), 403, "sign_in_off")
        problem_of(await api.client.get("/v1/public/oauth/google/start"), 403, "sign_in_off")
        assert (await api.client.get("/v1/qr-codes", headers=account.headers)).status_code == 200
        headers = {"Authorization": "Bearer a.b.c"}
        problem_of(await api.client.get("/v1/me", headers=headers), 401, "unauthenticated")


async def test_signing_in_takes_the_address_in_any_letter_case(api):
    ada = await register(api, "ada@example.com")
    body = (await login(api, "ADA@EXAMPLE.COM")).json()
    assert person_from(body).user_id == ada.user_id
    assert (await me(api, person_from(body))).status_code == 200


async def test_a_wrong_password_and_an_unknown_address_answer_the_same(api, database):
    await register(api, "ada@example.com")
    account = await api.create_account()
    no_password = await database.fetchval("SELECT email FROM users WHERE id = $1", account.user_id)
    answers = [
        problem_of(await login(api, email, password), 401, "wrong_credentials")
        for email, password in (
            ("ada@example.com", OTHER_PASSWORD),
            ("nobody@example.com", PASSWORD),
            (no_password, PASSWORD),
            (no_password, ""),
        )
    ]
    assert all(answer == answers[0] for answer in answers)


async def test_an_unknown_address_costs_a_hash_as_a_wrong_password_does(api, monkeypatch):
    passwords = api.app.state.password_sign_in._parts.passwords
    await register(api, "ada@example.com")
    await passwords.check(None, "warm-up")
    checked = []
    check = passwords._check
    monkeypatch.setattr(passwords, "_check", lambda stored, given: checked.append(stored) or check(stored, given))
    await login(api, "ada@example.com", OTHER_PASSWORD)
    await login(api, "nobody@example.com", OTHER_PASSWORD)
    parameters = [stored.split("$")[1:4] for stored in checked]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


async def test_a_deleted_user_cannot_sign_in_and_their_tokens_are_void(api):
    ada = await register(api, "ada@example.com")
    assert (await api.client.delete(f"/v1/admin/users/{ada.user_id}", headers=ADMIN)).status_code == 204
    problem_of(await login(api), 401, "wrong_credentials")
    problem_of(await me(api, ada), 401, "unauthenticated")
    problem_of(await refresh(api, ada.refresh_token), 401, "unauthenticated")


async def test_an_access_token_is_good_for_a_quarter_of_an_hour(api):
    ada = await register(api, "ada@example.com")
    clock = Clock()
    set_clock(api, clock)
    clock.later = access_token.LIFETIME - timedelta(seconds=5)
    assert (await me(api, ada)).status_code == 200
    clock.later = access_token.LIFETIME + timedelta(seconds=1)
    problem_of(await me(api, ada), 401, "unauthenticated")
    fresh = person_from((await refresh(api, ada.refresh_token)).json())
    assert (await me(api, fresh)).status_code == 200


async def test_tokens_of_other_keys_other_algorithms_and_other_claims_are_refused(api, settings):
    ada = await register(api, "ada@example.com")
    key = settings.access_keys[0]
    header = {"kid": jwt.get_unverified_header(ada.access_token)["kid"]}
    claims = jwt.decode(ada.access_token, options={"verify_signature": False})
    other_session = claims | {"sid": str(UUID(int=7))}
    forged = [
        jwt.encode(claims, b"x" * 32, algorithm="HS256", headers=header),
        jwt.encode(claims, b"x" * 32, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none", headers=header),
        jwt.encode(claims, key * 2, algorithm="HS512", headers=header),
        jwt.encode(other_session, key, algorithm="HS256", headers=header),
        jwt.encode(claims | {"iss": "other"}, key, algorithm="HS256", headers=header),
        jwt.encode({name: claims[name] for name in claims if name != "exp"}, key, algorithm="HS256", headers=header),
        jwt.encode(claims | {"sub": "x"}, key, algorithm="HS256", headers=header),
        ada.access_token[:-2],
        "..",
        "a.b.c",
        "\x7f.\x7f.\x7f",
    ]
    for token in forged:
        answer = await api.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        problem_of(answer, 401, "unauthenticated")


async def test_secret_keys_are_changed_without_anybody_being_signed_out(open_api):
    old, new = b"o" * 32, b"n" * 32
    async with open_api(access_keys=(old,)) as api:
        ada = await register(api, "ada@example.com")
    async with open_api(access_keys=(new, old)) as api:
        assert (await me(api, ada)).status_code == 200
        fresh = person_from((await refresh(api, ada.refresh_token)).json())
    async with open_api(access_keys=(new,)) as api:
        assert (await me(api, fresh)).status_code == 200
        problem_of(await me(api, ada), 401, "unauthenticated")


async def test_a_refresh_answers_the_next_tokens_and_uses_up_the_last(api):
    ada = await register(api, "ada@example.com")
    second = person_from((await refresh(api, ada.refresh_token)).json())
    third = person_from((await refresh(api, second.refresh_token)).json())
    assert len({ada.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert (await me(api, third)).json()["id"] == ada.user_id


async def test_a_refresh_token_used_twice_ends_the_whole_session_and_no_other(api, database):
    ada = await register(api, "ada@example.com")
    elsewhere = person_from((await login(api)).json())
    second = person_from((await refresh(api, ada.refresh_token)).json())
    problem_of(await refresh(api, ada.refresh_token), 401, "unauthenticated")
    problem_of(await refresh(api, second.refresh_token), 401, "unauthenticated")
    problem_of(await me(api, second), 401, "unauthenticated")
    assert (await me(api, elsewhere)).status_code == 200
    assert (await refresh(api, elsewhere.refresh_token)).status_code == 200
    reasons = await database.fetch("SELECT revoked_for FROM sessions WHERE revoked_at IS NOT NULL")
    assert [row["revoked_for"] for row in reasons] == ["reuse"]


async def test_of_many_refreshes_at_once_with_one_token_one_answers_and_the_session_ends(api):
    ada = await register(api, "ada@example.com")
    answers = await asyncio.gather(*(refresh(api, ada.refresh_token) for _ in range(6)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    problem_of(await refresh(api, good[0].json()["refresh_token"]), 401, "unauthenticated")


async def test_a_session_ends_when_it_is_not_refreshed_and_at_its_longest(api, database):
    ada = await register(api, "ada@example.com")
    clock = Clock()
    set_clock(api, clock)
    clock.later = sessions.IDLE_LIFETIME + timedelta(minutes=1)
    problem_of(await refresh(api, ada.refresh_token), 401, "unauthenticated")
    clock.later = timedelta()
    await database.execute("UPDATE sessions SET created_at = created_at - interval '179 days'")
    assert (await refresh(api, ada.refresh_token)).status_code == 200
    left = await database.fetchval("SELECT expires_at - now() FROM sessions")
    assert left < timedelta(days=1, minutes=1)


async def test_who_signs_out_is_out_at_once_and_may_do_so_twice(api):
    ada = await register(api, "ada@example.com")
    for token in (ada.refresh_token, ada.refresh_token, "unknown"):
        answer = await api.client.post("/v1/public/logout", json={"refresh_token": token})
        assert answer.status_code == 204
    problem_of(await me(api, ada), 401, "unauthenticated")
    problem_of(await refresh(api, ada.refresh_token), 401, "unauthenticated")


async def test_attempts_on_one_account_are_limited_from_wherever_they_come(open_api):
    async with open_api(trusted_proxies=(ip_network("127.0.0.0/8"),)) as api:
        await register(api, "ada@example.com")
        for n in range(attempt_limits.PER_ACCOUNT):
            answer = await login(api, "Ada@example.com", "wrong password", **{"X-Forwarded-For": f"192.0.{n}.1"})
            problem_of(answer, 401, "wrong_credentials")
        limited = await login(api, **{"X-Forwarded-For": "198.51.100.1"})
        problem_of(limited, 429, "too_many_attempts")
        assert 0 < int(limited.headers["retry-after"]) <= 900
        other = await login(api, "nobody@example.com", **{"X-Forwarded-For": "198.51.100.1"})
        problem_of(other, 401, "wrong_credentials")


async def test_an_address_written_in_another_way_is_the_same_account_or_none(api):
    await register(api, "ada.i@example.com")
    for n in range(attempt_limits.PER_ACCOUNT):
        written = (" ada.i@example.com", "ADA.I@example.com\n")[n % 2]
        problem_of(await login(api, written, "wrong password"), 401, "wrong_credentials")
    problem_of(await login(api, "ada.i@example.com"), 429, "too_many_attempts")
    for no_address in ("ada.\u0130@example.com", "ada.\u0131@example.com", "ada.i\0@example.com", "ada", ""):
        assert bad_names(await login(api, no_address)) == {"email"}


@pytest.mark.parametrize("redis", [True, False])
async def test_what_a_network_tries_beyond_its_limit_counts_for_no_account(open_api, monkeypatch, redis):
    monkeypatch.setattr(attempt_limits, "PER_NETWORK", 4)
    monkeypatch.setattr(attempt_limits, "PER_ACCOUNT", 2)
    changes = {} if redis else {"redis_url": "redis://127.0.0.1:9/0"}
    async with open_api(trusted_proxies=(ip_network("127.0.0.0/8"),), **changes) as api:
        await register(api, "ada@example.com")
        for n in range(4):
            await login(api, f"user{n}@example.com")
        for _ in range(3):
            problem_of(await login(api), 429, "too_many_attempts")
        assert (await login(api, **{"X-Forwarded-For": "198.51.100.1"})).status_code == 200


async def test_attempts_from_one_network_are_limited_whatever_the_account_and_a_forged_address_is_no_way_out(
    api, monkeypatch
):
    monkeypatch.setattr(attempt_limits, "PER_NETWORK", 3)
    for n in range(3):
        answer = await login(api, f"user{n}@example.com", **{"X-Forwarded-For": f"192.0.{n}.1"})
        problem_of(answer, 401, "wrong_credentials")
    problem_of(await login(api, "x@example.com", **{"X-Forwarded-For": "192.0.9.1"}), 429, "too_many_attempts")


async def test_many_attempts_at_once_are_no_way_around_the_limit(api):
    await register(api, "ada@example.com")
    answers = await asyncio.gather(*(login(api, password="wrong password") for _ in range(15)))
    assert sum(answer.status_code == 401 for answer in answers) == attempt_limits.PER_ACCOUNT


async def test_a_success_forgives_the_account(api):
    await register(api, "ada@example.com")
    for _ in range(2):
        for _ in range(attempt_limits.PER_ACCOUNT - 1):
            problem_of(await login(api, password="wrong password"), 401, "wrong_credentials")
        assert (await login(api)).status_code == 200


async def test_without_redis_a_process_limits_by_itself_and_more_strictly(open_api):
    async with open_api(redis_url="redis://127.0.0.1:9/0") as api:
        await register(api, "ada@example.com")
        allowed = attempt_limits.PER_ACCOUNT // attempt_limits.STRICTER
        for _ in range(allowed):
            problem_of(await login(api, password="wrong password"), 401, "wrong_credentials")
        problem_of(await login(api), 429, "too_many_attempts")


async def test_redis_holds_no_address_and_forgets_by_itself(api, redis_url):
    await login(api, "ada@example.com")
    redis = open_redis(redis_url, timeout_s=2)
    keys = [key async for key in redis.scan_iter("attempts:*")]
    assert len(keys) == 2
    for key in keys:
        assert b"ada" not in key
        assert b"127.0" not in key
        assert 0 < await redis.pttl(key) <= 900_000
    await redis.aclose()


async def test_names_in_redis_cannot_be_tried_out_without_the_secret(open_api, redis_url):
    for secret in (b"a" * 32, b"b" * 32):
        async with open_api(limits_key=secret, rate_per_second=1) as api:
            await login(api, "ada@example.com")
    redis = open_redis(redis_url, timeout_s=2)
    keys = [key.decode() async for key in redis.scan_iter("*")]
    await redis.aclose()
    for kind in ("attempts:login:account:", "attempts:login:network:", "rate:network:"):
        assert len([key for key in keys if key.startswith(kind)]) == 2
    assert not [key for key in keys if "ada" in key or "127.0" in key]


class Mailbox:
    """Takes what is to be delivered."""

    def __init__(self):
        self.mails = []

    async def deliver_password_reset(self, email, token):
        self.mails.append((email, token))


async def forgot(api, email):
    return await api.client.post("/v1/public/forgot-password", json={"email": email})


async def reset(api, token, password=OTHER_PASSWORD):
    return await api.client.post("/v1/public/reset-password", json={"token": token, "password": password})


async def test_asking_for_a_reset_answers_the_same_for_every_address_and_delivers_to_users_alone(api, database):
    await register(api, "ada@example.com")
    mailbox = api.app.state.password_resets._delivery = Mailbox()
    known, unknown = await forgot(api, "ada@example.com"), await forgot(api, "nobody@example.com")
    await api.app.state.password_resets.close()
    assert (known.status_code, known.content) == (202, unknown.content) == (unknown.status_code, known.content)
    assert [email for email, _ in mailbox.mails] == ["ada@example.com"]
    assert mailbox.mails[0][1] not in str(await database.fetch("SELECT t::text FROM password_resets t"))


async def test_a_reset_is_used_once_and_ends_every_session(api):
    ada = await register(api, "ada@example.com")
    mailbox = api.app.state.password_resets._delivery = Mailbox()
    await forgot(api, "ADA@example.com")
    await forgot(api, "ada@example.com")
    await api.app.state.password_resets.close()
    first, second = [token for _, token in mailbox.mails]
    assert (await reset(api, first)).status_code == 204
    problem_of(await me(api, ada), 401, "unauthenticated")
    problem_of(await refresh(api, ada.refresh_token), 401, "unauthenticated")
    problem_of(await login(api), 401, "wrong_credentials")
    signed_in = person_from((await login(api, password=OTHER_PASSWORD)).json())
    assert (await me(api, signed_in)).json()["email_verified"] is True
    for used in (first, second, "x"):
        assert bad_names(await reset(api, used)) == {"token"}


async def test_a_reset_is_used_once_even_at_once(api):
    ada = await register(api, "ada@example.com")
    made = await api.client.post(f"/v1/admin/users/{ada.user_id}/password-reset", headers=ADMIN)
    answers = await asyncio.gather(*(reset(api, made.json()["token"]) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422]


async def test_a_platform_admin_makes_a_reset_for_a_user_without_a_password(api, database):
    account = await api.create_account()
    url = f"/v1/admin/users/{account.user_id}/password-reset"
    made = await api.client.post(url, headers=ADMIN)
    assert made.status_code == 201
    assert (await reset(api, made.json()["token"])).status_code == 204
    email = await database.fetchval("SELECT email FROM users")
    assert (await login(api, email, OTHER_PASSWORD)).status_code == 200
    unknown = url.replace(account.user_id, account.workspace_id)
    problem_of(await api.client.post(unknown, headers=ADMIN), 404, "not_found")


async def made_reset(api, person):
    made = await api.client.post(f"/v1/admin/users/{person.user_id}/password-reset", headers=ADMIN)
    return made.json()["token"]


def reset_once_checked(api, monkeypatch, token):
    """While the first password that is checked is checked, the user resets it."""
    passwords, left = api.app.state.password_sign_in._parts.passwords, [token]
    check = passwords.check

    async def check_slowly(stored, given):
        verdict = await check(stored, given)
        if left:
            assert (await reset(api, left.pop())).status_code == 204
        return verdict

    monkeypatch.setattr(passwords, "check", check_slowly)


async def test_a_sign_in_under_way_does_not_outlive_a_reset(api, database, monkeypatch):
    ada = await register(api, "ada@example.com")
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await database.execute("UPDATE users SET password_hash = $1", weak)
    reset_once_checked(api, monkeypatch, await made_reset(api, ada))
    problem_of(await login(api), 401, "wrong_credentials")
    assert await database.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0
    problem_of(await login(api), 401, "wrong_credentials")
    assert (await login(api, password=OTHER_PASSWORD)).status_code == 200


async def test_of_sign_ins_at_once_that_renew_the_hash_none_is_refused(api, database):
    await register(api, "ada@example.com")
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await database.execute("UPDATE users SET password_hash = $1", weak)
    answers = await asyncio.gather(*(login(api) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5


async def test_a_change_of_password_under_way_does_not_undo_a_reset(api, monkeypatch):
    ada = await register(api, "ada@example.com")
    reset_once_checked(api, monkeypatch, await made_reset(api, ada))
    change = {"current_password": PASSWORD, "new_password": "a third long password"}
    answer = await api.client.post("/v1/me/password", headers=ada.headers, json=change)
    assert bad_names(answer) == {"current_password"}
    assert (await login(api, password=OTHER_PASSWORD)).status_code == 200


async def waits(database, under_way):
    """Until it does, for the transaction that is open in the test."""
    while not await database.fetchval(WAITING):
        assert not under_way.done()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("what", ["refresh", "logout"])
async def test_what_a_session_does_waits_for_what_ends_it_without_holding_it_up(api, database, what):
    """Whoever holds the user's row gets at the sessions: in any other order two could wait for each other."""
    ada = await register(api, "ada@example.com")
    url, body = f"/v1/public/{what}", {"refresh_token": ada.refresh_token}
    async with database.transaction():
        await database.execute("SELECT FROM users FOR UPDATE")
        under_way = asyncio.create_task(api.client.post(url, json=body))
        await waits(database, under_way)
        await database.execute("SET LOCAL lock_timeout = '500ms'")
        await database.execute("UPDATE sessions SET revoked_at = now(), revoked_for = 'password'")
    answer = await under_way
    assert answer.status_code == {"refresh": 401, "logout": 204}[what]
    assert await database.fetchval("SELECT revoked_for FROM sessions") == "password"


@pytest.mark.parametrize("what", ["password", "address"])
async def test_a_reset_ends_with_the_password_or_the_address_it_was_made_for(api, what):
    ada = await register(api, "ada@example.com")
    token = await made_reset(api, ada)
    if what == "password":
        change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        done = await api.client.post("/v1/me/password", headers=ada.headers, json=change)
    else:
        changed = {"email": "ada@elsewhere.example"}
        done = await api.client.patch(f"/v1/admin/users/{ada.user_id}", headers=ADMIN, json=changed)
    assert done.is_success
    assert bad_names(await reset(api, token, "a third long password")) == {"token"}
    assert (await reset(api, await made_reset(api, ada), "a third long password")).status_code == 204


async def test_a_reset_waits_for_a_change_of_the_user_without_holding_it_up(api, database):
    ada = await register(api, "ada@example.com")
    token = await made_reset(api, ada)
    async with database.transaction():
        await database.execute("SELECT FROM users FOR UPDATE")
        under_way = asyncio.create_task(reset(api, token))
        await waits(database, under_way)
        await database.execute("SET LOCAL lock_timeout = '500ms'")
        await database.execute("UPDATE password_resets SET used_at = now()")
    assert bad_names(await under_way) == {"token"}


async def test_asking_for_a_reset_is_answered_before_it_is_looked_who_has_the_address(api, database):
    await register(api, "ada@example.com")
    mailbox = api.app.state.password_resets._delivery = Mailbox()
    async with database.transaction():
        await database.execute("LOCK TABLE password_resets, users")
        answers = [await forgot(api, email) for email in ("ada@example.com", "nobody@example.com")]
    assert [answer.status_code for answer in answers] == [202, 202]
    await api.app.state.password_resets.close()
    assert [email for email, _ in mailbox.mails] == ["ada@example.com"]


async def test_asking_for_a_reset_tells_when_postgres_is_away(open_api):
    async with open_api(postgres_dsn="postgresql://127.0.0.1:9/none") as api:
        problem_of(await forgot(api, "ada@example.com"), 503, "store_unavailable")


async def test_a_reset_expires(api):
    ada = await register(api, "ada@example.com")
    made = await api.client.post(f"/v1/admin/users/{ada.user_id}/password-reset", headers=ADMIN)
    clock = Clock()
    set_clock(api, clock)
    clock.later = password_resets.LIFETIME + timedelta(seconds=1)
    assert bad_names(await reset(api, made.json()["token"])) == {"token"}


async def test_who_changes_their_password_stays_and_all_other_sessions_end(api):
    ada = await register(api, "ada@example.com")
    elsewhere = person_from((await login(api)).json())
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    wrong = change | {"current_password": OTHER_PASSWORD}
    url = "/v1/me/password"
    assert bad_names(await api.client.post(url, headers=ada.headers, json=wrong)) == {"current_password"}
    assert (await api.client.post(url, headers=ada.headers, json=change)).status_code == 204
    assert (await me(api, ada)).status_code == 200
    problem_of(await me(api, elsewhere), 401, "unauthenticated")
    assert (await login(api, password=OTHER_PASSWORD)).status_code == 200


async def test_a_key_alone_sets_no_first_password(api):
    account = await api.create_account()
    answer = await api.client.post("/v1/me/password", headers=account.headers, json={"new_password": OTHER_PASSWORD})
    problem_of(answer, 401, "wrong_credentials")


async def test_the_own_name_is_changed_and_taken_away(api):
    ada = await register(api, "ada@example.com", name="Ada")
    for name in ("Augusta", None):
        answer = await api.client.patch("/v1/me", headers=ada.headers, json={"name": name})
        assert answer.json()["name"] == name
    assert (await me(api, ada)).json()["name"] is None
    assert bad_names(await api.client.patch("/v1/me", headers=ada.headers, json={"email": "x@y.z"})) == {"email"}


async def test_an_old_hash_is_made_anew_at_the_next_sign_in(api, database):
    await register(api, "ada@example.com")
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await database.execute("UPDATE users SET password_hash = $1", weak)
    assert (await login(api)).status_code == 200
    assert "m=19456" in await database.fetchval("SELECT password_hash FROM users")
    assert (await login(api)).status_code == 200


async def test_a_session_costs_one_query_a_request(api):
    ada = await register(api, "ada@example.com")
    with counted_statements() as sent:
        await api.app.state.authenticator.find_caller(ada.access_token, None)
    assert len(sent) == 1, sent
