"""Who gets in: the key decides the tenant, what it may do and how often; guessing is slow."""

import pytest
from starlette.requests import Request

from services.gateway.http.guard import SCOPES, Guard, Visit
from services.gateway.settings import GatewaySettings
from tests.unit.access.minted import minted
from trimtab.contracts.errors import ForeignTenant, OutOfScope, RateLimited, Unauthenticated
from trimtab.contracts.keys import ApiKey, Scope


def request(address: str = "10.0.0.1", **headers: str) -> Request:
    raw = [
        (name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()
    ]
    return Request({"type": "http", "headers": raw, "client": (address, 1)})


def guard(*keys: ApiKey, failures: int = 60) -> Guard:
    made = Guard(required=True, per_minute=600, failures_per_minute=failures)
    made.know(keys)
    return made


@pytest.mark.parametrize("header", ["authorization", "x_api_key"])
def test_the_key_decides_whose_request_it_is(header: str) -> None:
    text, key = minted("acme")
    value = f"Bearer {text}" if header == "authorization" else text
    visit = Visit()

    guard(key).enter(request(**{header: value}), "search", visit)

    assert (visit.caller, visit.tenant) == (key.id, "acme")
    assert visit.headers["RateLimit-Remaining"] == "599"


def test_a_tenant_of_the_headers_choosing_is_refused() -> None:
    text, key = minted("acme")
    gate = guard(key)

    gate.enter(request(x_api_key=text, x_tenant_id="acme"), "search", Visit())
    with pytest.raises(ForeignTenant):
        gate.enter(request(x_api_key=text, x_tenant_id="other"), "search", Visit())


@pytest.mark.parametrize("endpoint", SCOPES)
def test_a_key_does_what_its_scopes_say_and_nothing_else(endpoint: str) -> None:
    text, key = minted("acme", Scope.MAP)
    gate = guard(key)

    if SCOPES[endpoint] is Scope.MAP:
        gate.enter(request(x_api_key=text), endpoint, Visit())
    else:
        with pytest.raises(OutOfScope, match=SCOPES[endpoint].value):
            gate.enter(request(x_api_key=text), endpoint, Visit())


def test_a_missing_unknown_revoked_or_expired_key_opens_nothing() -> None:
    text, key = minted()
    old, expired = minted(expires_at=1.0)
    gate = guard(key, expired)

    for sent in ({}, {"x_api_key": minted()[0]}, {"x_api_key": old}, {"authorization": "Basic x"}):
        with pytest.raises(Unauthenticated):
            gate.enter(request(**sent), "search", Visit())
    gate.know([])
    with pytest.raises(Unauthenticated):
        gate.enter(request(x_api_key=text), "search", Visit())


def test_who_guesses_is_slowed_down_and_nobody_else_is() -> None:
    text, key = minted()
    gate = guard(key, failures=3)
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            gate.enter(request(x_api_key=minted()[0]), "search", Visit())

    with pytest.raises(RateLimited):
        gate.enter(request(x_api_key=minted()[0]), "search", Visit())
    gate.enter(request(x_api_key=text), "search", Visit())
    with pytest.raises(Unauthenticated):
        gate.enter(request("10.0.0.2"), "search", Visit())


def test_a_key_of_its_own_number_is_limited_by_that_and_a_batch_costs_what_is_in_it() -> None:
    text, key = minted(per_minute=10)
    gate, visit = guard(key), Visit()
    gate.enter(request(x_api_key=text), "map_batch", visit)
    gate.charge(visit, 8)

    assert visit.headers["RateLimit-Remaining"] == "1"
    with pytest.raises(RateLimited) as refused:
        gate.charge(visit, 5)
    assert refused.value.retry_after_s == pytest.approx(24.0, abs=1)


def test_a_tenant_stores_its_own_passages_only() -> None:
    gate = guard()

    gate.own(["", "acme"], "acme")
    with pytest.raises(ForeignTenant):
        gate.own(["", "public"], "acme")
    Guard(required=False, per_minute=1, failures_per_minute=1).own(["public"], "acme")


def test_off_everybody_gets_in_as_whom_the_request_names() -> None:
    visit = Visit()
    Guard(required=False, per_minute=1, failures_per_minute=1).enter(request(), "search", visit)

    assert (visit.caller, visit.tenant, dict(visit.headers)) == ("", "", {})


@pytest.mark.parametrize(
    ("auth", "host", "required"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "::1", False),
        ("auto", "0.0.0.0", True),
        ("off", "0.0.0.0", False),
        ("required", "127.0.0.1", True),
    ],
)
def test_a_gateway_that_others_reach_asks_for_keys_unless_told_otherwise(
    auth: str, host: str, required: bool
) -> None:
    settings = GatewaySettings.model_validate({"auth": auth, "api_host": host})

    assert settings.keys_required is required
