import os
import re
import traceback
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from control_api.settings import ApiSettings, GoogleSettings
from scanhop.settings import (
    PREFIX,
    Bind,
    InvalidSettings,
    Settings,
    derived_secret,
    derived_secrets,
    load_settings,
    require,
)

SECRET = "correct-horse-battery"
NOWHERE = Path("/nonexistent/.env")


def load(**variables: str) -> Settings:
    """The settings of these variables, given in lower case and without the prefix."""
    return load_settings({PREFIX + name.upper(): value for name, value in variables.items()}, NOWHERE)


def failure_of(variables: dict[str, str]) -> str:
    """The whole traceback as Python prints it; empty when they are accepted."""
    try:
        load(**variables)
    except InvalidSettings:
        return traceback.format_exc()
    return ""


def complaint(**variables: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        load(**variables)
    return str(caught.value)


def test_without_variables_everything_has_its_default():
    assert load() == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("postgres_dsn", "postgresql://a@b/c", "postgresql://a@b/c"),
        ("redis_url", "redis://localhost/1", "redis://localhost/1"),
        ("clickhouse_url", "http://localhost:8123/scanhop", "http://localhost:8123/scanhop"),
        ("admin_key", SECRET, SECRET),
        ("secret_key", SECRET, SECRET),
        ("secret_key", f"{SECRET}, {SECRET}-2", f"{SECRET}, {SECRET}-2"),
        ("registration", "closed", "closed"),
        ("api_url", "https://api.example.com/", "https://api.example.com"),
        ("public_url", "https://qr.example.com", "https://qr.example.com"),
        ("public_url", "https://qr.example.com/", "https://qr.example.com"),
        ("public_url", "http://localhost:8080", "http://localhost:8080"),
        ("trusted_proxies", "10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
        ("trusted_proxies", " 10.0.0.0/8 , ::1, ", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
        ("geoip_path", "/var/lib/city.mmdb", Path("/var/lib/city.mmdb")),
        ("geoip_url", "https://example.com/city.mmdb", "https://example.com/city.mmdb"),
        ("data_dir", "/var/lib/scanhop", Path("/var/lib/scanhop")),
        ("edge_bind", "0.0.0.0:80", Bind(host="0.0.0.0", port=80)),  # noqa: S104
        ("edge_bind", "[::1]:0", Bind(host="::1", port=0)),
        ("api_bind", "api.local:65535", Bind(host="api.local", port=65535)),
        ("metrics_bind", "127.0.0.1:9100", Bind(host="127.0.0.1", port=9100)),
        ("edge_workers", "8", 8),
        ("spool_dir", "/var/spool/scanhop", Path("/var/spool/scanhop")),
        ("spool_max_bytes", "1048576", 1 << 20),
        ("spool_fsync_ms", "0", 0),
        ("ip_storage", "none", "none"),
        ("log_level", "debug", "debug"),
        ("brand_name", " Caf\u00e9 <Nord> & Co ", "Caf\u00e9 <Nord> & Co"),
        ("brand_name", "\u5317\u3000\u6d77" * 20, "\u5317\u3000\u6d77" * 20),
        ("brand_name", " ", None),
        ("brand_color", "#0a7D55", "#0a7D55"),
    ],
)
def test_each_variable_is_read(name, text, value):
    assert getattr(load(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("admin_key", "too-short"),
        ("secret_key", "too-short"),
        ("secret_key", f"{SECRET},too-short"),
        ("secret_key", f"{SECRET},"),
        ("registration", "maybe"),
        ("api_url", "api.example.com"),
        ("google_discovery_url", "ftp://example.com"),
        ("public_url", "qr.example.com"),
        ("public_url", "ftp://qr.example.com"),
        ("public_url", "https://"),
        ("public_url", "https:///path"),
        ("public_url", "https://qr.example.com/a?b"),
        ("public_url", "https://qr.example.com/#a"),
        ("public_url", "https://qr.example.com/a b"),
        ("public_url", "https://qr.example.com/\n"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "10.0.0.0/8 192.0.2.0/24"),
        ("trusted_proxies", "*"),
        ("edge_bind", "8080"),
        ("edge_bind", ":8080"),
        ("edge_bind", "[]:8080"),
        ("edge_bind", "localhost"),
        ("edge_bind", "localhost:http"),
        ("edge_bind", "localhost:-1"),
        ("edge_bind", "localhost:65536"),
        ("edge_bind", "localhost:" + "9" * 5000),
        ("edge_bind", "localhost:\u0661"),
        ("edge_workers", "0"),
        ("edge_workers", "257"),
        ("edge_workers", "two"),
        ("spool_max_bytes", "4GiB"),
        ("spool_max_bytes", "1000"),
        ("spool_fsync_ms", "-1"),
        ("spool_fsync_ms", "60001"),
        ("ip_storage", "hashed"),
        ("log_level", "INFO"),
        ("brand_name", "x" * 61),
        ("brand_name", "Caf\u00e9\nNord"),
        ("brand_name", "Caf\u00e9\u2028Nord"),
        ("brand_name", "\u202eeman"),
        ("brand_name", "Caf\udce9"),
        ("brand_color", "0a7d55"),
        ("brand_color", "#0a7"),
        ("brand_color", "#0a7d5g"),
        ("brand_color", "#0a7d55\n"),
        ("brand_color", "#0a7d55;}"),
        ("brand_color", "green"),
        ("clickhouse_cluster", "main"),
        ("no_such_setting", "1"),
        ("", "1"),
    ],
)
def test_a_bad_value_is_named_in_one_line(name, text):
    message = complaint(**{name: text})
    assert message.startswith(PREFIX + name.upper() + ": ")
    assert len(message.splitlines()) == 1


def test_one_message_names_every_bad_variable_once():
    message = complaint(edge_workers="0", trusted_proxies="x, y", nonsense="1", log_level="loud", edge_bind="x")
    assert sorted(line.partition(":")[0] for line in message.splitlines()) == [
        "SCANHOP_EDGE_BIND",
        "SCANHOP_EDGE_WORKERS",
        "SCANHOP_LOG_LEVEL",
        "SCANHOP_NONSENSE",
        "SCANHOP_TRUSTED_PROXIES",
    ]


def test_an_unknown_variable_points_to_the_list_of_settings():
    assert complaint(edge_wokers="1") == (
        "SCANHOP_EDGE_WOKERS: there is no such setting (docs/settings.md lists them)"
    )


def test_a_cluster_is_refused_clearly():
    assert "not supported yet" in complaint(clickhouse_cluster="main")


@given(st.sampled_from(sorted(set(Settings.model_fields) - {"x_api_key"})), st.text(min_size=3, max_size=15))
def test_a_value_is_never_repeated_in_the_message(name, text):
    assert "s3cr3t" not in failure_of({name: f"s3cr3t{text}"})


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_variable_is_one_that_is_not_set(name):
    assert load(**{name: ""}) == Settings()


def test_variables_of_other_programs_are_not_looked_at():
    assert load_settings({"PATH": "/bin", "scanhop_edge_workers": "x", "XSCANHOP_A": "1"}, NOWHERE) == Settings()


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load().edge_workers = 2


def test_the_environment_wins_over_the_file(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("SCANHOP_EDGE_WORKERS=2\nSCANHOP_LOG_LEVEL=debug\n")
    found = load_settings({"SCANHOP_EDGE_WORKERS": "3"}, dotenv)
    assert (found.edge_workers, found.log_level) == (3, "debug")


def test_an_empty_variable_leaves_what_the_file_says(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("SCANHOP_EDGE_WORKERS=2\n")
    assert load_settings({"SCANHOP_EDGE_WORKERS": ""}, dotenv).edge_workers == 2


def test_a_file_may_hold_comments_quotes_empty_values_and_variables_of_others(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# a comment\nexport SCANHOP_EDGE_WORKERS=2 # another\nSCANHOP_REDIS_URL=\n"
        "SCANHOP_LOG_LEVEL='debug'\nOTHER=1\nBARE\n"
    )
    found = load_settings({}, dotenv)
    assert (found.edge_workers, found.redis_url, found.log_level) == (2, None, "debug")


def test_an_unknown_variable_in_the_file_is_refused_too(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("SCANHOP_NONSENSE=1\n")
    with pytest.raises(InvalidSettings, match="SCANHOP_NONSENSE"):
        load_settings({}, dotenv)


def test_a_colour_in_the_file_is_no_comment(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("SCANHOP_BRAND_COLOR=#0a7d55\nSCANHOP_BRAND_NAME=Joe's Diner # a comment\n")
    found = load_settings({}, dotenv)
    assert (found.brand_color, found.brand_name) == ("#0a7d55", "Joe's Diner")


def test_a_secret_in_the_file_stays_as_it_is_written(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("SCANHOP_SECRET_KEY=abc${HOME}def$ghi-0123456789\n")
    assert load_settings({}, dotenv).secret_key == "abc${HOME}def$ghi-0123456789"


def test_the_process_environment_is_read_unless_another_is_given(monkeypatch):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCANHOP_EDGE_WORKERS", "5")
    assert load_settings(dotenv=NOWHERE).edge_workers == 5


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:80", "localhost:0"])
def test_an_address_is_written_as_it_is_read(text):
    assert str(load(edge_bind=text).edge_bind) == text


def test_the_spool_is_inside_the_data_directory_unless_it_has_a_place_of_its_own():
    assert load(data_dir="/data").spool_root == Path("/data/spool")
    assert load(data_dir="/data", spool_dir="/spool").spool_root == Path("/spool")


def test_a_setting_that_a_command_needs_is_required_by_its_variables_name():
    assert require(load(redis_url="redis://a"), "redis_url") == "redis://a"
    with pytest.raises(InvalidSettings, match="SCANHOP_REDIS_URL: must be set"):
        require(load(), "redis_url")


def test_secrets_are_derived_by_hkdf_one_for_each_key_and_label():
    derived = derived_secrets(load(secret_key=f"{SECRET}, {SECRET}-2"), "access-token")
    expected = [
        HKDF(hashes.SHA256(), 32, salt=b"scanhop", info=b"access-token").derive(key.encode())
        for key in (SECRET, f"{SECRET}-2")
    ]
    assert list(derived) == expected
    assert derived_secret(load(secret_key=f"{SECRET},{SECRET}-2"), "access-token") == expected[0]
    assert derived_secrets(load(secret_key=SECRET), "another") != derived[:1]


def test_without_a_secret_key_nothing_that_keeps_somebody_out_is_derived():
    assert derived_secrets(load(), "access-token") == ()


SECRET_NAME = re.compile(r"(_key|_keys|_secret|_dsn)$|^(redis|clickhouse)_url$")


@pytest.mark.parametrize(
    "fields", [Settings.model_fields, ApiSettings.__dataclass_fields__, GoogleSettings.__dataclass_fields__]
)
def test_no_secret_stands_in_a_repr(fields):
    secrets = {name: field.repr for name, field in fields.items() if SECRET_NAME.search(name)}
    assert secrets
    assert not any(secrets.values()), secrets
