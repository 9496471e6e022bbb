"""What both ways to forward have in common: a whole call passes, and arrives as it was sent."""

import asyncio
import contextlib
import re
import time
from email.utils import formatdate

from forwarding import (CALLEE, CALLEE_MOVED, CALLER, CALLER_MOVED, OTHER_PEER, SECOND_HOP, STIRRUP_MODES, STRANGER, World,
                        scenario)
from harness import DEST, OWN, Identity, free_port
from parties import SDP, Message, Party, Uri, build, hostport, uri_of

NULS = bytes(range(256)) + b"\0\r\n\r\nSIP/2.0 200 OK\r\n\r\n\0"
MULTIPART = (b"--b\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--b\r\nContent-Type: application/isup;version=ansi\r\n"
             b"Content-Disposition: signal;handling=optional\r\n\r\n" + NULS + b"\r\n--b--\r\n")

# Nobody owns these: unknown ones, every odd way to write one, those that are there twice.
ODD_HEADERS = (
    "X-Empty:",
    "x-lower: a",
    "X-Spaced  :   b  ",
    "X-Folded: one\r\n two\r\n\tthree",
    "Subject: \u00e9\u4e2d\u6587 \"quoted, <comma>\" ;x=y",
    "k: 100rel, timer",
    "User-Agent: A/1.0 (\\\"odd\\\")",
    "User-Agent: B/2.0",
    "P-Charge-Info: <sip:+12155551200@192.0.2.1;npi=ISDN;noa=2>",
    "History-Info: <sip:+13035550111@192.0.2.2?Reason=SIP%3Bcause%3D302>;index=1, <sip:a@b.example>;index=1.1",
    "Diversion: <tel:+13035550111>;reason=unconditional;counter=1",
    "P-Early-Media: supported",
    "Privacy: none",
    "Geolocation: <cid:target123@atlanta.example.com>",
    "Warning: 399 x \"y\"",
    "X-Last: " + "z" * 900,
)


@scenario()
async def a_whole_call_passes_and_is_recorded(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        await near.end(far)
        if mode != "kamailio":
            expected = {"sign": {"result": "signed", "customer": "acme", "attest": "A"},
                        "verify": {"result": "no_validation", "reason": "no_identity"}}[service]
            record = world.record(near.call_id, final_status=200, orig=OWN[1:], dest=[DEST[1:]], **expected)
            assert f"{CALLEE}:{world.callee.port}" in record["next_hop"], record


@scenario()
async def the_callee_ends_it(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        bye = far.send("BYE", ["Reason: Q.850;cause=16;text=\"bye\""])
        incoming = await near.expect("BYE")
        world.check_request(bye.request, incoming.request)
        sent = incoming.respond(200, "Fine", ["X-Stat: 1"])
        world.check_response(sent, await bye.expect(200), changed=("To",))


@scenario()
async def odd_headers_and_bodies_arrive_as_they_were_sent(mode, service):
    multipart = [*ODD_HEADERS, "c: multipart/mixed;boundary=b", "MIME-Version: 1.0"]
    async with World(mode, service) as world:
        call = world.caller.invite(headers=multipart, body=MULTIPART)
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        for status, phrase in ((183, "Session   Progress \u00e9"), (180, "")):
            sent = incoming.respond(status, phrase, multipart, MULTIPART)
            world.check_response(sent, await call.expect(status))
        far = incoming.accept(headers=multipart, body=MULTIPART)
        response = await call.expect(200)
        world.check_response(Message(incoming.sent[-1]), response)
        near = call.dialog(response)
        ack = near.ack(headers=multipart, body=MULTIPART)
        world.check_request(ack, await incoming.acknowledged())
        for one, other in ((near, far), (far, near)):
            sent = one.send("INFO", [*ODD_HEADERS, "Content-Type: application/octet-stream"], NULS)
            incoming = await other.expect("INFO")
            world.check_request(sent.request, incoming.request)
            answer = incoming.respond(200, "Really OK", ODD_HEADERS, NULS)
            world.check_response(answer, await sent.expect(200), changed=("To",))
        sent = near.send("BYE", ODD_HEADERS, b"why not")
        incoming = await far.expect("BYE")
        world.check_request(sent.request, incoming.request)
        world.check_response(incoming.respond(200, None, ODD_HEADERS, NULS), await sent.expect(200))


# Each with a value that it cannot have, and of none is it for us to say so (RFC 3261 sections 8.2 and 16.3).
MALFORMED_HEADERS = ("RSeq: x", "Expires: never", "Event: ;", "Session-Expires: soon", "Min-SE:", "RAck: x", "Subscription-State:",
                     "Warning: 399", "Retry-After: x(", "Date: today", "Call-Info: <", "Timestamp: 1 2 3", "Refer-To: <", "Allow: ,,",
                     "Require: ,", "Referred-By: <", "Proxy-Authorization:", "Replaces: ;", "Reason: ;", "Path: <", "Server: ((")


@scenario(modes=STIRRUP_MODES)
async def malformed_headers_that_nobody_needs_pass_by_every_transport(mode, service):
    for transport in ("udp", "tcp"):
        async with World(mode, service, near=transport, far=transport) as world:
            for header in MALFORMED_HEADERS:
                if service == "sign" and header.startswith("Date"):
                    continue  # which is looked at
                call = world.caller.invite(headers=[header])
                incoming = await world.callee.incoming()
                world.check_invite(call.request, incoming.request)
                sent = incoming.respond(183, None, [header])
                world.check_response(sent, await call.expect(183))
                near, far = await world.answer(call, incoming, headers=[header])
                sent = near.send("INFO", [header])
                asked = await far.expect("INFO")
                world.check_request(sent.request, asked.request)
                asked.respond(200, None, [header])
                await sent.expect(200)
                await far.end(near)


@scenario()
async def long_bodies_pass(mode, service):
    body = NULS * 230  # some 64 KB with the header
    body = body[:60000]
    kind = ["Content-Type: application/octet-stream"]
    async with World(mode, service) as world:
        call = world.caller.invite(headers=kind, body=body)
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        far = incoming.accept(headers=kind, body=body)
        response = await call.expect(200)
        assert response.body == body
        near = call.dialog(response)
        near.ack()
        await incoming.acknowledged()
        for one, other in ((near, far), (far, near)):
            request, _ = await one.ask(other, "MESSAGE", kind, body)
            assert request.body == body
        await far.end(near)


@scenario()
async def the_order_and_the_form_of_the_lines_stay(mode, service):
    """Compact names, everything in another order, lists in one line."""
    async with World(mode, service) as world:
        caller = world.caller
        tail = [f"m: {caller.contact}", "y-unknown: 1", "s:", "c: application/sdp", "i: form@parties", "X-A: 1",
                f"f: \"A. \\\"G\\\"\" <sip:{OWN}@{caller.host}:{caller.port};user=phone>;x=1;tag=compact",
                "Max-Forwards: 15", "CSeq: 5   INVITE", f"t: <sip:{DEST}@127.0.0.1:{world.port};user=phone>",
                f"v: {caller.via()}"]
        raw = build(f"INVITE sip:{DEST};npdi@127.0.0.1:{world.port};user=phone SIP/2.0", tail, SDP)
        call = caller.send(raw.replace(b"Content-Length", b"l"))
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        sent = incoming.respond(404, "No \"such\" thing")
        world.check_response(sent, await call.expect(404))
        await incoming.acknowledged(None)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_bare_line_feed_does_not_hold_up_a_connection(mode, service):
    """Who looks for CRLF alone would take what follows for a part of that head."""
    body = b"X-Smuggled: 1\r\n\r\nrest"
    async with World(mode, service, far="tcp") as world:
        near, far = await world.connect()
        raw, place = near.request("INFO", ["X-Last: 1"], body)
        sent = world.caller.send(raw, place)
        asked = await far.expect("INFO")
        asked.respond(200)
        await sent.expect(200)
        raw, _ = near.request("INFO", ["X-Last: 2"], body)
        head, _, _ = raw.partition(b"\r\n\r\n")
        world.caller.here.udp.sendto(head.replace(b"\r\nX-Last", b"\nX-Last") + b"\n\r\n" + body, place[:2])
        asked = await far.expect("INFO")
        assert asked.request.body == body and asked.request["X-Last"] == "2" and not asked.request.has("X-Smuggled"), asked
        await near.offer(far)
        await far.end(near)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_nul_in_a_header_touches_no_other_call(mode, service):
    """What is cut off there would have the message behind it, of any call, taken for its rest."""
    async with World(mode, service, far="tcp") as world:
        near, far = await world.connect()
        for method in ("INFO", "ACK", "BYE"):
            for header in (b"To: <sip:\0", b"X-Last: \0", b"X-Last: \"\\\0\"", b"CSeq\0: ", b"Via: \0, "):
                raw, place = near.request(method, ["X-Last: 1"])
                name = header.split(b":")[0].strip(b"\0")
                world.caller.here.udp.sendto(re.sub(rb"(?m)^" + name + rb": ", lambda _: header, raw, count=1), place[:2])
        other_near, other_far = await world.connect()
        assert not world.callee.left(), world.callee.left()
        await other_near.end(other_far)
        world.caller.unexpected.clear()  # the errors that it got
        near.cseq += 20
        await near.offer(far)
        await far.end(near)


@scenario()
async def early_media_and_an_offerless_invite_pass(mode, service):
    async with World(mode, service) as world:
        call = world.caller.invite(body=b"")
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        sent = incoming.respond(183, None, ["Content-Type: application/sdp", "P-Early-Media: sendrecv"], SDP)
        world.check_response(sent, await call.expect(183))
        far = incoming.accept()
        near = call.dialog(await call.expect(200))
        ack = near.ack(headers=["Content-Type: application/sdp"], body=SDP)
        world.check_request(ack, await incoming.acknowledged())
        assert (await incoming.acknowledged()).body == SDP
        await near.end(far)


@scenario()
async def early_dialogs_of_a_fork_stay_apart(mode, service):
    async with World(mode, service) as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        for tag in ("a", "b", "c"):
            sent = incoming.respond(180, tag=tag, headers=[f"X-Fork: {tag}"])
            response = await call.expect(180)
            world.check_response(sent, response)
            assert response.to_tag == tag or mode == "b2bua"
        far = incoming.accept("b")
        response = await call.expect(200)
        assert response.to_tag == "b"
        near = call.dialog(response)
        near.ack()
        await incoming.acknowledged("b")
        await far.end(near)


@scenario()
async def each_of_several_2xx_is_acknowledged_end_to_end(mode, service):
    """RFC 6026, RFC 3261 section 13.2.2.4."""
    async with World(mode, service) as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        ends = {}
        for tag in ("a", "b", "c"):
            ends[tag] = incoming.accept(tag, body=SDP + tag.encode())
            response = await call.expect(200)
            assert response.to_tag == tag and response.body == SDP + tag.encode(), response
            near = call.dialog(response)
            near.ack(headers=[f"X-For: {tag}"])
            assert (await incoming.acknowledged(tag))["X-For"] == tag
            ends[tag] = (near, ends[tag])
        await ends["a"][0].end(ends["a"][1])
        await ends["c"][1].end(ends["c"][0])
        await ends["b"][1].offer(ends["b"][0])
        await ends["b"][0].end(ends["b"][1])


@scenario()
async def a_repeated_2xx_gets_its_ack_again(mode, service):
    """Nobody acknowledges it for the caller."""
    async with World(mode, service) as world:
        call, incoming = await world.ring()
        far = incoming.accept()
        response = await call.expect(200)
        await asyncio.sleep(0.8)  # the callee says it again
        assert not incoming.acks["callee"].done()
        near = call.dialog(response)
        near.ack()
        await incoming.acknowledged()
        await far.end(near)


@scenario()
async def reliable_responses_and_prack_pass(mode, service):
    """RFC 3262; UPDATE from both sides before the call is answered (RFC 3311)."""
    rel = ["Require: 100rel", "Supported: 100rel"]
    async with World(mode, service) as world:
        call = world.caller.invite(headers=["Supported: 100rel", "Allow: INVITE, ACK, PRACK, UPDATE"])
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        sides = {}
        for tag, number in (("a", 1), ("b", 7001), ("a", 2)):
            sent = incoming.respond(183, None, [*rel, f"RSeq: {number}", "Content-Type: application/sdp"], SDP, tag=tag)
            response = await call.expect(183)
            world.check_response(sent, response)
            near = call.dialog(response)
            far = sides.setdefault(tag, incoming.dialog(tag))
            prack = near.send("PRACK", [f"RAck: {number} {call.request.cseq} INVITE", "Content-Type: application/sdp"], SDP)
            arrived = await far.expect("PRACK")
            world.check_request(prack.request, arrived.request)
            answer = arrived.respond(200, None, ["Content-Type: application/sdp"], SDP)
            world.check_response(answer, await prack.expect(200))
        near, far = call.dialog(response), sides["a"]
        await far.offer(near, "UPDATE")
        await near.offer(far, "UPDATE")
        near, far = await world.answer(call, incoming, "a")
        await near.end(far)


@scenario()
async def both_sides_change_their_contact_as_often_as_they_like(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        for method, far_host, near_host in (("INVITE", None, None), ("UPDATE", CALLEE_MOVED, CALLER_MOVED),
                                            ("INVITE", CALLEE, CALLER)):
            for one, other, party, host in ((far, near, world.callee, far_host), (near, far, world.caller, near_host)):
                await party.move(host)
                request, response = await one.offer(other, method)
                if mode == "b2bua":
                    assert Uri(request.contact).port == world.port and Uri(response.contact).port == world.port
                else:
                    assert request["Contact"] == party.contact
                # What comes next goes there.
                asked, _ = await other.ask(one, "INFO")
                assert asked.by is party.here, f"{method}: not at the new Contact: {asked}"
        await far.end(near)


@scenario()
async def a_changed_contact_in_the_answer_counts_too(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        for one, other, party in ((near, far, world.callee), (far, near, world.caller)):
            sent = one.send("INVITE", ["Content-Type: application/sdp"], SDP)
            incoming = await other.expect("INVITE")
            await party.move()
            incoming.respond(200, None, ["Content-Type: application/sdp"], SDP)
            await sent.expect(200)
            one.ack(sent)
            assert (await incoming.acknowledged()).by is party.here
            asked, _ = await one.ask(other, "INFO")
            assert asked.by is party.here
        await near.end(far)


@scenario(modes=STIRRUP_MODES)
async def a_late_repeat_of_an_answer_does_not_bring_an_old_contact_back(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        for one, other, party in ((near, far, world.callee), (far, near, world.caller)):
            sent = one.send("INVITE", ["Content-Type: application/sdp"], SDP)
            incoming = await other.expect("INVITE")
            incoming.respond(200, None, ["Content-Type: application/sdp"], SDP)
            await sent.expect(200)
            one.ack(sent)
            await incoming.acknowledged()
            await party.move()
            await other.offer(one, "UPDATE")
            incoming.send(incoming.sent[-1])
            asked, _ = await one.ask(other, "INFO")
            assert asked.by is party.here, asked
        await near.end(far)


@scenario()
async def a_refused_reinvite_changes_nothing(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        for status, (one, other) in zip((488, 491, 500), ((near, far), (far, near), (near, far))):
            sent = one.send("INVITE", ["Content-Type: application/sdp"], SDP)
            incoming = await other.expect("INVITE")
            answer = incoming.respond(status, "Not Now", ["Warning: 304 x \"y\"", "Retry-After: 7"])
            world.check_response(answer, await sent.expect(status), changed=("To",))
            ack = await incoming.acknowledged(None)
            assert ack["CSeq"] == f"{sent.request.cseq} ACK"
        await near.offer(far)
        await far.end(near)


@scenario()
async def a_reinvite_is_cancelled(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        for one, other, party in ((near, far, world.callee), (far, near, world.caller)):
            sent = one.send("INVITE", ["Content-Type: application/sdp"], SDP)
            incoming = await other.expect("INVITE")
            incoming.respond(180)
            await sent.expect(180)
            cancel = sent.cancel()
            (await party.cancelled(incoming)).respond(200)
            await cancel.expect(200)
            incoming.respond(487)
            await sent.expect(487)
            await incoming.acknowledged(None)
        await near.offer(far)
        await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def signing_adds_what_a_redirect_would_have_returned(mode, service):
    """The peer at 127.0.0.1 has the same customer, and mode "redirect"."""
    async with World(mode, service) as world, world.party("127.0.0.1") as redirected:
        for headers in ([], ["P-Asserted-Identity: <tel:+12155551299>"], ["Date: " + formatdate(usegmt=True)]):
            sent = redirected.invite(headers=headers)
            answer = await sent.expect(302)
            call = world.caller.invite(headers=headers)
            incoming = await world.callee.incoming()
            mine, other = Identity(incoming.request["Identity"]), Identity(answer["Identity"])
            assert mine.verifies(world.stirrup.certificate())
            assert (mine.header_text, mine.info) == (other.header_text, other.info)
            for identity in (mine, other):
                identity.claims.pop("origid")  # of one call each
                assert abs(identity.claims.pop("iat") - time.time()) < 60
            assert mine.claims == other.claims
            assert incoming.request.has("Date") and answer.has("Date")
            incoming.respond(486)
            await call.expect(486)
            await incoming.acknowledged(None)


@scenario()
async def reinvites_that_cross_and_fail_end_nothing(mode, service):
    """RFC 3261 section 14.1; whether to go on after a 481 or 408 is the ends' business (12.2.1.2)."""
    sdp = ["Content-Type: application/sdp"]
    async with World(mode, service) as world:
        near, far = await world.connect()
        sent = [one.send("INVITE", sdp, SDP) for one in (near, far)]
        arrived = [await other.expect("INVITE") for other in (far, near)]
        for incoming in arrived:
            incoming.respond(491)
        for outgoing in sent:
            await outgoing.expect(491)
        for incoming in arrived:
            await incoming.acknowledged(None)
        for one, other in ((near, far), (far, near)):
            for status in (481, 408, 422, 488, 503):
                outgoing = one.send("INVITE", [*sdp, "Session-Expires: 90"], SDP)
                incoming = await other.expect("INVITE")
                answer = incoming.respond(status, None, ["Min-SE: 900", "Retry-After: 5"])
                # A verified call's callee may have seen another form of what is its To here.
                world.check_response(answer, await outgoing.expect(status), ("To",) if service == "verify" else ())
                await incoming.acknowledged(None)
            await one.offer(other)
        await near.end(far)


@scenario()
async def requests_that_cross_an_answer_or_the_end_pass(mode, service):
    async with World(mode, service) as world:
        # PRACK and 200.
        call = world.caller.invite(headers=["Supported: 100rel"])
        incoming = await world.callee.incoming()
        incoming.respond(183, None, ["Require: 100rel", "RSeq: 7"])
        near = call.dialog(await call.expect(183))
        prack = near.send("PRACK", [f"RAck: 7 {call.request.cseq} INVITE"])
        far = incoming.accept()
        arrived = await far.expect("PRACK")
        await call.expect(200)
        near.ack()
        await incoming.acknowledged()
        arrived.respond(200)
        await prack.expect(200)
        # BYE and re-INVITE.
        reinvite = near.send("INVITE", ["Content-Type: application/sdp"], SDP)
        offered = await far.expect("INVITE")
        bye = far.send("BYE")
        (await near.expect("BYE")).respond(200)
        await bye.expect(200)
        offered.respond(487)
        await reinvite.expect(487)
        await offered.acknowledged(None)
        # BYE and BYE.
        near, far = await world.connect()
        sent = [one.send("BYE") for one in (near, far)]
        arrived = [await other.expect("BYE") for other in (far, near)]
        for bye, incoming, status in zip(sent, arrived, (200, 481)):
            incoming.respond(status)
            await bye.expect(status)


@scenario()
async def a_fork_that_ends_early_and_one_that_answers_late_stay_apart(mode, service):
    """RFC 6228; a 2xx of a fork that has not rung."""
    async with World(mode, service) as world:
        call, incoming = await world.ring("a")
        for status, tag in ((180, "b"), (199, "b")):
            sent = incoming.respond(status, None, ["Reason: SIP;cause=486"], tag=tag)
            world.check_response(sent, await call.expect(status))
        near, far = await world.answer(call, incoming, "a")
        late_near, late_far = await world.answer(call, incoming, "c")
        await late_near.end(late_far)
        await near.offer(far)
        await far.offer(near)
        await far.end(near)


@scenario()
async def every_method_passes_within_a_call(mode, service):
    requests = (
        ("INFO", ["Info-Package: dtmf", "Content-Type: application/dtmf-relay"], b"Signal=1\r\nDuration=100\r\n"),
        ("REFER", ["Refer-To: <sip:+13035550100@192.0.2.5?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>",
                   "Referred-By: <sip:x@192.0.2.6>"], b""),
        ("NOTIFY", ["Event: refer;id=2", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag"],
         b"SIP/2.0 100 Trying\r\n"),
        ("MESSAGE", ["Content-Type: text/plain"], "h\u00e9".encode()),
        ("OPTIONS", ["Accept: application/sdp"], b""),
        ("SUBSCRIBE", ["Event: kpml", "Expires: 60"], b""),
        ("FROBNICATE", ["X-Unknown: yes"], NULS),
    )
    async with World(mode, service) as world:
        near, far = await world.connect()
        for method, headers, body in requests:
            for one, other in ((near, far), (far, near)):
                sent = one.send(method, headers, body)
                incoming = await other.expect(method)
                world.check_request(sent.request, incoming.request)
                status = 202 if method == "REFER" else 200
                answer = incoming.respond(status, None, ["X-Answer: 1"])
                world.check_response(answer, await sent.expect(status), changed=("To",))
        await far.end(near)


@scenario()
async def session_timers_pass(mode, service):
    """RFC 4028: both headers, 422 and the refresh."""
    async with World(mode, service) as world:
        timer = ["Supported: timer", "Session-Expires: 90;refresher=uac", "Min-SE: 90"]
        call = world.caller.invite(headers=timer)
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        answer = incoming.respond(422, "Session Interval Too Small", ["Min-SE: 1800"])
        world.check_response(answer, await call.expect(422))
        await incoming.acknowledged(None)
        timer = ["Supported: timer", "x: 1800;refresher=uas", "Min-SE: 1800"]
        call = world.caller.invite(headers=timer)
        incoming = await world.callee.incoming()
        far = incoming.accept(headers=["Require: timer", "Session-Expires: 1800;refresher=uas"])
        response = await call.expect(200)
        assert response["Session-Expires"] == "1800;refresher=uas" and response["Require"] == "timer"
        near = call.dialog(response)
        near.ack()
        await incoming.acknowledged()
        request, _ = await far.offer(near, "UPDATE", ["Session-Expires: 1800;refresher=uac", "Supported: timer"], b"", b"")
        assert request["Session-Expires"] == "1800;refresher=uac"
        await far.end(near)


@scenario()
async def refusals_come_back_as_they_are(mode, service):
    block = ['Reason: SIP;cause=603;text="v=analytics1";location=LN', "Call-Info: <https://x.example/card>;purpose=jwscard"]
    cases = (
        (404, "Not Found", ["Reason: Q.850;cause=1;text=\"Unallocated\""], b""),
        (401, "Unauthorized", ['WWW-Authenticate: Digest realm="a", nonce="b"', 'WWW-Authenticate: Basic realm="c"'], b""),
        (486, "Besetzt", ["Retry-After: 60 (lunch)"], b""),
        (480, "", [], b""),
        (503, "Full", ["Retry-After: 2"], b""),
        (600, "Busy Everywhere", [], NULS),
        (603, "Network Blocked", block, b""),
        (607, "Unwanted", [], b""),
        (608, "Rejected", ["Call-Info: <https://x.example/card>;purpose=jwscard"], b"text"),
        (428, "Use Identity Header", ['Reason: STIR;cause=428;text="Use Identity Header"'], b""),
        (302, "Moved Temporarily", ["Diversion: <tel:+13035550111>;reason=unconditional"], b""),
    )
    async with World(mode, service) as world:
        for status, phrase, headers, body in cases:
            if (mode, status) == ("kamailio", 503):
                continue  # which it makes a 500
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            incoming.respond(100)
            contact = "<sip:+13035550123;tgrp=x@192.0.2.77>;q=0.5" if status == 302 else False
            sent = incoming.respond(status, phrase, headers, body, contact=contact)
            response = await call.expect(status)
            world.check_response(sent, response)
            assert response.has("Contact") == bool(contact), response
            ack = await incoming.acknowledged(None)
            assert ack.branch == incoming.request.branch and ack.to_tag == "callee"
            if mode != "kamailio":
                world.record(call.request.call_id, final_status=status)


def signature_of(request):
    return request["Identity"].split(";")[0].split(".")[2]


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_reason_about_our_own_token_ends_here_and_is_recorded(mode, service):
    """RFC 9410 section 7."""
    async with World(mode, service) as world:
        others = ['Reason: STIR;cause=436;text="Bad Identity Info";ppi="..' + "A" * 86 + '"', "Reason: STIR;cause=438",
                  'Reason: Q.850;cause=21;text="ppi=.."']
        for status in (436, 603):
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            signature, token = signature_of(incoming.request), incoming.request["Identity"].split(";")[0]
            own = [f'Reason: STIR;cause=436;text="Bad Identity Info";ppi="..{signature}"',
                   f'reason : stir ; cause=438 ;  PPI = "{token}"', f"Reason: STIR;ppi=..{signature}"]
            for step in (183, status):
                incoming.respond(step, headers=[own[0], others[0], own[1], *others[1:], own[2],
                                                f'Reason: SIP;cause=600, STIR;cause=436;ppi="..{signature}", Q.850;cause=16'])
                response = await call.expect(step)
                lines = [line for name, _, line in response.lines if name.lower() == "reason"]
                assert lines == [*others, "Reason: SIP;cause=600, Q.850;cause=16"], lines
            await incoming.acknowledged(None)
            record = world.record(call.request.call_id, final_status=status, rejected_by=f"{CALLEE}:{world.callee.port}")
            assert record["rejection"].startswith(f"{status} ") and own[0] in record["rejection"], record
            assert record["note"].startswith(f"183 from {CALLEE}:{world.callee.port}; {own[0]}; Reason: STIR;cause=436;"), record
        # A call that is accepted all the same.
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        own = f'Reason: STIR;cause=436;ppi="..{signature_of(incoming.request)}"'
        incoming.respond(200, headers=[own])
        response = await call.expect(200)
        assert not response.has("Reason"), response
        near, far = call.dialog(response), incoming.dialog()
        near.ack()
        await incoming.acknowledged()
        world.record(near.call_id, final_status=200, rejected_by=None, rejection=None,
                     note=f"200 from {CALLEE}:{world.callee.port}; {own}")
        await near.end(far)


@scenario(modes=STIRRUP_MODES)
async def a_callee_that_rings_and_does_not_like_the_identity_is_recorded(mode, service):
    """RFC 9410 section 4: a Reason in a provisional response. Signed or verified, it is not about a token of ours."""
    reason = 'Reason: STIR;cause=436;text="Bad Identity Info"'
    async with World(mode, service) as world:
        by = f"{CALLEE}:{world.callee.port}"
        for final in (200, 486):
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            for status, headers in ((183, ["Reason: Q.850;cause=31"]), (180, ["Reason: Q.850;cause=31", reason]), (180, [reason]),
                                    (183, ["Reason: STIR;cause=438"])):
                sent = incoming.respond(status, headers=headers)
                response = await call.expect(status)
                world.check_response(sent, response)
                assert [f"Reason: {value}" for value in response.items("Reason")] == headers, response
            if final == 200:
                near, far = await world.answer(call, incoming)
                await near.end(far)
            else:
                incoming.respond(final, "Busy")
                await call.expect(final)
                await incoming.acknowledged(None)
            world.record(call.request.call_id, final_status=final, note=f"180 from {by}; {reason}",
                         rejection=None if final == 200 else f"{final} Busy")
        world.stirrup.wait_for_log(f"next hop {by}: 180 Ringing; Reason: Q.850;cause=31; {reason} (peer under-test, 1 times ")
        if mode == "b2bua":  # which knows that it was told already: once for each call
            assert " 4 times with" not in world.stirrup.log(), world.stirrup.log()


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def what_a_hop_says_of_the_identity_that_is_left_is_recorded(mode, service):
    """The caller sees only the hop that takes the call."""
    reason = 'Reason: STIR;cause=436;text="Bad Identity Info"'
    async with Party(SECOND_HOP, user=DEST) as second:
        hops = f'[ "sip:{CALLEE}:{{port}};transport=udp", "sip:{SECOND_HOP}:{second.port};transport=udp" ]'
        async with World(mode, service, hops=hops) as world:
            by = f"{CALLEE}:{world.callee.port}"
            second.server = ("127.0.0.1", world.port)
            call = world.caller.invite()
            first = await world.callee.incoming()
            first.respond(503, "Not By You", [reason])
            await first.acknowledged(None)
            incoming = await second.incoming()
            far = incoming.accept("callee")
            response = await call.expect(200)
            assert not response.has("Reason"), response
            near = call.dialog(response)
            near.ack()
            await incoming.acknowledged()
            world.record(near.call_id, final_status=200, note=f"503 from {by}; {reason}", rejected_by=None)
            world.stirrup.wait_for_log(f"next hop {by}: 503 Not By You; {reason} (peer under-test, 1 times ")
            await near.end(far)


@scenario(modes=STIRRUP_MODES)
async def rejections_pass_are_recorded_and_counted_in_the_log(mode, service):
    cases = ((403, "Stale Date", []), (428, "Use Identity Header", []), (436, "Bad Identity Info", []),
             (437, "Unsupported Credential", ['Reason: STIR;cause=437;text="Unsupported Credential"']),
             (438, "Invalid Identity Header", []),
             (603, "Network Blocked", ['Reason: SIP;cause=603;text="v=analytics1;url=https://x.example"',
                                       "Call-Info: <https://x.example/card>;purpose=jwscard"]),
             (607, "Unwanted", []), (608, "Rejected", ["Call-Info: <https://x.example/card>;purpose=jwscard"]))
    async with World(mode, service) as world:
        by = f"{CALLEE}:{world.callee.port}"
        for times in (1, 2, 3, 4):
            for status, phrase, headers in cases:
                call = world.caller.invite()
                incoming = await world.callee.incoming()
                sent = incoming.respond(status, phrase, headers, b"why", contact=False)
                world.check_response(sent, await call.expect(status))
                await incoming.acknowledged(None)
                reasons = "".join(f"; {line}" for line in headers if line.startswith("Reason"))
                record = world.record(call.request.call_id, final_status=status, rejected_by=by, note=None)
                assert record["rejection"] == f"{status} {phrase}{reasons}", record
                if times != 3:
                    world.stirrup.wait_for_log(f"next hop {by}: {status} {phrase}{reasons} (peer under-test, {times} times ")
        assert " 3 times with" not in world.stirrup.log(), "not each one is worth a line"
        # Nobody's judgement of the caller.
        for status in (404, 486, 480):
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            incoming.respond(status)
            await call.expect(status)
            await incoming.acknowledged(None)
            world.record(call.request.call_id, final_status=status, rejected_by=by)
            assert f"{by}: {status}" not in world.stirrup.log()


@scenario()
async def a_cancel_before_any_response_ends_the_call(mode, service):
    async with World(mode, service) as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        cancel = call.cancel(["Reason: SIP;cause=200;text=\"elsewhere\""])
        # RFC 3261 section 9.1: whoever keeps a transaction may wait for a provisional response.
        try:
            cancelled = await world.callee.cancelled(incoming, 0.4)
        except AssertionError:
            incoming.respond(180)
            cancelled = await world.callee.cancelled(incoming)
        assert mode != "forward" or cancelled.request["Reason"] == 'SIP;cause=200;text="elsewhere"'
        cancelled.respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        assert (await call.final()).status == 487
        await incoming.acknowledged(None)
        if mode != "kamailio":
            world.record(call.request.call_id, final_status=487)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def why_a_call_was_cancelled_reaches_the_callee(mode, service):
    """RFC 3326: a phone shows no missed call that another one has taken."""
    reasons = ['Reason: SIP;cause=200;text="Call completed elsewhere"', "reason : Q.850 ;cause=16\r\n ;text=\"a, b\""]
    for transport in ("udp", "tcp"):
        async with World(mode, service, near=transport, far=transport) as world:
            for ringing in (True, False):
                call = world.caller.invite()
                incoming = await world.callee.incoming()
                if ringing:
                    incoming.respond(180)
                    await call.expect(180)
                cancel = call.cancel(reasons)
                if not ringing:
                    incoming.respond(100)
                cancelled = await world.callee.cancelled(incoming)
                assert [line for name, _, line in cancelled.request.lines if name.lower() == "reason"] == reasons, cancelled
                cancelled.respond(200)
                await cancel.expect(200)
                incoming.respond(487)
                await call.expect(487)
                assert not (await incoming.acknowledged(None)).has("Reason")


@scenario()
async def a_cancel_while_it_rings_ends_the_call(mode, service):
    async with World(mode, service) as world:
        call, incoming = await world.ring()
        cancel = call.cancel()
        cancelled = await world.callee.cancelled(incoming)
        assert cancelled.request.uri == incoming.request.uri
        assert cancelled.request["CSeq"] == f"{incoming.request.cseq} CANCEL"
        assert cancelled.request.branch == incoming.request.branch and len(cancelled.request.items("Via")) <= 2
        cancelled.respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        ack = await incoming.acknowledged(None)
        assert ack.branch == incoming.request.branch


@scenario()
async def a_cancel_that_crosses_the_200_ends_nothing(mode, service):
    async with World(mode, service) as world:
        call, incoming = await world.ring()
        far = incoming.accept()
        cancel = call.cancel()
        near = call.dialog(await call.expect(200))
        near.ack()
        await incoming.acknowledged()
        try:
            (await world.callee.cancelled(incoming, 0.3)).respond(200)
        except AssertionError:
            pass  # one that keeps a transaction has it ended by the 200 already
        assert (await cancel.final()).status in (200, 481)
        await near.offer(far)
        await near.end(far)


@scenario()
async def an_early_dialog_ends_with_bye(mode, service):
    """RFC 3261 section 15: a caller may."""
    async with World(mode, service) as world:
        call, incoming = await world.ring()
        far = incoming.dialog()
        near = call.dialogs.get("callee") or call.dialog(await ringing_again(call, incoming))
        await near.end(far)
        incoming.respond(487)
        await call.expect(487)
        await incoming.acknowledged(None)


async def ringing_again(call, incoming):
    incoming.respond(180, headers=["X-Again: 1"])
    return await call.expect(180)


@scenario()
async def max_forwards_is_counted_down(mode, service):
    async with World(mode, service) as world:
        call, incoming = await world.ring(max_forwards=1)
        assert incoming.request["Max-Forwards"] == "0"
        near, far = await world.answer(call, incoming)
        refused = near.send("INFO", max_forwards=0)
        await refused.expect(483)
        refused = far.send("BYE", max_forwards=0)
        await refused.expect(483)
        call = world.caller.invite(max_forwards=0)
        response = await call.expect(483)
        assert response.to_tag
        await world.callee.silence()
        call = world.caller.invite(max_forwards=None)
        incoming = await world.callee.incoming()
        assert 60 <= int(incoming.request["Max-Forwards"]) <= 70 or mode == "kamailio", incoming
        incoming.respond(486)
        await call.expect(486)
        await near.end(far)


@scenario()
async def switches_before_and_behind_keep_their_routes(mode, service):
    """Vias and Record-Routes of others, on both sides: the ends route through all of them."""
    async with World(mode, service) as world:
        caller, callee = world.caller, world.callee
        # The caller's and the callee's switches are the parties themselves.
        near_route = f"<sip:switch@{caller.host}:{caller.port};lr;near=1>"
        far_route = f"<sip:switch@{callee.host}:{callee.port};lr;far=1>"
        vias = ["SIP/2.0/UDP 10.1.2.3:5999;branch=z9hG4bKinner;received=192.0.2.200;rport=4711;x-mine=1",
                "SIP/2.0/TCP phone.invalid;branch=z9hG4bKphone"]
        call = world.caller.invite(headers=[f"Record-Route: {near_route}"], more_vias=vias)
        incoming = await callee.incoming()
        request = incoming.request
        world.check_invite(call.request, request)
        routes = request.items("Record-Route")
        if mode == "b2bua":
            assert routes == []
        else:
            assert routes[-1] == near_route and len(routes) == 2, routes
        sent = incoming.respond(180, record_routes=[far_route, *routes])
        ringing = await call.expect(180)
        world.check_response(sent, ringing)
        far_routes = [far_route, *routes]
        response = incoming.respond(200, record_routes=far_routes)
        accepted = await call.expect(200)
        # RFC 3261 section 12.1.1: what the caller's switches have put there comes back, and nothing else in mode "b2bua".
        assert accepted.items("Record-Route") == ([near_route] if mode == "b2bua" else far_routes), accepted
        near, far = call.dialog(accepted), incoming.dialog(response=response)
        # The caller's own switch is the first one of his route set: what it would do, he does himself.
        near.routes.remove(near_route)
        far.routes.remove(far_route)
        near.ack()
        arrived = await incoming.acknowledged()
        assert arrived.items("Route") == [far_route], arrived
        asked, _ = await near.ask(far, "INFO")
        assert asked.items("Route") == [far_route] and asked.uri == callee.contact_uri, asked
        asked, _ = await far.ask(near, "INFO")
        assert asked.items("Route") == [near_route] and asked.uri == caller.contact_uri, asked
        assert not asked.has("Record-Route")
        await far.end(near)


@scenario(modes=STIRRUP_MODES)
async def a_route_to_us_is_taken_off(mode, service):
    """A switch may send a first INVITE with a Route to its next hop."""
    async with World(mode, service) as world:
        call = world.caller.invite(routes=[f"<sip:127.0.0.1:{world.port};lr>"])
        incoming = await world.callee.incoming()
        assert not incoming.request.has("Route"), incoming
        incoming.respond(486)
        await call.expect(486)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_repeated_invite_has_the_same_identity_and_counts_once(mode, service):
    async with World(mode, service, tolerant=True) as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        first = incoming.request
        world.callee.requests.clear()
        for _ in range(3):
            await asyncio.sleep(0.5)
            world.caller.transmit(call.request.raw, call.place)
        await asyncio.sleep(0.3)
        again = [item for item in world.callee.new_calls.items if item.method == "INVITE"]
        assert all(item.request.raw == first.raw for item in again), (first, again)
        assert again or mode == "b2bua"
        incoming.respond(180)
        await call.expect(180)
        world.callee.new_calls.items.clear()
        incoming.respond(486)
        await call.expect(486)
        world.record(call.request.call_id, final_status=486)
        assert len(world.stirrup.records()) == 1


@scenario(modes=STIRRUP_MODES)
async def a_request_that_comes_back_is_refused(mode, service):
    """482 or 483, whatever the callee's switch does (RFC 3261 section 16.3, RFC 5393)."""
    async with World(mode, service, more_near=[CALLEE], tolerant=True) as world:
        world.caller.invite()
        incoming = await world.callee.incoming()
        for rounds in range(1, 76):
            request = incoming.request
            lines = [f"Max-Forwards: {int(request['Max-Forwards']) - 1}" if name == "Max-Forwards" else line
                     for name, _, line in request.lines if name != "Content-Length"]
            again = world.callee.send(build(request.start, [f"Via: {world.callee.via()}", *lines], request.body),
                                      ("127.0.0.1", world.port, "udp"))
            done = asyncio.ensure_future(again.responses.get(lambda item: item.status >= 200, 4, "482"))
            back = asyncio.ensure_future(world.callee.incoming(seconds=4))
            await asyncio.wait((done, back), return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                back.cancel()
                assert done.result().start in ("SIP/2.0 482 Loop Detected", "SIP/2.0 483 Too Many Hops"), done.result()
                break
            done.cancel()
            incoming = back.result()
        else:
            raise AssertionError("it went round and round")
        print(f"{done.result().status} after {rounds} rounds")


@scenario(modes=STIRRUP_MODES)
async def strangers_within_a_call_get_no_answer(mode, service):
    async with World(mode, service) as world, world.party(STRANGER) as stranger, world.party(OTHER_PEER) as other:
        near, far = await world.connect()
        for dialog in (near, far):
            for method in ("BYE", "INFO", "INVITE", "ACK"):
                raw, place = dialog.request(method, via=stranger.via())
                sent = stranger.send(raw, place)
                await sent.silence(0.2)
                sent.repeater.stop()
        await world.callee.silence(0.1)
        await world.caller.silence(0.1)
        assert not world.callee.stray_acks and not world.caller.stray_acks
        # Listed, but nobody's side of this call. A forwarder has the seal of its Route to go by.
        for dialog in (near, far) if mode == "b2bua" else ():
            raw, place = dialog.request("BYE", via=other.via())
            sent = other.send(raw, place)
            await asyncio.sleep(0.3)
            sent.repeater.stop()
            answers = [item.status for item in sent.responses.items]
            if answers == [200] or world.callee.left() or world.caller.left():
                raise AssertionError(f"another peer speaks within the call: {answers}")
            assert answers in ([], [481]), answers
        near.cseq, far.cseq = near.cseq + 10, far.cseq + 10
        await near.offer(far)
        await near.end(far)


@scenario(modes=STIRRUP_MODES)
async def a_request_of_no_call_is_481_and_its_ack_is_dropped(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        for one, party in ((near, world.caller), (far, world.callee)):
            local, remote = one.local, one.remote
            for parts in ({"call_id": "other@parties"}, {"to": remote + "x"}, {"from_": local + "x"},
                          {"from_": re.sub("tag=.*", "tag=zz", local), "to": re.sub("tag=.*", "tag=yy", remote)}):
                # A forwarder knows no tag but the caller's; the other end sees to the rest.
                if mode == "forward" and not {"call_id", "from_" if one is near else "to"} & set(parts):
                    continue
                raw, place = one.request("BYE", **parts)
                sent = party.send(raw, place)
                await sent.expect(481)
                raw, place = one.request("ACK", cseq=1, **parts)
                ack = party.send(raw, place)
                await ack.silence(0.1)
                ack.repeater.stop()
        await world.callee.silence(0.1)
        assert not world.callee.stray_acks and not world.caller.stray_acks
        # Without our own Route, at our address.
        raw, _ = near.request("BYE", call_id="another@parties")
        lines = [line for name, _, line in Message(raw).lines if name not in ("Route", "Content-Length")]
        sent = world.caller.send(build(f"BYE sip:{DEST}@127.0.0.1:{world.port} SIP/2.0", lines))
        await sent.expect(481)
        near.cseq, far.cseq = near.cseq + 10, far.cseq + 10
        await near.end(far)


@scenario()
async def a_call_that_has_ended_is_over(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        await near.end(far)
        sent = near.send("INFO")
        if mode != "b2bua":
            (await far.expect("INFO")).respond(481)  # nobody but the end knows
        await sent.expect(481)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_call_that_is_older_than_any_is_forgotten(mode, service):
    """dialogs.max_age; of a call with state, since it was last refreshed."""
    async with World(mode, service, dialogs='store = "dialogs"; max_age = "10s";') as world:
        old, refreshed = await world.connect(), await world.connect()
        await asyncio.sleep(6)
        for near, far in (old, refreshed):
            await near.ask(far, "INFO")
        await refreshed[1].offer(refreshed[0])
        await asyncio.sleep(6)
        for one, other in (old, old[::-1]):
            await one.send("INFO").expect(481)
        if mode == "b2bua":
            await refreshed[0].end(refreshed[1])
        else:
            # Nothing tells that it was refreshed; but to its end it can come.
            for method in ("INFO", "UPDATE", "INVITE"):
                await refreshed[0].send(method).expect(481)
            await refreshed[0].end(refreshed[1])
            await old[1].end(old[0])
        near, far = await world.connect()
        await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_cancel_while_the_call_waits_for_its_signature_ends_it(mode, service):
    async with World(mode, service, more='signer: { deadline = "2s"; };') as world:
        with world.signer_stopped():
            call = world.caller.invite()
            await asyncio.sleep(0.1)
            cancel = call.cancel()
            await cancel.expect(200)
            await call.expect(487)
            await world.callee.silence()
        record = world.record(call.request.call_id, final_status=487)
        assert record["reason"] == "cancelled", record
        near, far = await world.connect()
        await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def repeats_of_a_call_that_waits_for_its_signature_are_dropped(mode, service):
    """A 100 would silence the caller (RFC 3261 section 8.2.7), and one call is one signature."""
    async with World(mode, service, more='signer: { deadline = "2s"; };') as world:
        with world.signer_stopped():
            call = world.caller.invite()
            for _ in range(5):
                world.caller.transmit(call.request.raw, call.place)
            await asyncio.sleep(1)
            assert not call.responses.items, call.responses.items
            await world.callee.silence(0.1)
        incoming = await world.callee.incoming()
        call.repeater.stop()
        await asyncio.sleep(0.3)
        assert incoming.repeated == 0, incoming.repeated
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        world.record(call.request.call_id, result="signed", final_status=486)
        assert len(world.stirrup.records()) == 1


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_call_whose_signature_is_late_goes_on_without(mode, service):
    async with World(mode, service) as world:
        with world.signer_stopped():
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            assert not incoming.request.has("Identity"), incoming
        near, far = await world.answer(call, incoming)
        record = world.record(near.call_id, final_status=200, result="unsigned")
        assert record["reason"] == "signer_timeout", record
        await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def what_stays_unsigned_goes_on(mode, service):
    async with World(mode, service) as world:
        # Signed already: carried as it is (47 CFR 64.6302(b)).
        mine = "Identity: aaa.bbb.ccc;info=<https://certs.example.org/x.pem>;alg=ES256;ppt=shaken"
        call = world.caller.invite(headers=[mine, "y:  another.one.here ;info=<https://a.example/b>;ppt=div"])
        incoming = await world.callee.incoming()
        values = incoming.request.others(["Via", *[name for name, _, _ in incoming.request.lines
                                                   if name.lower() not in ("identity", "y")]])
        assert values == [mine, "y:  another.one.here ;info=<https://a.example/b>;ppt=div"], incoming
        incoming.respond(486)
        await call.expect(486)
        world.record(call.request.call_id, result="unsigned", reason="already_signed", final_status=486)
        call = world.caller.invite(from_='"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a')
        incoming = await world.callee.incoming()
        assert not incoming.request.has("Identity"), "an unsigned call is no refusal when it is sent on"
        incoming.respond(486)
        await call.expect(486)
        world.record(call.request.call_id, result="unsigned", reason="anonymous")


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def transports_and_address_families_mix(mode, service):
    for near, near_host, far, far_host in (
            ("udp", CALLER, "tcp", CALLEE), ("tcp", CALLER, "udp", CALLEE), ("tcp", CALLER, "tcp", CALLEE),
            ("udp", CALLER, "udp", "::1"), ("udp", "::1", "udp", CALLEE), ("tcp", CALLER, "tcp", "::1"),
            ("tcp", "::1", "udp", CALLEE), ("udp", "::1", "tcp", CALLEE)):
        try:
            async with World(mode, service, near=near, near_host=near_host, far=far, far_host=far_host) as world:
                call, incoming = await world.ring()
                request = incoming.request
                assert request.tcp == (far == "tcp")
                assert (f"/{far.upper()} " in request.items("Via")[0]) and ("[::1]" in request.items("Via")[0]) == (":" in far_host)
                near_end, far_end = await world.answer(call, incoming)
                await far_end.offer(near_end)
                await near_end.offer(far_end, "UPDATE")
                await far_end.ask(near_end, "INFO", body=NULS)
                await far_end.end(near_end)
                call, incoming = await world.ring()
                cancel = call.cancel()
                (await world.callee.cancelled(incoming)).respond(200)
                await cancel.expect(200)
                incoming.respond(487)
                await call.expect(487)
                await incoming.acknowledged(None)
                world.record(call.request.call_id, final_status=487)
        except BaseException as fault:
            raise AssertionError(f"{near} {near_host} to {far} {far_host}: {fault}") from fault


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def each_call_uses_the_listeners_that_it_can(mode, service):
    """It leaves by the one that it came by, or the first of its hop's kind; the other side is always spoken to from there."""
    p, q = free_port(), free_port()
    more = f', "udp:127.0.0.5:{p}", "tcp:127.0.0.5:{p}", "udp:[::1]:{q}", "tcp:[::1]:{q}", "udp:127.0.0.5:{q}"'
    for far, far_host in (("udp", CALLEE), ("tcp", CALLEE), ("udp", "::1")):
        async with World(mode, service, far=far, far_host=far_host, more_listeners=more, more_near=["::1"]) as world:
            first = ("::1" if far_host == "::1" else "127.0.0.1", world.port)
            for transport, host, server in (
                    ("udp", CALLER, ("127.0.0.1", world.port)), ("udp", CALLER, ("127.0.0.5", p)),
                    ("udp", CALLER, ("127.0.0.5", q)), ("tcp", CALLER, ("127.0.0.5", p)), ("udp", "::1", ("::1", q)),
                    ("tcp", "::1", ("::1", q)), ("udp", CALLER, ("127.0.0.1", world.port))):
                stays = transport == far and (":" in host) == (":" in far_host)
                leaves = server if stays else first
                async with Party(host, transport=transport, server=server) as caller:
                    await one_call(world, mode, caller, server, leaves, (transport, server), (far, leaves))


async def one_call(world, mode, caller, server, leaves, near_side, far_side):
    """near_side, far_side: the transport and the place that the one and the other side has to speak to."""
    tcp = caller.transport == "tcp", world.callee.transport == "tcp"
    call = caller.invite()
    incoming = await world.callee.incoming()
    request = incoming.request
    assert f"/{far_side[0].upper()} {hostport(*leaves)};" in request.items("Via")[0], request
    assert tcp[1] or request.source[:2] == leaves, request.source
    if mode == "forward":
        routes = [Uri(uri_of(item)) for item in request.items("Record-Route")]
        assert [(uri.transport, (uri.host, uri.port)) for uri in routes] == (
            [far_side] if near_side == far_side else [far_side, near_side]), request
    else:
        contact = Uri(request.contact)
        assert (contact.transport, (contact.host, contact.port)) == far_side, request
    incoming.respond(180)
    response = await call.expect(180)
    assert response.source[:2] == server, response.source
    far = incoming.accept()
    response = await call.expect(200)
    assert response.source[:2] == server, response.source
    near = call.dialog(response)
    if mode == "b2bua":
        contact = Uri(near.target)
        assert (contact.transport, (contact.host, contact.port)) == near_side, response
    near.ack()
    ack = await incoming.acknowledged()
    assert tcp[1] or ack.source[:2] == leaves, ack.source
    for method in ("INFO", "UPDATE"):
        asked, answer = await far.ask(near, method)
        assert tcp[0] or asked.source[:2] == server, asked.source
        assert tcp[1] or answer.source[:2] == leaves, answer.source
        asked, answer = await near.ask(far, method)
        assert tcp[1] or asked.source[:2] == leaves, asked.source
        assert answer.source[:2] == server, answer.source
    await far.end(near)


# ---- connections ----


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def responses_find_the_worker_that_has_the_callers_connection(mode, service):
    async with World(mode, service, near="tcp", far="udp", workers=3) as world:
        async with contextlib.AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(world.party(CALLER, transport="tcp")) for _ in range(8)]
            await asyncio.gather(*(by_tcp(world, caller, i) for i in range(5) for caller in callers))
        assert len(world.stirrup.wait_for_records(40)) == 40


async def by_tcp(world, caller, i):
    call = caller.invite()
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    incoming.respond(183)
    await call.expect(183)
    if i == 0:
        cancel = call.cancel()
        (await world.callee.cancelled(incoming)).respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        await incoming.acknowledged(None)
        return
    near, far = await world.answer(call, incoming)
    await near.offer(far)
    await far.offer(near, "UPDATE")
    await (near.end(far) if i % 2 else far.end(near))


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_cancel_by_another_connection_finds_its_invite(mode, service):
    """Whichever worker reads that one."""
    async with World(mode, service, near="tcp", workers=3) as world:
        established = []
        for _ in range(6):
            call, incoming = await world.ring()
            world.caller.connections.clear()
            cancel = call.cancel()
            (await world.callee.cancelled(incoming)).respond(200)
            await cancel.expect(200)
            incoming.respond(487)
            await call.expect(487)
            await incoming.acknowledged(None)
            world.record(call.request.call_id, final_status=487)
            # A re-INVITE, too.
            near, far = await world.connect()
            asking, offered = near.send("INVITE", body=SDP), await far.expect("INVITE")
            offered.respond(100)
            await asyncio.sleep(0.05)
            world.caller.connections.clear()
            cancel = asking.cancel()
            (await world.callee.cancelled(offered)).respond(200)
            await cancel.expect(200)
            offered.respond(487)
            await asking.expect(487)
            established.append((near, far))
        for near, far in established:
            await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_cancel_by_another_connection_finds_an_invite_that_waits_for_its_signature(mode, service):
    async with World(mode, service, near="tcp", workers=3) as world:
        with world.signer_stopped():
            for _ in range(6):
                call = world.caller.invite()
                await asyncio.sleep(0.05)
                world.caller.connections.clear()
                await call.cancel().expect(200)
                await call.expect(487)
        await world.callee.silence()
        near, far = await world.connect()
        await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_connection_that_was_closed_in_a_call_is_made_again(mode, service):
    async with World(mode, service, near="tcp", far="tcp") as world:
        call, incoming = await world.ring()
        near, far = await world.answer(call, incoming)
        for _ in range(3):
            for connection in (incoming.request.by, *world.caller.connections.values(), *world.callee.connections.values()):
                connection.close()
            world.caller.connections.clear()
            world.callee.connections.clear()
            await asyncio.sleep(0.1)
            await near.offer(far)
            asked, _ = await far.ask(near, "INFO")
            asked.by.close()
            await asyncio.sleep(0.1)
            await far.offer(near)
        # Nobody there any more.
        world.callee.here.tcp.close()
        await world.callee.here.tcp.wait_closed()
        for connection in world.callee.accepted:
            connection.close()
        await asyncio.sleep(0.1)
        for method in ("INFO", "UPDATE", "INVITE", "BYE"):
            await near.send(method).expect(503)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_callee_that_closes_its_connection_while_it_rings_answers_by_another(mode, service):
    """RFC 3261 section 18.2.2. Whichever worker accepts that one."""
    async with World(mode, service, far="tcp", workers=4) as world:
        for _ in range(10):
            call, incoming = await world.ring()
            incoming.request.by.close()
            await asyncio.sleep(0.1)
            _, again = await asyncio.open_connection("127.0.0.1", world.port, local_addr=(CALLEE, 0))
            incoming.answer_by = again.write
            near, far = await world.answer(call, incoming)
            await near.offer(far)
            await far.end(near)
            again.close()


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_caller_that_closes_its_connection_while_it_rings_is_answered_by_another(mode, service):
    """RFC 3261 section 18.2.2."""
    async with World(mode, service, near="tcp") as world:
        for status in (486, 200):
            call, incoming = await world.ring()
            for connection in world.caller.connections.values():
                connection.close()
            world.caller.connections.clear()
            await asyncio.sleep(0.1)
            if status == 486:
                incoming.respond(486)
                await call.expect(486)
                await incoming.acknowledged(None)
                continue
            near, far = await world.answer(call, incoming)
            await near.offer(far)
            await far.end(near)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_caller_that_is_gone_while_it_rings_harms_nobody(mode, service):
    async with World(mode, service, near="tcp", tolerant=True) as world:
        worker = world.stirrup.child("worker 0")
        for status in (486, 200):
            async with world.party(CALLER, transport="tcp") as caller:
                call = caller.invite()
                incoming = await world.callee.incoming()
                incoming.respond(180)
                await call.expect(180)
            await asyncio.sleep(0.1)
            incoming.respond(status)
            await asyncio.sleep(0.7)
            for repeater in incoming.repeaters.values():
                repeater.stop()
        near, far = await world.connect()
        await near.end(far)
        assert world.stirrup.child("worker 0") == worker


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_connection_that_has_brought_no_message_is_closed(mode, service):
    """Where the next one begins, nobody knows; who goes on to send by it would wait for ever. The calls go on by others."""
    async with World(mode, service, near="tcp") as world:
        near, far = await world.connect()
        call, incoming = await world.ring()
        own = world.caller.connections["127.0.0.1", world.port]
        own.write(b"GARBAGE\r\n\r\n")
        for _ in range(80):
            if own.is_closing():
                break
            await asyncio.sleep(0.05)
        assert own.is_closing(), "still open"
        one, other = await world.answer(call, incoming)
        await one.end(other)
        await far.offer(near)
        await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def requests_within_a_call_may_come_over_the_connection_that_we_made(mode, service):
    async with World(mode, service, far="tcp", workers=3) as world:
        for _ in range(6):
            call, incoming = await world.ring()
            near, far = await world.answer(call, incoming)
            world.callee.connections[far.request("INFO")[1][:2]] = incoming.request.by
            await far.offer(near)
            await far.ask(near, "INFO", body=NULS)
            await near.offer(far, "UPDATE")
            await far.end(near)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_long_invite_that_came_by_tcp_leaves_by_it_where_the_hop_takes_it(mode, service):
    """RFC 3261 section 18.1.1."""
    for listens in (True, False):
        async with World(mode, service, near="tcp", hop="") as world:
            if not listens:
                world.callee.here.tcp.close()
                await world.callee.here.tcp.wait_closed()
            call = world.caller.invite(body=b"x" * 2000)
            incoming = await world.callee.incoming()
            assert incoming.request.tcp == listens and incoming.request.body == b"x" * 2000, incoming
            if mode == "forward":
                routes = [Uri(uri_of(item)).transport for item in incoming.request.items("Record-Route")]
                assert routes == (["tcp"] if listens else ["udp", "tcp"]), incoming
            world.check_invite(call.request, incoming.request)
            near, far = await world.answer(call, incoming)
            await near.offer(far)
            await far.offer(near)
            await near.end(far)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_request_uri_that_is_too_long_to_be_written_anew_is_414(mode, service):
    """One that names us, or has a verstat, must not go on as it is."""
    async with World(mode, service) as world:
        for length, status in ((1984, 486), (1985, 414), (60000, 414)):
            uri = f"sip:{DEST};verstat=x;y=@127.0.0.1:{world.port}"
            call = world.caller.invite(uri.replace("y=", "y=" + "z" * (length - len(uri))))
            if status == 486:
                incoming = await world.callee.incoming()
                assert Uri(incoming.request.uri).port == world.callee.port and "verstat" not in incoming.request.uri
                incoming.respond(486)
            response = await call.expect(status)
            assert response.phrase == ("Busy Here" if status == 486 else "Request-URI Too Long"), response
            world.record(call.request.call_id, final_status=status)
        await world.callee.silence(0.1)


@scenario(modes=STIRRUP_MODES)
async def bad_responses_touch_no_other_call(mode, service):
    async with World(mode, service, tolerant=True) as world:
        worker = world.stirrup.child("worker 0")
        near, far = await world.connect()
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        good = incoming.build(180, tag="callee")
        bad = [good[:i] for i in range(0, len(good), 37)]
        bad += [good.replace(b"SIP/2.0 180", start) for start in (b"SIP/2.0 99", b"SIP/2.0 700", b"SIP/2.0 1800", b"SIP/3.0 180",
                                                                 b"SIP/2.0 -18", b"SIP/2.0")]
        bad += [re.sub(rb"(?m)^%s:.*\r\n" % name, b"", good) for name in (b"Via", b"CSeq", b"Call-ID", b"From")]
        bad += [good.replace(b"CSeq: 1 INVITE", b"CSeq: 4294967296 INVITE"), good.replace(b"CSeq: 1", b"CSeq: x"),
                good.replace(b"\r\nTo:", b"\r\nTo: <sip:twice@x>\r\nTo:"), good.replace(b"\r\n", b"\n"),
                re.sub(rb"Call-ID: .*?\r", b"Call-ID: " + near.call_id.encode() + b"\r", good),
                re.sub(rb"(?m)^Via:", b"Via: SIP/2.0/UDP 127.0.0.99:5060;branch=z9hG4bKx, ", good, 1),
                bytes(2000), b"\xff" * 65000, b"SIP/2.0 200 OK\r\n\r\n"]
        for raw in bad:
            incoming.send(raw)
        await asyncio.sleep(0.3)
        assert world.stirrup.child("worker 0") == worker, "the worker died of it"
        await near.offer(far)
        while call.responses.items:
            call.responses.items.pop()
        # A 200 without Contact cannot be answered by an ACK of ours; what comes behind it counts.
        incoming.respond(486)
        response = await call.responses.get(lambda item: item.status >= 200, 4, "486")
        assert response.status == 486, response
        await near.end(far)
        assert world.stirrup.child("worker 0") == worker


@scenario(modes=STIRRUP_MODES)
async def a_200_without_contact_and_long_route_sets_harm_nobody(mode, service):
    async with World(mode, service, tolerant=True) as world:
        worker = world.stirrup.child("worker 0")
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        incoming.respond(200, contact=False)
        response = await call.final()
        assert response.status in (200, 500, 502), response
        # Sixty entries, ours among them: the call works, or is refused by a final response.
        callee = world.callee
        more = [f"<sip:p{i}.{'x' * 20}@{callee.host}:{callee.port};lr;i={i}>" for i in range(60)]
        call = world.caller.invite()
        incoming = await callee.incoming()
        response = incoming.respond(200, record_routes=[*more, *incoming.request.items("Record-Route")])
        final = await call.final()
        assert final.status in (200, 500, 502, 513), final
        if final.status == 200:
            near, far = call.dialog(final), incoming.dialog(response=response)
            far.routes = [route for route in far.routes if route not in more]
            near.ack()
            assert len((await incoming.acknowledged()).items("Route")) == 60
            await far.offer(near)
            asked, _ = await near.ask(far, "INFO")
            assert asked.items("Route") == more[::-1]
            await near.end(far)
        assert world.stirrup.child("worker 0") == worker


@scenario(modes=STIRRUP_MODES)
async def an_established_call_survives_the_death_of_its_worker(mode, service):
    async with World(mode, service, workers=2) as world:
        calls = [await world.connect() for _ in range(4)]
        world.kill_workers()
        for i, (near, far) in enumerate(calls):
            await world.callee.move()
            await far.offer(near)
            await far.offer(near, "UPDATE")
            await world.caller.move()
            await near.offer(far)
            await (near.end(far) if i % 2 else far.end(near))


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def four_workers_are_one_server(mode, service):
    """Whichever worker the kernel gives a datagram to."""
    async with World(mode, service, workers=4) as world:
        calls = await asyncio.gather(*(whole_call(world, i) for i in range(40)))
        assert len(calls) == 40
        assert len(world.stirrup.wait_for_records(40)) == 40


async def whole_call(world, i):
    call = world.caller.invite(headers=[f"X-Number: {i}"])
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    assert incoming.request["X-Number"] == str(i)
    incoming.respond(180)
    await call.expect(180)
    far = incoming.accept()
    near = call.dialog(await call.expect(200))
    near.ack()
    await incoming.acknowledged()
    await world.callee.move()
    await far.offer(near)
    await near.offer(far, "UPDATE")
    await near.end(far)


@scenario(modes=STIRRUP_MODES)
async def options_is_answered_and_not_sent_on(mode, service):
    async with World(mode, service) as world:
        options = world.caller.send(world.caller.request("OPTIONS", f"sip:127.0.0.1:{world.port}"))
        await options.expect(200)
        await world.callee.silence(0.2)


# ---- a reload, a stop ----


@scenario(modes=STIRRUP_MODES)
async def a_reload_with_another_next_hop_moves_new_calls_alone(mode, service):
    async with World(mode, service, workers=2) as world, Party(SECOND_HOP, user=DEST) as second:
        standing = [await world.connect() for _ in range(2)]
        ringing = [await world.ring() for _ in range(4)]
        world.hops = f'"sip:{SECOND_HOP}:{second.port};transport=udp"'
        await world.reload()
        second.server = ("127.0.0.1", world.port)
        call = world.caller.invite()
        incoming = await second.incoming()
        world.check_invite(call.request, incoming.request)
        near, far = await world.answer(call, incoming)
        await near.offer(far)
        await far.end(near)
        # The one before is in far_side.
        for call, incoming in ringing[:2]:
            standing.append(await world.answer(call, incoming))
        for near, far in standing:
            await world.callee.move()
            await far.offer(near)
            await near.offer(far, "UPDATE")
            await near.end(far)
        call, incoming = ringing[2]
        cancel = call.cancel()
        (await world.callee.cancelled(incoming)).respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        await incoming.acknowledged(None)
        call, incoming = ringing[3]
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        await second.silence(0.1)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_call_whose_next_hop_is_listed_no_more_gets_a_clear_answer(mode, service):
    async with World(mode, service, far_host="127.0.0.70", tolerant=True) as world, Party(CALLEE, user=DEST) as other:
        near, far = await world.connect()
        call, incoming = await world.ring()
        world.hops = f'"sip:{CALLEE}:{other.port};transport=udp"'
        await world.reload()
        response = await near.send("INFO").final()
        assert response.status in (481, 502), response
        raw, place = far.request("INFO")
        sent = world.callee.send(raw, place)
        incoming.respond(200)
        await sent.silence()
        sent.repeater.stop()
        assert all(item.status == 100 for item in call.responses.items), call.responses.items
        await world.caller.silence(0.1)
        for repeater in incoming.repeaters.values():
            repeater.stop()
        call = world.caller.invite()
        incoming = await other.incoming()
        incoming.respond(486)
        await call.expect(486)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_peer_that_is_gone_or_has_another_name_is_nobody(mode, service):
    async with World(mode, service) as world:
        near, far = await world.connect()
        call, incoming = await world.ring()
        settings = world.settings()["under_test"].replace('"under-test"', '"renamed"')
        await world.reload(under_test=settings)
        # What is in progress ends as it began.
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        if mode == "b2bua":
            await near.send("INFO").expect(481)
            await far.send("INFO").expect(481)
        else:
            await near.offer(far)
            await far.end(near)
        near, far = await world.connect()
        call, incoming = await world.ring()
        # "other" has the same next hop; the caller is a stranger.
        await world.reload(under_test=settings[settings.index('  { name = "other"'):])
        await far.send("BYE").expect(481)
        sent = near.send("INFO")
        await sent.silence()
        sent.repeater.stop()
        incoming.respond(486)
        if mode == "b2bua":
            await call.expect(486)
            await incoming.acknowledged(None)


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def a_listener_that_is_gone_takes_only_its_own_calls_along(mode, service):
    ports = [free_port() for _ in range(2)]
    listeners = [f', "udp:127.0.0.1:{port}"' for port in ports]
    async with World(mode, service, more_listeners="".join(listeners), tolerant=True) as world:
        worker = world.stirrup.child("worker 0")
        standing, ringing = [], []
        for port in (world.port, *ports):
            for calls in (standing, ringing):
                call = world.caller.send(world.caller.request("INVITE"), ("127.0.0.1", port, "udp"))
                incoming = await world.callee.incoming()
                incoming.respond(180)
                await call.expect(180)
                calls.append((call, incoming))
            standing[-1] = await world.answer(*standing[-1])
        # The last one has another place in the configuration, the one in the middle none.
        await world.reload(more_listeners=listeners[1])
        for i in (0, 2):
            near, far = standing[i]
            await near.offer(far)
            await far.offer(near)
            await near.end(far)
            call, incoming = ringing[i]
            near, far = await world.answer(call, incoming)
            await far.end(near)
        # By another listener its CANCEL is as good as none, or is one.
        call, incoming = ringing[1]
        call.place = ("127.0.0.1", world.port, "udp")
        cancel = call.cancel()
        await asyncio.sleep(0.3)
        cancel.repeater.stop()
        raw, _ = standing[1][0].request("BYE")
        sent = world.caller.send(raw, ("127.0.0.1", world.port, "udp"))
        await asyncio.sleep(0.3)
        sent.repeater.stop()
        await world.reload(more_listeners="")
        near, far = await world.connect()
        await near.end(far)
        assert world.stirrup.child("worker 0") == worker, "the worker died of it"


@scenario(modes=STIRRUP_MODES, services=("sign",))
async def calls_begin_and_end_through_several_reloads(mode, service):
    async with World(mode, service, workers=2) as world:
        calls, ringing = [], await world.ring()
        for i in range(3):
            await world.reload(under_test=world.settings()["under_test"].replace(
                'country_code = "1";', f'country_code = "1"; no_answer = "{20 + i}s";', 1))
            calls.append(await world.answer(*ringing))
            for near, far in calls:
                await near.offer(far)
                await far.offer(near, "UPDATE")
            ringing = await world.ring()
        for near, far in calls:
            await far.end(near)
        call, incoming = ringing
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)


@scenario(modes=STIRRUP_MODES)
async def a_stop_ends_what_has_state_and_nothing_else(mode, service):
    """Nobody would pass on what the callees say: 503 to the caller, CANCEL to those who ring."""
    async with World(mode, service, near="tcp" if mode == "forward" else "udp", workers=2, tolerant=True) as world:
        standing = [await world.connect() for _ in range(2)]
        ringing = [await world.ring() for _ in range(4)]
        tried = world.caller.invite()
        tried_there = await world.callee.incoming()
        tried_there.respond(100)
        silent = world.caller.invite()
        silent_there = await world.callee.incoming()
        asked = standing[0][0].send("INFO")
        await standing[0][1].expect("INFO")
        await asyncio.sleep(0.1)
        world.stirrup.process.terminate()
        for call, incoming in (*ringing, (tried, tried_there)):
            cancelled = await world.callee.cancelled(incoming)
            cancelled.respond(200)
            response = await call.final()
            assert response.status == 503, response
        assert (await silent.final()).status == 503
        # RFC 3261 section 9.1: none before a provisional response.
        assert not [item for item in world.callee.mail_of(silent_there.request.call_id).items if item.method == "CANCEL"]
        assert (await asked.final()).status == 503
        assert await asyncio.to_thread(world.stirrup.process.wait, 10) == 0
        for call, _ in (*ringing, (tried, None), (silent, None)):
            world.record(call.request.call_id, final_status=503)
        world.caller.connections.clear()
        world.stirrup.start()
        for near, far in standing:
            await near.offer(far)
            await far.end(near)


@scenario(modes=("forward",) if STIRRUP_MODES else ())
async def a_stop_and_a_start_cost_no_call_without_state(mode, service):
    async with World(mode, service) as world:
        ringing = [await world.ring() for _ in range(3)]
        near, far = await world.connect()
        world.restart()
        for i, (call, incoming) in enumerate(ringing):
            if i == 0:
                cancel = call.cancel()
                (await world.callee.cancelled(incoming)).respond(200)
                await cancel.expect(200)
                incoming.respond(487)
                await call.expect(487)
                await incoming.acknowledged(None)
            else:
                one, other = await world.answer(call, incoming)
                await other.end(one)
        await near.offer(far)
        await far.end(near)


# ---- what is nobody's ----


def of_another_call(raw, call_id):
    text = raw.decode()
    return [item.encode() for item in (
        re.sub("Call-ID: [^\r]*", f"Call-ID: {call_id}", text, count=1),
        re.sub("Call-ID: [^\r]*", "Call-ID: unknown@parties", text, count=1),
        re.sub(r"CSeq: (\d+)", r"CSeq: 1\1", text, count=1), re.sub(r"CSeq: (\d+) [A-Z]+", r"CSeq: \1 OPTIONS", text, count=1),
        re.sub(r"(From: [^\r]*;tag=)", r"\1x", text, count=1), re.sub(r"(From: [^\r]*);tag=[^\r;]*", r"\1", text, count=1))]


@scenario(modes=STIRRUP_MODES)
async def a_response_with_the_right_branch_and_of_another_call_is_dropped(mode, service):
    # Without state, the seal in our Via covers what is compared (test_forward.py).
    for options in ({"near": "tcp"},) if mode == "forward" else ({}, {"peer": 'call_id = "new";'}):
        async with World(mode, service, **options) as world:
            other_near, other_far = await world.connect()
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            for status in (183, 200, 486):
                for raw in of_another_call(incoming.build(status, tag="callee"), other_far.call_id):
                    incoming.send(raw)
            await asyncio.sleep(0.3)
            assert all(item.status == 100 for item in call.responses.items), call.responses.items
            near, far = await world.answer(call, incoming)
            for one, other in ((near, far), (far, near)):
                for method in ("INFO", "INVITE"):
                    sent = one.send(method)
                    arrived = await other.expect(method)
                    for status in (200, 481):
                        for raw in of_another_call(arrived.build(status), other_far.call_id):
                            arrived.send(raw)
                    await asyncio.sleep(0.2)
                    assert all(item.status == 100 for item in sent.responses.items), sent.responses.items
                    arrived.respond(488)
                    await sent.expect(488)
            await near.end(far)
            await other_near.offer(other_far)
            await other_far.end(other_near)
