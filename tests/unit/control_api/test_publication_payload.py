"""The payload of the job that publishes a code."""

from uuid import uuid4

import pytest

from control_api.qr_codes.publication import BadPublication, parse_publication


def test_a_payload_names_its_code():
    qr_id = uuid4()
    assert parse_publication(f'{{"qr_id": "{qr_id}"}}'.encode()) == qr_id


@pytest.mark.parametrize("payload", [None, b"", b"{", b"[]", b"{}", b'{"qr_id": 1}', b'{"qr_id": "x"}', b"\xff"])
def test_other_payloads_are_bad(payload):
    with pytest.raises(BadPublication):
        parse_publication(payload)
