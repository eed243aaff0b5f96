"""/v1/qr-codes/{id}/image: the symbol as it is printed."""

import asyncio
from typing import Any

import httpx

from control_api.images import service
from tests.decoders import all_read, pixels_of, read_by_all, read_by_zxing
from tests.integration.control_api.api_client import ADMIN, Account, Api, bad_names, problem_of

MEDIA_TYPES = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "eps": "application/postscript",
}


async def get_image(
    api: Api, account: Account, code: dict[str, Any], ending: str = ".png", headers: Any = None, **query: Any
) -> httpx.Response:
    path = f"/v1/qr-codes/{code['id']}/image{ending}"
    return await api.client.get(path, headers=account.headers | (headers or {}), params=query)


async def set_design(api: Api, code: dict[str, Any], design: dict[str, Any]) -> None:
    async with api.app.state.images._postgres.connection() as connection:
        await connection.execute("UPDATE qr_codes SET design = $2 WHERE id = $1", code["id"], design)


async def set_status(api: Api, code: dict[str, Any], status: str) -> None:
    async with api.app.state.images._postgres.connection() as connection:
        await connection.execute("UPDATE qr_codes SET status = $2 WHERE id = $1", code["id"], status)


async def test_the_symbol_comes_in_each_format(api, account, code):
    for ending, media_type in MEDIA_TYPES.items():
        answer = await get_image(api, account, code, f".{ending}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "content-disposition" not in answer.headers


async def test_two_decoders_read_the_short_url(api, account):
    code = await api.create_code(account, short_code="menu")
    answer = await get_image(api, account, code, size=300, foreground="#004488", background="fffff0")
    pixels = pixels_of(answer.content)
    assert pixels.shape == (300, 300, 3)
    assert pixels[0, 0].tolist() == [0xF0, 0xFF, 0xFF]
    assert read_by_all(pixels) == all_read("https://qr.example/r/menu")


async def test_a_custom_domain_keeps_the_case_of_its_codes(api, account):
    await api.create_verified_domain(account, "go.example.com", code_case="exact")
    code = await api.create_code(account, domain="go.example.com", short_code="Menu42")
    answer = await get_image(api, account, code)
    assert read_by_zxing(pixels_of(answer.content)) == "HTTPS://GO.EXAMPLE.COM/Menu42"


async def test_the_format_goes_by_accept(api, account, code):
    for accept, expected in {"image/png": "image/png", "application/pdf": "application/pdf"}.items():
        answer = await get_image(api, account, code, "", {"Accept": accept})
        assert answer.headers["content-type"] == expected
        assert answer.headers["vary"] == "Accept"
    problem_of(await get_image(api, account, code, "", {"Accept": "text/html"}), 406, "not_acceptable")


async def test_an_image_at_hand_is_not_sent_again(api, account, code):
    first = await get_image(api, account, code)
    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = await get_image(api, account, code, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == "private, no-cache"
    other = await get_image(api, account, code, headers={"If-None-Match": first.headers["etag"]}, margin=5)
    assert other.status_code == 200


async def test_the_design_of_the_code_says_what_is_not_asked(api, account, code):
    before = await get_image(api, account, code)
    await set_design(api, code, {"foreground": "#7a1f3d", "margin": 2, "size": 250, "frame": "of a later version"})
    after = await get_image(api, account, code, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    pixels = pixels_of(after.content)
    assert pixels.shape == (250, 250, 3)
    assert [0x3D, 0x1F, 0x7A] in pixels.reshape(-1, 3).tolist()
    black = pixels_of((await get_image(api, account, code, foreground="000000")).content)
    assert [0x3D, 0x1F, 0x7A] not in black.reshape(-1, 3).tolist()


async def test_a_design_that_cannot_be_read_says_so(api, account, code):
    await set_design(api, code, {"foreground": "red"})
    assert bad_names(await get_image(api, account, code)) == {"design"}


async def test_a_download_has_a_file_name(api, account):
    code = await api.create_code(account, name='Karte "Café"/2026', short_code="menu")
    answer = await get_image(api, account, code, ".pdf", download=True)
    assert answer.headers["content-disposition"] == 'attachment; filename="Karte-Cafe-2026-menu.pdf"'


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"foreground": "eeeeee"}, "foreground"),
    ({"foreground": "ffffff", "background": "000000"}, "foreground"),
    ({"foreground": "ffffff", "background": "transparent"}, "foreground"),
    ({"foreground": "red"}, "foreground"),
    ({"foreground": "transparent"}, "foreground"),
    ({"background": "#fff"}, "background"),
    ({"margin": 1}, "margin"),
    ({"margin": 17}, "margin"),
    ({"size": 5000}, "size"),
    ({"size": 30}, "size"),
    ({"size": 300, "scale": 3}, "size"),
    ({"scale": 0}, "scale"),
    ({"scale": 1}, "scale"),
    ({"error_correction": "X"}, "error_correction"),
    ({"color": "000000"}, "color"),
]


async def test_what_cannot_be_drawn_is_refused(api, account, code):
    """One test: what is asked changes nothing."""
    for query, name in REFUSED:
        assert bad_names(await get_image(api, account, code, **query)) == {name}, query


async def test_low_contrast_is_refused_with_the_ratio(api, account, code):
    answer = await get_image(api, account, code, foreground="aaaaaa")
    [fault] = problem_of(answer, 422, "invalid_parameters")["invalid_parameters"]
    assert fault["name"] == "foreground"
    assert "2.32:1" in fault["reason"]
    assert "at least 3:1" in fault["reason"]


async def test_a_code_that_does_not_redirect_is_still_drawn(api, account, code):
    for status in ("paused", "archived", "banned"):
        await set_status(api, code, status)
        assert (await get_image(api, account, code)).status_code == 200


async def test_a_deleted_code_has_no_image(api, account, code):
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    problem_of(await get_image(api, account, code), 404, "not_found")


async def test_another_workspace_has_no_such_image(api, code):
    stranger = await api.create_account()
    problem_of(await get_image(api, stranger, code), 404, "not_found")
    problem_of(await get_image(api, stranger, code, ""), 404, "not_found")


async def test_there_is_no_other_format(api, account, code):
    problem_of(await get_image(api, account, code, ".gif"), 404, "not_found")


async def test_an_image_needs_a_key_of_the_workspace(api, code):
    path = f"/v1/qr-codes/{code['id']}/image.svg?margin=nonsense"
    problem_of(await api.client.get(path), 401, "unauthenticated")
    problem_of(await api.client.get(path, headers=ADMIN), 403, "workspace_key_needed")


async def test_head_tells_what_get_would(api, account, code):
    path = f"/v1/qr-codes/{code['id']}/image.png"
    answer = await api.client.head(path, headers=account.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 200


async def test_more_images_than_can_wait_are_told_to_come_again(api, account, code, monkeypatch):
    monkeypatch.setattr(service, "MAX_WAITING", 3)
    answers = await asyncio.gather(*(get_image(api, account, code, scale=n) for n in range(2, 22)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    busy = answers[statuses.index(503)]
    problem_of(busy, 503, "images_busy")
    assert busy.headers["retry-after"] == "1"
    assert (await get_image(api, account, code)).status_code == 200
