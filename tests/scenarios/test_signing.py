"""What is signed, with what, and what is not."""

import base64
import email.utils
import json
import re
import subprocess
import time
import uuid

import harness
from harness import BY_FROM, DEST, GATEWAY, OTHER, OWN, QUIET, ROOT, STRICT, X5U, X5U_BETA, Identity, Stirrup


def digits(number):
    return number.lstrip("+")


def check_signed(stirrup, answer, *, attest, orig, dest=DEST, x5u=X5U, certificate="alpha"):
    """The 302 and its Identity, octet for octet (RFC 8225 section 9, RFC 8588), and an independent verification."""
    assert answer.status == 302, answer.raw
    identity = Identity(answer["Identity"])
    now = time.time()
    iat = identity.claims["iat"]
    assert abs(now - iat) <= 2, f"iat {iat}, now {now}"
    assert email.utils.parsedate_to_datetime(answer["Date"]).timestamp() == iat
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answer["Date"])
    assert identity.info == x5u
    assert identity.header_text == f'{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"{x5u}"}}'
    origid = identity.claims["origid"]
    assert str(uuid.UUID(origid)) == origid
    expected = {"attest": attest, "dest": {"tn": [digits(dest)]}, "iat": iat, "orig": {"tn": digits(orig)},
                "origid": origid}
    assert identity.payload_text == json.dumps(expected, separators=(",", ":"), sort_keys=True)
    assert len(identity.signature) == 64
    assert identity.verifies(stirrup.certificate(certificate))
    assert identity.verifies(stirrup.directory / "pki" / f"{certificate}.pub")
    assert not identity.verifies(stirrup.certificate("beta" if certificate == "alpha" else "alpha"))
    return identity


def check_unsigned(answer, status=302):
    assert answer.status == status, answer.raw
    assert not answer.has("Identity") and not answer.has("y"), answer.raw
    assert answer.has("Contact") == (300 <= status < 400), answer.raw


def test_own_number_is_signed_with_attestation_a_and_recorded():
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.call(call_id="full@test")
        identity = check_signed(stirrup, answer, attest="A", orig=OWN)
        record = stirrup.wait_for_records(1)[0]
        for name, value in {
                "v": 1, "node": "test-node", "call_id": "full@test", "peer": "core", "source": client.here,
                "service": "sign", "mode": "redirect", "customer": "acme", "orig": digits(OWN), "dest": [digits(DEST)],
                "attest": "A", "origid": identity.claims["origid"], "iat": identity.claims["iat"], "credential": "alpha",
                "x5u": X5U, "spc": "1234", "result": "signed", "reason": None, "status": 302, "final_status": 302,
                "removed": [], "identities": [], "cache": None}.items():
            assert record[name] == value, f"{name}: {record[name]!r}, not {value!r}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
        assert record["rule"], record
        assert 0 < record["microseconds"] < 2_000_000


def test_every_way_to_write_an_own_number_is_signed_with_a():
    with Stirrup() as stirrup, stirrup.client() as client:
        for user, orig in (("12155551212", OWN), ("2155551212", OWN), ("+1-215-555-1212", OWN),
                           ("+12155551212;npdi;rn=+12155550000", OWN), ("+12155550150", "+12155550150"),
                           ("+12155560000", "+12155560000")):
            answer = client.call(from_=f"<sip:{user}@{client.here};user=phone>")
            check_signed(stirrup, answer, attest="A", orig=orig)
        answer = client.call(from_=f"<tel:{OWN}>")
        check_signed(stirrup, answer, attest="A", orig=OWN)


def test_a_number_with_a_level_of_its_own_gets_that_level():
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.call(from_=f"<sip:+12155551300@{client.here}>")
        check_signed(stirrup, answer, attest="B", orig="+12155551300")


def test_another_number_of_a_known_customer_is_signed_with_b():
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.call(from_=f"<sip:{OTHER}@{client.here}>")
        check_signed(stirrup, answer, attest="B", orig=OTHER)


def test_an_unknown_customer_is_signed_with_c_by_the_peers_credential():
    with Stirrup() as stirrup, stirrup.client(GATEWAY) as client:
        answer = client.call(from_=f"<sip:{OTHER}@{client.here}>", call_id="gateway@test")
        check_signed(stirrup, answer, attest="C", orig=OTHER, x5u=X5U_BETA, certificate="beta")
        record = stirrup.wait_for_record(call_id="gateway@test")
        assert (record["customer"], record["attest"], record["credential"], record["spc"]) == (None, "C", "beta", "5678")


def test_the_owner_by_number_gets_at_most_b_when_the_peer_does_not_authenticate_callers():
    with Stirrup() as stirrup, stirrup.client(GATEWAY) as client:
        answer = client.call(from_=f"<sip:{OWN}@{client.here}>", call_id="capped@test")
        check_signed(stirrup, answer, attest="B", orig=OWN)
        assert stirrup.wait_for_record(call_id="capped@test")["customer"] == "acme"


def test_p_asserted_identity_goes_before_from():
    with Stirrup() as stirrup, stirrup.client() as client:
        for value in (f"<sip:{OWN}@{client.here};user=phone>", f"<tel:{OWN}>", f'"Acme, Inc" <tel:{OWN}>',
                      f"<sip:alice@{client.here}>, <tel:{OWN}>"):
            answer = client.call(from_=f"<sip:{OTHER}@{client.here}>", headers=[f"P-Asserted-Identity: {value}"])
            check_signed(stirrup, answer, attest="A", orig=OWN)


def test_identity_from_from_ignores_p_asserted_identity():
    with Stirrup() as stirrup, stirrup.client(BY_FROM) as client:
        answer = client.call(from_=f"<sip:{OTHER}@{client.here}>", headers=[f"P-Asserted-Identity: <tel:{OWN}>"])
        check_signed(stirrup, answer, attest="B", orig=OTHER)


def test_an_anonymous_caller_is_signed_by_p_asserted_identity_or_not_at_all():
    anonymous = '"Anonymous" <sip:anonymous@anonymous.invalid>'
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.call(from_=anonymous, headers=[f"P-Asserted-Identity: <tel:{OWN}>", "Privacy: id"])
        check_signed(stirrup, answer, attest="A", orig=OWN)
        check_unsigned(client.call(from_=anonymous, call_id="anonymous@test"))
        record = stirrup.wait_for_record(call_id="anonymous@test")
        assert (record["result"], record["reason"]) == ("unsigned", "anonymous")


def test_the_called_number_is_taken_from_to_and_not_from_the_request_uri():
    """RFC 8224 section 4.1: "dest" is the To header field; a retargeted Request-URI is another matter ("div")."""
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.call(uri=f"sip:+12155557777@{client.server}")
        check_signed(stirrup, answer, attest="A", orig=OWN)


def test_unsigned_by_policy_is_302_without_identity():
    with Stirrup() as stirrup, stirrup.client(QUIET) as client:
        check_unsigned(client.call(from_=f"<sip:{OTHER}@{client.here}>", call_id="quiet@test"))
        record = stirrup.wait_for_record(call_id="quiet@test")
        assert (record["result"], record["reason"], record["cause"]) == ("unsigned", "policy", "policy")
        assert record["status"] == record["final_status"] == 302


def test_reject_by_policy_is_603():
    with Stirrup() as stirrup, stirrup.client(STRICT) as client:
        check_unsigned(client.call(from_=f"<sip:{OTHER}@{client.here}>", call_id="strict@test"), 603)
        record = stirrup.wait_for_record(call_id="strict@test")
        assert (record["result"], record["reason"]) == ("rejected", "policy")


def test_what_is_not_a_number_is_unsigned():
    with Stirrup() as stirrup, stirrup.client() as client:
        check_unsigned(client.call(from_=f"<sip:alice@{client.here}>", call_id="name@test"))
        check_unsigned(client.call(to=f"<sip:bob@{client.server}>", call_id="callee@test"))
        check_unsigned(client.call(from_=f"<sip:5551212@{client.here}>", call_id="short@test"))
        for call_id in ("name@test", "callee@test", "short@test"):
            record = stirrup.wait_for_record(call_id=call_id)
            assert (record["result"], record["reason"]) == ("unsigned", "number_format"), record


def test_a_signed_call_is_not_signed_again_and_its_identity_not_repeated():
    with Stirrup() as stirrup, stirrup.client() as client:
        theirs = client.call()["Identity"]
        for name in ("Identity", "y", "IDENTITY"):
            call_id = f"{name}@test"
            check_unsigned(client.call(headers=[f"{name}: {theirs}"], call_id=call_id))
            record = stirrup.wait_for_record(call_id=call_id)
            assert (record["result"], record["reason"]) == ("unsigned", "already_signed"), record


def test_an_identity_of_another_type_does_not_hinder_signing():
    with Stirrup() as stirrup, stirrup.client() as client:
        theirs = client.call()["Identity"].replace("ppt=shaken", "ppt=rph")
        header, payload, rest = theirs.split(".", 2)
        header = base64.urlsafe_b64encode(b'{"alg":"ES256","ppt":"rph","typ":"passport","x5u":"https://a.example/b"}')
        theirs = ".".join([header.rstrip(b"=").decode(), payload, rest])
        answer = client.call(headers=[f"Identity: {theirs}"])
        check_signed(stirrup, answer, attest="A", orig=OWN)


def test_a_date_that_is_off_stays_unsigned():
    with Stirrup() as stirrup, stirrup.client() as client:
        for off in (-3600, -70, 70, 3600):
            call_id = f"date{off}@test"
            date = email.utils.formatdate(time.time() + off, usegmt=True)
            check_unsigned(client.call(headers=[f"Date: {date}"], call_id=call_id))
            record = stirrup.wait_for_record(call_id=call_id)
            assert (record["result"], record["reason"]) == ("unsigned", "stale_date"), record
        for off in (-50, 0, 50):
            date = email.utils.formatdate(time.time() + off, usegmt=True)
            check_signed(stirrup, client.call(headers=[f"Date: {date}"]), attest="A", orig=OWN)


def test_a_stale_date_can_be_rejected():
    with Stirrup(core='stale_date = "reject";') as stirrup, stirrup.client() as client:
        answer = client.call(headers=["Date: Sun, 06 Nov 1994 08:49:37 GMT"], call_id="stale@test")
        check_unsigned(answer, 403)
        assert answer.reason == "Stale Date"
        assert stirrup.wait_for_record(call_id="stale@test")["result"] == "rejected"


def test_an_emergency_call_is_signed_and_never_rejected():
    with Stirrup() as stirrup:
        with stirrup.client() as client:
            answer = client.call(uri=f"sip:911@{client.server}", to=f"<sip:911@{client.server}>")
            check_signed(stirrup, answer, attest="A", orig=OWN, dest="911")
        with stirrup.client(STRICT) as client:
            answer = client.call(uri=f"sip:911@{client.server}", to=f"<sip:911@{client.server}>",
                                 from_=f"<sip:{OTHER}@{client.here}>")
            assert answer.status == 302, answer.raw


def test_a_service_urn_is_signed_as_a_uri():
    """RFC 9027 section 3: "dest" holds the URN."""
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.call(uri="urn:service:sos", to="<urn:service:sos>", headers=[f"Route: <sip:{client.server};lr>"])
        assert answer.status == 302, answer.raw
        identity = Identity(answer["Identity"])
        assert identity.claims["dest"] == {"uri": ["urn:service:sos"]}
        assert identity.verifies(stirrup.certificate())


def test_an_expired_certificate_signs_nothing():
    with Stirrup() as stirrup:
        subprocess.run([ROOT / "tests/pki/make-pki.sh", "--name", "alpha", "--not-before", "20250101000000Z",
                        "--not-after", "20250201000000Z", stirrup.directory / "pki"], check=True)
        stirrup.reload()
        with stirrup.client() as client:
            # Whether the reload is refused or the credential stopped: never a token of an expired certificate.
            time.sleep(1)
            answer = client.call(call_id="expired@test")
            assert answer.status == 302
            if answer.has("Identity"):
                assert not Identity(answer["Identity"]).verifies(stirrup.certificate())
            else:
                assert stirrup.wait_for_record(call_id="expired@test")["reason"] in (
                    "certificate_expired", "credential_refused")


def test_every_call_has_an_origid_of_its_own():
    with Stirrup() as stirrup, stirrup.client() as client:
        seen = {Identity(client.call()["Identity"]).claims["origid"] for _ in range(50)}
        assert len(seen) == 50


def test_a_fixed_origid_of_the_peer_is_used():
    fixed = "123e4567-e89b-12d3-a456-426655440000"
    with Stirrup(core=f'origid = "{fixed}";') as stirrup, stirrup.client() as client:
        assert Identity(client.call()["Identity"]).claims["origid"] == fixed


def test_a_fixed_origid_of_the_customer_goes_before_the_peers():
    customers, peers = "123e4567-e89b-12d3-a456-426655440001", "123e4567-e89b-12d3-a456-426655440002"
    config = harness.DEFAULT_CONFIG.replace('{{ name = "acme"; ', f'{{{{ name = "acme"; origid = "{customers}"; ', 1)
    with Stirrup(config=config, core=f'origid = "{peers}";') as stirrup, stirrup.client() as client:
        assert Identity(client.call()["Identity"]).claims["origid"] == customers
