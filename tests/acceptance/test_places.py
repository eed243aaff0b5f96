"""The countries of an account's analytics, with every process real."""

import httpx

from tests.product import Product, eventually
from tests.unit.client_facts.mmdb import flat, write_mmdb


def test_analytics_follow_a_geoip_database_that_comes_later_and_is_replaced(tmp_path):
    path = tmp_path / "city.mmdb"
    env = {"SCANHOP_LOG_LEVEL": "warning", "SCANHOP_GEOIP_PATH": str(path)}
    with Product(tmp_path / "data", env) as product, product.api(product.new_account("geo@example.com")) as api:
        body = {"name": "Where", "type": "url", "target_url": "https://example.com/"}
        code = api.post("/v1/qr-codes", json=body).json()

        def countries_after_a_scan() -> set[str]:
            assert httpx.get(code["short_url"]).status_code == 302
            shares = api.get(f"/v1/qr-codes/{code['id']}/analytics").json()["countries"]
            return {share["value"] for share in shares}

        eventually(lambda: countries_after_a_scan() == {""})
        write_mmdb(path, {"127.0.0.0/8": flat("AT", "Vienna", "Vienna")})
        eventually(lambda: "AT" in countries_after_a_scan())
        write_mmdb(path, {"127.0.0.0/8": flat("DE", "Berlin", "Berlin")})
        eventually(lambda: "DE" in countries_after_a_scan())
        assert product.query("SELECT DISTINCT city FROM qr_scan_events ORDER BY city") == [
            ("",),
            ("Berlin",),
            ("Vienna",),
        ]
        assert set(product.query("SELECT sumMap(countries) FROM daily_aggregates")[0][0]) == {"", "AT", "DE"}
