import pytest

from scanhop.routing.compilation import compile_route
from scanhop.routing.decision import decide, is_plain
from scanhop.wire.route import decode_route, encode_route
from tests.unit.routing.golden_decisions import CASES
from tests.unit.routing.rows import row


@pytest.mark.parametrize(("name", "columns", "facts", "decision"), CASES, ids=[name for name, *_ in CASES])
def test_a_scan_leads_where_the_table_says(name, columns, facts, decision):
    route = compile_route(row(**columns))
    assert decide(route, facts) == decision
    assert decide(decode_route(encode_route(route)), facts) == decision


def test_each_case_has_a_name_of_its_own():
    assert len({name for name, *_ in CASES}) == len(CASES)


def test_what_is_plain_leads_everybody_to_the_same_place():
    routes = [compile_route(row(**columns)) for _, columns, _, _ in CASES]
    plain = [route for route in routes if is_plain(route)]
    assert 5 <= len(plain) < len(routes)
    for route in plain:
        assert len({decide(route, facts) for _, _, facts, _ in CASES}) == 1
