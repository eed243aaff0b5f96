"""Where codes may lead, and what their short codes may say."""

import pytest

from tests.integration.control_api.api_client import TARGET, bad_names, problem_of


def rules_to(url):
    variants = [{"name": "a", "weight": 1, "target_url": TARGET}, {"name": "b", "weight": 1, "target_url": url}]
    when = [{"field": "country", "op": "in", "value": ["DE"]}]
    return [{"when": when, "target_url": url}, {"when": when, "variants": variants}]


async def create(api, account, **fields):
    body = {"name": "Menu", "target_url": TARGET} | fields
    return await api.client.post("/v1/qr-codes", headers=account.headers, json=body)


OWN_ADDRESSES = [
    "https://qr.example/r/abc",
    "http://qr.example/",
    "https://QR.EXAMPLE./",
    "https://qr.acme.example/x",
]


@pytest.mark.parametrize("url", OWN_ADDRESSES)
async def test_no_code_leads_to_a_short_domain_of_the_installation_by_whatever_field(api, account, url):
    stranger = await api.create_account()
    await api.create_verified_domain(stranger, "qr.acme.example")
    assert bad_names(await create(api, account, target_url=url)) == {"target_url"}
    code = await api.create_code(account)
    for fields, names in (
        ({"fallback_url": url}, {"fallback_url"}),
        ({"rules": rules_to(url)}, {"rules.0.target_url", "rules.1.variants.1.target_url"}),
        ({"target_url": url, "fallback_url": url}, {"target_url", "fallback_url"}),
    ):
        assert bad_names(await create(api, account, **fields)) == names
        assert bad_names(await api.change_code(account, code, **fields)) == names


async def test_a_domain_that_nobody_proved_and_another_port_are_no_loops(api, account):
    await api.create_domain(account, "qr.acme.example")
    for url in ("https://qr.acme.example/", "https://qr.example:8443/", "https://www.qr.example/"):
        assert (await create(api, account, target_url=url)).status_code == 201


async def test_blocked_hosts_and_all_below_them_are_refused_when_a_code_is_saved(open_api):
    async with open_api(target_block_hosts=("evil.example",)) as api:
        account = await api.create_account()
        code = await api.create_code(account)
        for url in ("https://evil.example/", "https://a.b.EVIL.example./x", "https://evil.example:8443/"):
            assert bad_names(await create(api, account, target_url=url)) == {"target_url"}
            assert bad_names(await api.change_code(account, code, fallback_url=url)) == {"fallback_url"}
        assert (await create(api, account, target_url="https://notevil.example/")).status_code == 201


async def test_with_an_allow_list_nothing_else_is_allowed_and_the_block_list_wins(open_api):
    async with open_api(target_allow_hosts=("example.com",), target_block_hosts=("bad.example.com",)) as api:
        account = await api.create_account()
        assert (await create(api, account, target_url="https://www.example.com/")).status_code == 201
        for url in ("https://example.org/", "https://bad.example.com/", "http://127.0.0.1/"):
            assert bad_names(await create(api, account, target_url=url)) == {"target_url"}


async def test_what_was_saved_before_a_host_was_blocked_is_still_changed_but_not_rolled_back_to(open_api):
    async with open_api() as api:
        account = await api.create_account()
        code = await api.create_code(account, target_url="https://evil.example/")
    async with open_api(target_block_hosts=("evil.example",)) as api:
        assert (await api.change_code(account, code, name="Other")).status_code == 200
        assert (await api.change_code(account, code, target_url=TARGET)).status_code == 200
        url = f"/v1/qr-codes/{code['id']}/rollback"
        answer = await api.client.post(url, headers=account.headers, json={"version": 1})
        assert bad_names(answer) == {"target_url"}


@pytest.mark.parametrize("code", ["healthz", "r", "my-shit", "FUCK-you", "xfuckx", "sh1t", "-a", "a b", "a" * 64, ""])
async def test_reserved_offensive_and_misspelt_codes_are_refused(api, account, code):
    assert bad_names(await create(api, account, short_code=code)) == {"short_code"}


@pytest.mark.parametrize("code", ["scunthorpe", "assessment", "cocktail-bar", "essex", "document", "computation"])
async def test_words_that_only_hold_an_offensive_one_are_fine(api, account, code):
    assert (await create(api, account, short_code=code)).status_code == 201


async def test_drawn_codes_never_offend(api, account):
    draws = iter(["afuckb2", "22a5522", "menu234"])
    api.app.state.code_creation._generate_code = lambda: next(draws)
    assert (await api.create_code(account))["short_code"] == "menu234"


async def test_design_and_type_data_are_kept_and_bounded(api, account):
    design = {"dots": {"color": "#0a7d55"}, "logo": None}
    code = await api.create_code(account, design=design, type_data={"a": [1, 2.5, "x"]})
    assert (code["design"], code["type_data"]) == (design, {"a": [1, 2.5, "x"]})
    changed = (await api.change_code(account, code, design={})).json()
    assert (changed["design"], changed["type_data"]) == ({}, code["type_data"])
    for bad in ([], "x", None, {"a": "x" * 17_000}, {"a": "\x00"}, {"\x00": 1}):
        assert bad_names(await api.change_code(account, code, design=bad)) == {"design"}


async def test_an_unknown_type_is_refused(api, account):
    assert bad_names(await create(api, account, type="vcard")) == {"type"}


async def test_a_taken_code_is_told_from_a_bad_one(api, account):
    await api.create_code(account, short_code="menu")
    problem_of(await create(api, account, short_code="MENU"), 409, "short_code_taken")
