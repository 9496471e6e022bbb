"""SIP as a redirect server speaks it (RFC 3261 sections 8.2 and 8.3)."""

import contextlib
import re
import socket
import time

from harness import (CORE, DEST, GATEWAY, NEXT_HOP, OTHER, OWN, QUIET, SCENARIOS, STRICT, UNLISTED, Client, Identity,
                     Stirrup, new_branch, sipp)

# How each folder of sipp-scenarios/ is run; what it checks is in its XML.
SIPP = {
    "sign-unknown-customer": {"source": GATEWAY},
    "unsigned-policy": {"source": QUIET},
    "reject-policy": {"source": STRICT},
    "tcp": {"transport": "t1"},
    "ipv6": {"source": "::1"},
    "retransmission": {"options": ("-nr",)},
}


def test_every_sipp_scenario_passes():
    folders = sorted(path.parent.name for path in SCENARIOS.glob("*/scenario.xml") if not path.parent.name.startswith("verify-"))
    assert len(folders) >= 18, folders
    with Stirrup() as stirrup:
        for folder in folders:
            try:
                sipp(folder, stirrup.port, calls=5, rate=50, **SIPP.get(folder, {})).assert_all(5)
            except AssertionError as error:
                raise AssertionError(f"{folder}: {error}") from error


def test_sipp_scenarios_fail_where_the_answer_is_another():
    """What the XML checks is really checked: the same scenarios at peers with another policy."""
    with Stirrup() as stirrup:
        for folder, source in (("sign-full-attestation", QUIET), ("sign-full-attestation", GATEWAY), ("unsigned-policy", CORE),
                               ("sign-partial-attestation", GATEWAY), ("reject-policy", CORE), ("emergency", QUIET)):
            run = sipp(folder, stirrup.port, calls=2, source=source)
            assert (run.successful, run.failed) == (0, 2), f"{folder} from {source}: {run.successful} successful"


def test_a_thousand_calls_a_second_are_all_signed_and_recorded():
    with Stirrup() as stirrup:
        sipp("sign-full-attestation", stirrup.port, calls=3000, rate=1000).assert_all(3000)
        records = stirrup.wait_for_records(3000)
        assert {record["result"] for record in records} == {"signed"}
        assert len({record["origid"] for record in records}) == 3000


def test_a_retransmission_gets_identical_octets_and_one_record():
    with Stirrup() as stirrup, stirrup.client() as client:
        invite = client.request(call_id="again@test")
        first = client.ask(invite)
        assert first.has("Identity")
        for _ in range(3):
            time.sleep(0.4)  # long enough for iat to move on
            assert client.ask(invite).raw == first.raw
        client.acknowledge(invite, first)
        time.sleep(0.3)
        stirrup.wait_for_record(call_id="again@test")
        stirrup.wait_for_records(1)


def test_two_branches_are_two_calls():
    with Stirrup() as stirrup, stirrup.client() as client:
        one = client.call(call_id="fork@test", branch=new_branch())
        two = client.call(call_id="fork@test", branch=new_branch())
        origids = {Identity(answer["Identity"]).claims["origid"] for answer in (one, two)}
        assert len(origids) == 2
        assert one["To"] != two["To"]
        assert len(stirrup.wait_for_records(2)) == 2


def test_the_answer_repeats_what_rfc_3261_wants():
    """RFC 3261 section 8.2.6.2: Via, From, Call-ID, CSeq and To as received, To with a tag."""
    with Stirrup() as stirrup, stirrup.client() as client:
        via = f"SIP/2.0/UDP {client.here};branch={new_branch()};x-mine=1"
        second = "SIP/2.0/UDP proxy.example.net;branch=z9hG4bKsecond;received=192.0.2.9"
        invite = client.request(via=via, headers=[f"Via: {second}"], from_=f'"A. \\"G\\" \u00e9" <sip:{OWN}@{client.here}>;x=y',
                                call_id="parts@test", cseq=77)
        answer = client.ask(invite)
        client.acknowledge(invite, answer)
        vias = ", ".join(answer.all("Via"))
        assert vias.startswith(via.split(";x-mine")[0]) and ";x-mine=1" in vias, vias
        assert vias.endswith(second), vias
        assert answer["From"] == f'"A. \\"G\\" \u00e9" <sip:{OWN}@{client.here}>;x=y;tag=caller'
        assert answer["Call-ID"] == "parts@test"
        assert answer["CSeq"] == "77 INVITE"
        assert re.fullmatch(re.escape(f"<sip:{DEST}@{client.server};user=phone>") + r";tag=[A-Za-z0-9.~_-]+", answer["To"])
        assert answer["Content-Length"] == "0"


def test_rport_is_filled_in_and_the_answer_goes_there():
    """RFC 3581: behind NAT the Via says nonsense, the answer comes to where the request came from."""
    with Stirrup() as stirrup, stirrup.client() as client:
        via = f"SIP/2.0/UDP 10.1.2.3:5099;rport;branch={new_branch()}"
        answer = client.ask(client.request(via=via))
        assert f"rport={client.port}" in answer["Via"] and "received=127.0.0.1" in answer["Via"], answer["Via"]


def test_a_maddr_in_via_is_not_obeyed():
    """RFC 3261 section 18.2.2 would have us answer to a third party: doc/conformance.md."""
    with Stirrup() as stirrup, stirrup.client() as client, stirrup.client("127.0.0.3") as third:
        via = f"SIP/2.0/UDP {client.host}:{client.port};maddr=127.0.0.3;branch={new_branch()}"
        assert client.ask(client.request(via=via)).has("Identity")
        assert third.receive(0.3) is None


def test_cancel_is_answered_200():
    with Stirrup() as stirrup, stirrup.client() as client:
        branch = new_branch()
        invite = client.request(branch=branch, call_id="cancel@test")
        answer = client.ask(invite)
        cancel = client.request("CANCEL", branch=branch, call_id="cancel@test")
        to_cancel = client.ask(cancel)
        assert (to_cancel.status, to_cancel["CSeq"]) == (200, "1 CANCEL")
        assert client.ask(cancel).status == 200
        client.acknowledge(invite, answer)
        stirrup.wait_for_records(1)


def test_ack_is_absorbed():
    with Stirrup() as stirrup, stirrup.client() as client:
        client.call()
        client.send(client.request("ACK", to_tag="whatever"))
        assert client.receive(0.5) is None
        assert stirrup.answers()


def test_options_says_what_is_understood():
    with Stirrup() as stirrup, stirrup.client() as client:
        answer = client.ask(client.request("OPTIONS", uri=f"sip:{client.server}"))
        assert answer.status == 200
        allowed = set(re.split(r"\s*,\s*", answer["Allow"]))
        assert allowed == {"INVITE", "ACK", "CANCEL", "OPTIONS"}
        assert "tag=" in answer["To"]


def test_a_request_within_a_dialog_is_481():
    with Stirrup() as stirrup, stirrup.client() as client:
        assert client.ask(client.request("BYE", to_tag="theirs", cseq=2)).status == 481
        invite = client.request("INVITE", to_tag="theirs", cseq=2)
        answer = client.ask(invite)
        client.acknowledge(invite, answer)
        assert answer.status == 481


def test_other_methods_are_405_with_allow():
    with Stirrup() as stirrup, stirrup.client() as client:
        for method in ("REGISTER", "MESSAGE", "SUBSCRIBE", "BREW"):
            answer = client.ask(client.request(method))
            assert answer.status == 405, answer.raw
            assert set(re.split(r"\s*,\s*", answer["Allow"])) == {"INVITE", "ACK", "CANCEL", "OPTIONS"}


def test_require_is_ignored():
    """RFC 3261 section 8.3: a redirect server ignores features that it does not understand, Require included."""
    with Stirrup() as stirrup, stirrup.client() as client:
        assert client.call(headers=["Require: 100rel, x-unheard-of"]).status == 302


def test_an_unlisted_source_meets_silence_over_udp():
    with Stirrup() as stirrup, stirrup.client(UNLISTED) as stranger, stirrup.client() as client:
        for method in ("INVITE", "OPTIONS", "REGISTER", "CANCEL", "BYE"):
            stranger.send(stranger.request(method))
        stranger.send(b"garbage\r\n\r\n")
        assert stranger.receive(1.0) is None
        assert client.call().status == 302
        stirrup.wait_for_records(1)


def test_an_unlisted_source_is_closed_over_tcp():
    with Stirrup() as stirrup:
        try:
            with stirrup.client(UNLISTED, tcp=True) as stranger:
                stranger.send(stranger.request())
                try:
                    assert stranger.receive(5.0) is None
                    raise AssertionError("the connection stays open")
                except ConnectionResetError:
                    pass
        except (ConnectionRefusedError, BrokenPipeError, ConnectionResetError):
            pass
        with stirrup.client(tcp=True) as client:
            assert client.call().status == 302


def test_tcp_carries_several_calls_in_pieces_and_in_a_row():
    with Stirrup() as stirrup, stirrup.client(tcp=True) as client:
        invites = [client.request(call_id=f"tcp{i}@test", body=b"v=0\r\n" * 30) for i in range(5)]
        client.send(b"".join(invites))
        answers = {client.receive()["Call-ID"] for _ in invites}
        assert answers == {f"tcp{i}@test" for i in range(5)}
        invite = client.request(call_id="pieces@test")
        for i in range(0, len(invite), 60):
            client.send(invite[i:i + 60])
            time.sleep(0.005)
        answer = client.receive()
        assert (answer.status, answer["Call-ID"]) == (302, "pieces@test")
        assert Identity(answer["Identity"]).verifies(stirrup.certificate())


def test_what_two_readers_could_read_differently_is_refused():
    with Stirrup() as stirrup:
        for tcp in (False, True):
            with stirrup.client(tcp=tcp) as client:
                assert client.ask(client.request(headers=["X-A: a\rIdentity: b"])).status == 400
                assert client.ask(client.request()).has("Identity")
        with stirrup.client() as client:
            for invite in (client.request(headers=["no header field"]), client.request()[:-2],
                           client.request(body=b"v=0\r\n", content_length=6)):
                assert client.ask(invite).status == 400, invite


def test_faults_in_what_is_not_read_here_are_no_reason_to_refuse_a_call():
    """RFC 3261 section 16.3."""
    with Stirrup() as stirrup, stirrup.client() as client, stirrup.client(tcp=True) as tcp:
        for headers in (["Via: SIP/1.0/UDP h.example"], ["Content-Type: ;"], ["Require: ,;"], ["Record-Route: <sip:a"],
                        ["Max-Forwards: many"], ["Session-Expires: never"]):
            assert client.ask(client.request(headers=headers)).has("Identity"), headers
            assert tcp.ask(tcp.request(headers=headers)).has("Identity"), headers
        assert client.ask(client.request(from_=f"J\u00f6rg (home) <sip:{OWN}@example.net>;tag=1")).has("Identity")


def test_crlf_before_a_request_over_tcp_is_ignored():
    """RFC 3261 section 7.5; RFC 5626 section 3.5.1: a keep-alive may stand right before a request."""
    with Stirrup() as stirrup:
        for before in (b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n"):
            with stirrup.client(tcp=True) as client:
                answer = client.ask(before + client.request())
                assert answer.has("Identity")
                client.send(before)
                time.sleep(0.1)
                assert client.ask(client.request()).has("Identity")


def test_crlf_between_requests_over_tcp_is_ignored():
    """However the connection cuts them into pieces."""
    with Stirrup() as stirrup:
        for between in (b"\r\n", b"\r\n\r\n", b"\n" * 9, b"\r\n" * 20000):
            for body in (b"", b"INVITE sip:a SIP/2.0\r\n\r\n\r\nSIP/2.0 200 OK\r\n\r\n"):
                with stirrup.client(tcp=True) as client:
                    client.send(between.join(client.request(call_id=f"{i}@crlf", body=body) for i in range(4)) + between)
                    answers = [client.receive() for _ in range(4)]
                    assert {answer["Call-ID"] for answer in answers if answer} == {f"{i}@crlf" for i in range(4)}, answers
        with stirrup.client(tcp=True) as client:
            first, second = client.request(), client.request()
            # The second start line comes in two pieces.
            for cut in (0, 1, 6, 20, second.index(b"\r\n"), second.index(b"\r\n") + 1, second.index(b"\r\n") + 2):
                client.send(first + b"\r\n\r\n" + second[:cut])
                time.sleep(0.05)
                client.send(second[cut:])
                assert client.receive() is not None and client.receive() is not None, f"cut at {cut}"


def test_ipv6_is_served_over_udp_and_tcp():
    with Stirrup() as stirrup:
        for tcp in (False, True):
            with stirrup.client("::1", tcp=tcp) as client:
                answer = client.call()
                assert Identity(answer["Identity"]).claims["attest"] == "A"
                assert f"@[::1]:{client.port}" in answer.contact_uri()


def test_contact_is_the_request_uris_user_at_the_senders_host_and_port():
    with Stirrup() as stirrup, stirrup.client() as client:
        for user in (DEST, f"{DEST};npdi;rn=+12155550000", f"{DEST};tgrp=tg-1;trunk-context=example.net", "2155551213",
                     "+1-215-555-1213"):
            answer = client.call(uri=f"sip:{user}@{client.server};user=phone")
            assert answer.status == 302
            contact = answer.contact_uri()
            assert re.fullmatch(re.escape(f"sip:{user}@{client.here}") + r"(;.*)?", contact), contact


def test_contact_has_the_vias_host_and_port_also_when_they_are_not_the_source():
    with Stirrup() as stirrup, stirrup.client() as client:
        via = f"SIP/2.0/UDP 127.0.0.1:5099;rport;branch={new_branch()}"
        answer = client.ask(client.request(via=via))
        assert f"{DEST}@127.0.0.1:5099" in answer.contact_uri(), answer.contact_uri()


def test_contact_is_built_from_next_hop_where_it_is_set():
    with Stirrup() as stirrup, stirrup.client(NEXT_HOP) as client:
        answer = client.call(uri=f"sip:{DEST};rn=+12155550000@{client.server}", call_id="hop@test")
        assert f"sip:{DEST};rn=+12155550000@198.51.100.7:5070" in answer.contact_uri()
        assert "198.51.100.7:5070" in stirrup.wait_for_record(call_id="hop@test")["next_hop"]


def test_contact_is_never_the_request_uri():
    """RFC 3261 section 8.3: a redirect to where the request went already is a loop."""
    with Stirrup() as stirrup, stirrup.client() as client:
        for uri in (f"sip:{DEST}@{client.here}", f"sip:{DEST}@{client.here};user=phone", f"SIP:{DEST}@{client.here}"):
            answer = client.call(uri=uri)
            if answer.status == 302:
                assert answer.contact_uri().lower() != uri.lower()


def test_many_peers_share_a_source_port():
    """The peer is the source address; what a request says of itself does not count."""
    with Stirrup() as stirrup:
        with Client(stirrup.port, CORE) as mine, Client(stirrup.port, STRICT, source_port=mine.port) as strict:
            assert mine.call(from_=f"<sip:{OTHER}@{mine.here}>").status == 302
            assert strict.call(from_=f"<sip:{OTHER}@{mine.here}>").status == 603


def test_compact_header_names_and_odd_spacing_are_read():
    with Stirrup() as stirrup, stirrup.client() as client:
        invite = (f"INVITE sip:{DEST}@{client.server} SIP/2.0\r\n"
                  f"v:   SIP/2.0/UDP   {client.here} ;branch={new_branch()}\r\n"
                  f"f: Alice\r\n <sip:{OWN}@{client.here}>\r\n\t;tag=folded\r\n"
                  f"t : sip:{DEST}@{client.server}\r\ni: compact@test\r\nCSEQ: 1\r\n INVITE\r\n"
                  f"m: <sip:{OWN}@{client.here}>\r\nl: 0\r\n\r\n").encode()
        answer = client.ask(invite)
        assert answer.status == 302
        claims = Identity(answer["Identity"]).claims
        assert (claims["orig"]["tn"], claims["dest"]["tn"]) == (OWN[1:], [DEST[1:]])


def test_idle_connections_hinder_nobody():
    with Stirrup() as stirrup, contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", stirrup.port)))
        with stirrup.client() as udp, stirrup.client(tcp=True) as tcp:
            assert udp.call().status == 302
            assert tcp.call().status == 302


# It loads the machine.
test_a_thousand_calls_a_second_are_all_signed_and_recorded.alone = True
