"""Mode "forward": what a proxy that keeps nothing writes into messages, and believes of what comes back."""

import asyncio
import contextlib
import os
import re
import signal

from forwarding import CALLEE, CALLER, SECOND_HOP, STRANGER, World, in_mode
from harness import DEST, free_port, is_alive
from parties import SDP, Dialog, Message, Party, Uri, build, canonical, uri_of, without_source

THIRD = "127.0.0.99"


def our_routes(world, message):
    """The URIs of our Record-Route entries."""
    uris = [Uri(uri_of(item)) for item in message.items("Record-Route")]
    return [uri for uri in uris if uri.port == world.port and uri.host in ("127.0.0.1", "::1")]


def token(route):
    return re.search(r";st=([^;>]+)", route).group(1)


def with_token(route, text):
    return route.replace(token(route), text)


def flipped(text, i):
    return text[:i] + ("A" if text[i] != "A" else "B") + text[i + 1:]


# ---- what it writes ----


@in_mode("forward")
async def the_record_route_is_on_top_loose_and_sealed():
    async with World("forward") as world:
        call, incoming = await world.ring(headers=[f"Record-Route: <sip:{CALLER}:9;lr>"])
        routes = incoming.request.items("Record-Route")
        assert len(routes) == 2 and routes[1] == f"<sip:{CALLER}:9;lr>", routes
        ours = Uri(uri_of(routes[0]))
        assert (ours.host, ours.port, ours.transport) == ("127.0.0.1", world.port, "udp"), routes
        assert "lr" in ours.parameters and 20 <= len(ours.parameters["st"]) <= 60, routes
        other_call, other = await world.ring()
        assert token(other.request.items("Record-Route")[0]) != token(routes[0])
        for one, its in ((call, incoming), (other_call, other)):
            its.respond(486)
            await one.expect(486)
            await its.acknowledged(None)


@in_mode("forward")
async def two_record_routes_where_transport_or_family_changes():
    """RFC 5658: each side reads the one that it can speak to."""
    for near, near_host, far, far_host in (
            ("udp", CALLER, "tcp", CALLEE), ("tcp", CALLER, "udp", CALLEE), ("udp", CALLER, "udp", "::1"),
            ("udp", "::1", "udp", CALLEE)):
        async with World("forward", near=near, near_host=near_host, far=far, far_host=far_host) as world:
            call, incoming = await world.ring()
            routes = our_routes(world, incoming.request)
            assert len(routes) == 2, incoming
            upper, lower = routes
            assert (upper.transport, ":" in upper.host) == (far, ":" in far_host), incoming
            assert (lower.transport, ":" in lower.host) == (near, ":" in near_host), incoming
            assert all("lr" in route.parameters for route in routes)
            one, other = await world.answer(call, incoming)
            asked, _ = await one.ask(other, "INFO")
            assert not asked.has("Route"), asked
            asked, _ = await other.ask(one, "INFO")
            assert not asked.has("Route"), asked
            await other.end(one)


@in_mode("forward")
async def one_record_route_where_nothing_changes():
    for kind, host, far in (("udp", CALLER, CALLEE), ("tcp", CALLER, CALLEE)):
        async with World("forward", near=kind, near_host=host, far=kind, far_host=far) as world:
            call, incoming = await world.ring()
            assert len(our_routes(world, incoming.request)) == 1, incoming
            incoming.respond(486)
            await call.expect(486)
            await incoming.acknowledged(None)


@in_mode("forward")
async def our_via_is_on_top_and_the_rest_is_left():
    async with World("forward") as world:
        vias = ["SIP/2.0/UDP a.invalid:5061;branch=z9hG4bKa;received=192.0.2.1;x=\"y,z\"",
                "SIP/2.0/UDP 10.0.0.1;branch=old-style"]
        call, incoming = await world.ring(more_vias=vias)
        found = incoming.request.items("Via")
        assert re.fullmatch(rf"SIP/2\.0/UDP 127\.0\.0\.1:{world.port};.*branch=z9hG4bK[^;]+.*", found[0]), found
        assert without_source(found[1]) == without_source(call.request.items("Via")[0])
        assert f"rport={world.caller.port}" in found[1] and f"received={CALLER}" in found[1], found
        assert found[2:] == vias, found
        # The same branch for CANCEL and the ACK of the 487, another for another transaction (RFC 3261 section 16.11).
        cancel = call.cancel()
        cancelled = await world.callee.cancelled(incoming)
        assert cancelled.request.branch == incoming.request.branch, cancelled
        cancelled.respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        assert (await incoming.acknowledged(None)).items("Via")[0].split("branch=")[1].split(";")[0] == incoming.request.branch
        call, again = await world.ring()
        assert again.request.branch != incoming.request.branch
        again.respond(486)
        await call.expect(486)
        await again.acknowledged(None)


@in_mode("forward")
async def there_is_no_100_of_our_own():
    """RFC 3261 section 16.11: it would silence the caller, who alone repeats."""
    async with World("forward") as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        await asyncio.sleep(1.2)
        assert not call.tried.is_set() and not call.responses.items
        assert incoming.repeated >= 1, "the repeats of the caller do not arrive"
        incoming.respond(180)
        await call.expect(180)
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        world.record(call.request.call_id, final_status=486)
        assert len(world.stirrup.records()) == 1


@in_mode("forward")
async def a_100_from_behind_may_pass_and_costs_nothing():
    async with World("forward") as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        incoming.respond(100)
        await asyncio.sleep(0.7)
        incoming.respond(180)
        await call.expect(180)
        near, far = await world.answer(call, incoming)
        await near.end(far)


@in_mode("forward")
async def each_call_leaves_from_the_listener_that_it_came_by():
    second = free_port()
    async with World("forward", more_listeners=f', "udp:127.0.0.1:{second}"') as world:
        for port in (second, world.port, second):
            call = world.caller.send(world.caller.request("INVITE"), ("127.0.0.1", port, "udp"))
            incoming = await world.callee.incoming()
            assert f"127.0.0.1:{port};" in incoming.request.items("Via")[0], incoming
            assert incoming.request.source == ("127.0.0.1", port)
            assert Uri(uri_of(incoming.request.items("Record-Route")[0])).port == port
            far = incoming.accept()
            response = await call.expect(200)
            assert response.source == ("127.0.0.1", port), response.source
            near = call.dialog(response)
            near.ack()
            await incoming.acknowledged()
            asked, _ = await far.ask(near, "INFO")
            assert asked.source == ("127.0.0.1", port)
            await near.end(far)


# ---- with transactions: a second next hop ----


@contextlib.asynccontextmanager
async def two_hops(first="udp", other="udp", port=None):
    """port: of the first one, where it is not the callee's."""
    async with Party(SECOND_HOP, user=DEST, transport=other) as second:
        hops = f'[ "sip:{CALLEE}:{port or "{port}"};transport={first}", "sip:{SECOND_HOP}:{second.port};transport={other}" ]'
        async with World("forward", hops=hops, far=first) as world:
            second.server = ("127.0.0.1", world.port)
            yield world, second


async def taken_by_second(world, second, call):
    """The call, once it is with the second next hop: as any other, and there is nothing of it to lose."""
    incoming = await second.incoming(seconds=8)
    world.check_invite(call.request, incoming.request)
    routes = [Uri(uri_of(item)).transport for item in incoming.request.items("Record-Route")]
    assert routes == (["udp"] if second.transport == "udp" else ["tcp", "udp"]), incoming
    near, far = await world.answer(call, incoming)
    world.record(near.call_id, final_status=200)
    await second.move()
    await far.offer(near)
    world.kill_workers()
    second.connections.clear()
    await near.offer(far)
    await far.end(near)
    return incoming


@in_mode("forward")
async def a_503_leads_to_the_second_next_hop():
    for other in ("udp", "tcp"):
        async with two_hops(other=other) as (world, second):
            call = world.caller.invite()
            first = await world.callee.incoming()
            await asyncio.wait_for(call.tried.wait(), 4)
            first.respond(503)
            await first.acknowledged(None)
            incoming = await taken_by_second(world, second, call)
            assert incoming.request.all("Identity") == first.request.all("Identity"), "one call, one token"
            assert incoming.request.branch != first.request.branch


@in_mode("forward")
async def no_connection_leads_to_the_second_next_hop():
    async with two_hops("tcp", port=free_port()) as (world, second):
        await taken_by_second(world, second, world.caller.invite())


@in_mode("forward")
async def silence_leads_to_the_second_next_hop():
    async with two_hops() as (world, second):
        call = world.caller.invite()
        first = await world.callee.incoming()
        await taken_by_second(world, second, call)
        assert first.repeated >= 3, first.repeated
        call = world.caller.invite()  # the first one is known to be down, or gets it again
        arrived = [asyncio.ensure_future(party.incoming()) for party in (world.callee, second)]
        done, late = await asyncio.wait(arrived, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        incoming = done.pop().result()
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)


@in_mode("forward")
async def a_cancel_reaches_the_second_next_hop():
    async with two_hops() as (world, second):
        call = world.caller.invite()
        first = await world.callee.incoming()
        first.respond(503)
        await first.acknowledged(None)
        incoming = await second.incoming()
        incoming.respond(180)
        await call.expect(180)
        cancel = call.cancel()
        cancelled = await second.cancelled(incoming)
        assert cancelled.request.uri == incoming.request.uri
        cancelled.respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        await incoming.acknowledged(None)
        await world.callee.silence(0.1)


@in_mode("forward")
async def a_cancel_by_tcp_that_ends_nothing_is_told_so():
    async with World("forward", near="tcp") as world:
        call, incoming = await world.ring()
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        await world.caller.send(world.caller.request("CANCEL", transport="tcp")).expect(481)
        world.caller.transmit(world.caller.request("ACK", transport="tcp", to=f"<sip:{DEST}@h>;tag=x"), call.place)
        near, far = await world.connect()
        await near.end(far)
        await world.callee.silence(0.1)
        assert not world.callee.stray_acks, world.callee.stray_acks


# ---- what it believes ----


@in_mode("forward", seconds=90)
async def a_forged_or_cut_route_is_481_and_its_ack_is_dropped():
    async with World("forward") as world:
        near, far = await world.connect()
        others = await world.connect(from_tag="another")
        for one, party in ((near, world.caller), (far, world.callee)):
            good = one.routes[-1] if one is far else one.routes[0]
            text = token(good)
            forged = [with_token(good, text[:i]) for i in range(1, len(text))]
            forged += [with_token(good, flipped(text, i)) for i in range(len(text) - 1)]
            forged += [re.sub(";st=[^;>]*", "", good), re.sub(";st=[^;>]*", ";st", good), re.sub(";st=[^;>]*", ";st=", good),
                       with_token(good, text + "A"), with_token(good, text * 40), with_token(good, "%00" + text),
                       others[0].routes[0]]
            for route in forged:
                raw, place = one.request("BYE")
                sent = party.send(raw.replace(good.encode(), route.encode()), place)
                await sent.expect(481)
                raw, place = one.request("ACK", cseq=1)
                party.transmit(raw.replace(good.encode(), route.encode()), place)
        await world.caller.silence(0.2)
        await world.callee.silence(0.1)
        assert not world.callee.stray_acks and not world.caller.stray_acks
        # The route of one call for another: another Call-ID, another From tag.
        raw, place = near.request("BYE", call_id="stolen@parties")
        await world.caller.send(raw, place).expect(481)
        raw, place = near.request("BYE", from_=near.local.replace("tag=caller", "tag=thief"))
        await world.caller.send(raw, place).expect(481)
        await world.callee.silence(0.1)
        await near.offer(far)
        await near.end(far)
        await others[0].end(others[1])


@in_mode("forward")
async def a_request_goes_to_allowed_networks_only():
    """Next hops, peers, far_side; never a host name, never maddr."""
    async with World("forward") as world, Party(THIRD) as third:
        near, far = await world.connect()
        real_near, real_far = near.target, far.target
        for one, party in ((near, world.caller), (far, world.callee)):
            for target in (f"sip:x@{THIRD}:{third.port}", f"sip:x@localhost:{third.port}", "sip:x@198.51.100.1",
                           f"sip:x@{THIRD}:{third.port};transport=tcp", "tel:+13035550100", "urn:service:sos"):
                routes = one.routes
                if target.startswith("sip:"):
                    raw, place = one.request("INFO")
                    raw = raw.replace(f"INFO {one.target} ".encode(), f"INFO {target} ".encode())
                    answer = await party.send(raw, place).final()
                    assert 400 <= answer.status < 500, answer
                    # A further Route is a target as well.
                    one.routes = [routes[0], f"<{target};lr>"]
                    raw, place = one.request("INFO")
                    answer = await party.send(raw, place).final()
                    assert 400 <= answer.status < 500, answer
                else:
                    raw, place = one.request("INFO")
                    raw = raw.replace(f"INFO {one.target} ".encode(), f"INFO {target} ".encode())
                    answer = await party.send(raw, place).final()
                    assert 400 <= answer.status < 500, answer
                one.routes = routes
        for target in (f"{real_near};maddr={THIRD}",):
            raw, place = near.request("INFO")
            raw = raw.replace(f"INFO {real_near} ".encode(), f"INFO {target} ".encode())
            sent = world.caller.send(raw, place)
            await asyncio.sleep(0.3)
            sent.repeater.stop()
            for incoming in world.callee.mail_of(far.call_id).items:
                incoming.respond(200)
            world.callee.mail_of(far.call_id).items.clear()
        await third.silence(0.2)
        near.target, far.target = real_near, real_far
        near.cseq, far.cseq = near.cseq + 50, far.cseq + 50
        await near.end(far)


@in_mode("forward")
async def a_response_goes_on_only_if_our_via_is_really_ours():
    async with World("forward", tolerant=True) as world, Party(THIRD) as third, world.party(STRANGER) as stranger:
        call = world.caller.invite(more_vias=["SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbelow"])
        incoming = await world.callee.incoming()
        other = world.caller.invite()
        other_incoming = await world.callee.incoming()
        good = incoming.build(180, tag="callee").decode()
        top, second = incoming.request.items("Via")[:2]
        forged = []
        for name in ("branch", "s"):
            value = re.search(rf";{name}=([^;]+)", top).group(1)
            for i in range(len(value) - 1):
                forged.append(good.replace(value, flipped(value, i)))
            forged += [good.replace(value, value[:i]) for i in range(len(value))]
            forged += [good.replace(f";{name}={value}", ""), good.replace(value, value + "A")]
        other_top, other_second = other_incoming.request.items("Via")[:2]
        forged += [
            good.replace(top, other_top), good.replace(second, other_second),
            good.replace(top, other_top).replace(second, other_second),
            re.sub("Call-ID: .*", f"Call-ID: {other.request.call_id}", good, count=1),
            good.replace("CSeq: 1 ", "CSeq: 2 "),
            good.replace(second, f"SIP/2.0/UDP {THIRD}:{third.port};branch=z9hG4bKx"),
            good.replace(second, re.sub(r"received=[^;]*", f"received={THIRD}", second)),
            good.replace(second, re.sub(r"rport=\d+", f"rport={third.port}", second)),
            good.replace(second, re.sub(r"127\.0\.0\.41:\d+", f"{THIRD}:{third.port}", second)),
            good.replace(f"Via: {second}\r\n", ""), good.replace(f"Via: {top}\r\n", ""),
            good.replace(f"Via: {top}\r\n", f"Via: {top}\r\nVia: SIP/2.0/UDP {THIRD}:{third.port};branch=z9hG4bKx\r\n"),
            good.replace(f"Via: {top}\r\n", f"Via: SIP/2.0/UDP {THIRD}:{third.port};branch=z9hG4bKx\r\nVia: {top}\r\n")]
        assert good not in forged
        for i, raw in enumerate(forged):
            incoming.send(raw.encode())
            if i % 20 == 19:
                await asyncio.sleep(0.05)
        # Who is not listed does not answer for others.
        stranger.transmit(good.encode(), ("127.0.0.1", world.port, "udp"))
        await asyncio.sleep(0.3)
        assert not call.responses.items, call.responses.items
        assert not other.responses.items, other.responses.items
        assert not third.left() and not world.caller.unexpected, (third.left(), world.caller.unexpected)
        # Nobody but the caller would have it: a maddr is not obeyed.
        incoming.send(good.replace(second, f"{second};maddr={THIRD}").encode())
        await third.silence(0.2)
        call.responses.items.clear()
        incoming.respond(183)
        await call.expect(183)
        for one, its in ((call, incoming), (other, other_incoming)):
            its.respond(486)
            await one.expect(486)
            await its.acknowledged(None)


@in_mode("forward")
async def a_maddr_in_via_is_not_obeyed():
    async with World("forward") as world, Party(THIRD) as third:
        call = world.caller.invite(via=f"{world.caller.via()};maddr={THIRD}")
        incoming = await world.callee.incoming()
        incoming.respond(180)
        await call.expect(180)
        near, far = await world.answer(call, incoming)
        await near.end(far)
        await third.silence(0.1)


def with_copy(raw, line, first):
    """That header line besides the one that is there, before or behind it."""
    message = Message(raw)
    lines = [text for name, _, text in message.lines if name != "Content-Length"]
    if line.startswith("Content-Length"):
        own = f"Content-Length: {len(message.body)}"
        return "\r\n".join([message.start, *lines, *([line, own] if first else [own, line])]).encode() + b"\r\n\r\n" + message.body
    lines.insert(0 if first else len(lines), line)
    return build(message.start, lines, message.body)


@in_mode("forward")
async def two_copies_of_what_is_there_once_are_refused():
    """Whoever reads the message next could take the other one. Of Max-Forwards the first one counts, and goes on alone."""
    async with World("forward") as world:
        near, far = await world.connect()
        place = ("127.0.0.1", world.port, "udp")
        for line in ("CSeq: 2 {method}", "CSeq: 1 {method}", "From: <sip:a@b>;tag=x", "To: <sip:a@b>", "Call-ID: two", "t: <sip:a@b>;tag=y",
                     "i: two", "Content-Length: 3"):
            for first in (True, False):
                for raw in (world.caller.request("INVITE", body=b"abcde"), near.request("INFO", body=b"abcde")[0]):
                    method = raw.split()[0].decode()
                    world.caller.transmit(with_copy(raw, line.format(method=method), first), place)
        await asyncio.sleep(0.3)
        # Their answers have two of them, too, so that they are of no transaction.
        answers = [str(item) for item in world.caller.unexpected]
        assert len(answers) == 32 and all("SIP/2.0 400 " in answer for answer in answers), answers
        world.caller.unexpected.clear()
        await world.callee.silence(0.1)
        for first in (True, False):
            raw, place = near.request("INFO")
            sent = world.caller.send(with_copy(raw, "Max-Forwards: 9", first), place)
            asked = await far.expect("INFO")
            assert asked.request.all("Max-Forwards") == ["8" if first else "69"], asked
            asked.respond(200)
            await sent.expect(200)
        call = world.caller.send(with_copy(world.caller.request("INVITE"), "Max-Forwards: 0", True))
        await call.expect(483)
        await near.end(far)


@in_mode("forward")
async def what_is_not_for_a_proxy_like_us_to_refuse_passes():
    async with World("forward") as world:
        for uri, headers in ((None, ["Proxy-Require: privacy, sec-agree"]), ("urn:service:sos", []), ("foo:bar", []),
                             (f"tel:{DEST};phone-context=x", ["Require: unheard-of"]), (f"sips:{DEST}@192.0.2.1", [])):
            call = world.caller.invite(uri, headers=headers)
            incoming = await world.callee.incoming()
            assert uri in (None, incoming.request.uri), incoming
            assert all(line in [text for _, _, text in incoming.request.lines] for line in headers), incoming
            incoming.respond(486)
            await call.expect(486)
            await incoming.acknowledged(None)


@in_mode("forward")
async def what_grows_out_of_a_datagram_is_513():
    """65,507 octets."""
    kind = ["Content-Type: application/octet-stream"]
    async with World("forward") as world:
        near, far = await world.connect()
        for length in (64700, 64800, 64900):  # and some 400 of header; we add some 600
            call = world.caller.invite(headers=kind, body=bytes(length))
            response = await call.final()
            assert response.status == 513, response
            record = world.record(call.request.call_id, result="rejected", final_status=513)
            assert record["reason"] == "too_large", record
        # Our Route goes, and our Via comes.
        raw, place = near.request("INFO", kind, bytes(60000))
        raw, place = near.request("INFO", kind, bytes(60000 + 65500 - len(raw)))
        assert len(raw) == 65500
        await world.caller.send(raw, place).expect(513)
        await world.callee.silence(0.1)
        await near.ask(far, "INFO", kind, bytes(64000))
        await near.end(far)


@in_mode("forward")
async def a_request_that_comes_back_is_a_loop_by_any_transport():
    """With or without a transaction, on another node, and within a call."""
    for near, far in (("tcp", "tcp"), ("udp", "tcp"), ("tcp", "udp"), ("udp", "udp")):
        async with World("forward", near=near, far=far, more_near=[CALLEE], tolerant=True) as world:
            with world.second_node() as node:
                call = world.caller.invite(f"sip:{DEST}@192.0.2.1")
                incoming = await world.callee.incoming()
                for port in (world.port, node.port):
                    lines = [line for name, _, line in incoming.request.lines if name != "Content-Length"]
                    again = world.callee.send(build(incoming.request.start, [f"Via: {world.callee.via()}", *lines],
                                                    incoming.request.body), ("127.0.0.1", port, far))
                    assert (await again.final()).status == 482
                near_end, far_end = await world.answer(call, incoming)
                sent = near_end.send("BYE")
                asked = await far_end.expect("BYE")
                lines = [line for name, _, line in asked.request.lines if name != "Content-Length"]
                route = far_end.routes[0]
                again = world.callee.send(build(asked.request.start, [f"Via: {world.callee.via()}", f"Route: {route}", *lines]),
                                          ("127.0.0.1", world.port, far))
                assert (await again.final()).status == 482
                asked.respond(200)
                await sent.expect(200)


@in_mode("forward")
async def a_call_that_comes_back_for_another_number_is_no_loop():
    """A spiral (RFC 3261 section 16.3, item 4): the callee's switch forwards the call to another number through us."""
    async with World("forward", more_near=[CALLEE]) as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        request = incoming.request
        lines = [line for name, _, line in request.lines if name not in ("Content-Length", "Record-Route")]
        vias = sum(line.lower().startswith("via") for line in lines)
        again = world.callee.send(build(request.start.replace(DEST, "+13035550177"), [f"Via: {world.callee.via()}", *lines],
                                        request.body), ("127.0.0.1", world.port, "udp"))
        back = await world.callee.incoming()
        assert "+13035550177" in back.request.uri, back
        assert len(back.request.items("Via")) == vias + 2, back
        assert back.request.all("Identity") == request.all("Identity"), "an Identity is carried as it is"
        back.respond(486)
        response = await again.responses.get(lambda item: item.status >= 200, 4, "486")
        assert response.status == 486, response
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)


class Between:
    """A switch that has our next hop's place, and sends what comes through us a second time, the call for another number."""

    def __init__(self, world, records_route):
        self.party, self.us = world.callee, ("127.0.0.1", world.port, "udp")
        self.route = f"<sip:switch@{self.party.host}:{self.party.port};lr>"
        self.records_route = records_route

    def send_on(self, request, start=None, routes=()):
        lines = [line for name, _, line in request.lines if canonical(name) not in ("content-length", "max-forwards", "route")]
        own = [f"Via: {self.party.via()}", f"Max-Forwards: {int(request['Max-Forwards']) - 1}"]
        own += [f"Route: {route}" for route in request.items("Route")[1:]]
        own += [f"Record-Route: {self.route}"] if self.records_route and not request.to_tag else []
        return self.party.send(build(start or request.start, [*own, *lines], request.body), self.us)

    def send_back(self, incoming, response):
        lines = [line for name, _, line in response.lines if name != "Content-Length"]
        lines.remove(next(line for line in lines if line.startswith("Via:")))
        incoming.send(build(response.start, lines, response.body))

    async def pass_on(self, request, call_id):
        """Of a request within the call, if this switch is on its way."""
        if not self.records_route:
            return await request.expect(200)
        incoming = await self.party.mail_of(call_id).get(lambda item: True, 4, request.request.start)
        again = self.send_on(incoming.request)
        self.send_back(incoming, await again.expect(200))
        return await request.expect(200)


async def through_twice(world, last, between, taken_by):
    """The same call by both passes; its requests have the same Request-URI on both."""
    call = world.caller.invite()
    first = await world.callee.incoming()
    again = between.send_on(first.request, first.request.start.replace(DEST, "+13035550177"))
    second = await taken_by.incoming()
    second.respond(200, contact=last.contact)  # the last one's, who has the call from here
    between.send_back(first, await again.expect(200))
    second.repeaters["callee"].stop()
    near = call.dialog(await call.expect(200))
    far = Dialog(last, near.call_id, near.remote, near.local, 100, call.request.contact,
                 second.request.items("Record-Route"), callee=True)
    near.ack()
    if between.records_route:
        between.send_on(await second.acknowledged()).repeater.stop()
    if taken_by is last:
        await second.acknowledged()
    else:
        await asyncio.sleep(0.3)
        assert [ack.call_id for ack in last.stray_acks] == [near.call_id], last.stray_acks
    for one, other in ((near, last), (far, world.caller)):
        for method in ("INFO", "BYE"):
            sent = one.send(method)
            passed = asyncio.ensure_future(between.pass_on(sent, near.call_id))
            arrived = await other.mail_of(near.call_id).get(lambda item: True, 4, method)
            assert arrived.method == method and not arrived.request.has("Route"), arrived
            arrived.respond(200)
            await passed


@in_mode("forward")
async def a_call_that_came_back_for_another_number_goes_on_as_any_other():
    """RFC 5393 section 4.2.1: within a call the Request-URI does not change between the two passes, but its Routes do."""
    for records_route in (True, False):
        async with World("forward", more_near=[CALLEE], tolerant=True) as world, world.party("127.0.0.62", user=DEST) as last:
            await through_twice(world, last, Between(world, records_route), world.callee)


@in_mode("forward")
async def a_call_that_came_back_as_another_peers_goes_on_as_any_other():
    """The switch between does not record its route: the Routes of both passes stand beside each other. Whom the first one's
    peer may send to, the second one's may not, and the other way round."""
    async with World("forward", tolerant=True, far="tcp") as world, world.party("127.0.0.70", user=DEST) as last:
        world.callee.transport = "udp"
        await world.reload(under_test=world.settings()["under_test"] + f"""
  {{ name = "back"; addresses = [ "{CALLEE}" ]; customer = "acme"; mode = "forward"; country_code = "1";
    next_hop = "sip:{last.host}:{last.port};transport=udp"; }},""")
        await through_twice(world, last, Between(world, False), last)


@in_mode("forward")
async def a_route_set_may_name_us_more_often_than_twice():
    async with World("forward") as world:
        ours = [f"<sip:127.0.0.1:{world.port};lr>"] * 5
        call = world.caller.invite(routes=ours)
        incoming = await world.callee.incoming()
        assert not incoming.request.has("Route"), incoming
        incoming.respond(180)
        await call.expect(180)
        near, far = await world.answer(call, incoming)
        near.routes += ours
        await near.ask(far, "INFO")
        await near.end(far)


# ---- nothing to lose ----


async def carry_on(world, near, far, i):
    await world.callee.move()
    await far.offer(near)
    await far.offer(near, "UPDATE")
    await world.caller.move()
    await near.offer(far)
    await (near.end(far) if i % 2 else far.end(near))


async def ringing_calls_go_on(workers):
    async with World("forward", workers=workers) as world:
        calls = [await world.ring() for _ in range(6)]
        world.kill_workers()
        for i, (call, incoming) in enumerate(calls):
            if i == 5:
                incoming.respond(603, "Network Blocked")
                await call.expect(603)
                await incoming.acknowledged(None)
                continue
            if i == 4:
                cancel = call.cancel()
                (await world.callee.cancelled(incoming)).respond(200)
                await cancel.expect(200)
                incoming.respond(487)
                await call.expect(487)
                await incoming.acknowledged(None)
                continue
            near, far = await world.answer(call, incoming)
            await carry_on(world, near, far, i)
        for i, (call, _) in enumerate(calls):
            world.record(call.request.call_id, final_status=(200, 200, 200, 200, 487, 603)[i])


@in_mode("forward")
async def calls_that_ring_go_on_when_their_worker_is_killed():
    await ringing_calls_go_on(1)


@in_mode("forward")
async def calls_that_ring_go_on_when_all_workers_are_killed():
    await ringing_calls_go_on(3)


async def by_two_nodes(advertise):
    async with World("forward") as world:
        with world.second_node(advertise=advertise) as node:
            by = ("127.0.0.1", node.port, "udp")
            for i in range(4):
                near, far = await world.connect()
                near.by, far.by = (by if i & 1 else None), (by if i & 2 else None)
                await carry_on(world, near, far, i)
            # The CANCEL by the other one: the same branch.
            call, incoming = await world.ring()
            call.place = by
            cancel = call.cancel()
            (await world.callee.cancelled(incoming)).respond(200)
            await cancel.expect(200)
            call.place = ("127.0.0.1", world.port, "udp")
            incoming.respond(487)
            await call.expect(487)


@in_mode("forward")
async def nodes_that_advertise_one_address_carry_on_each_others_calls():
    await by_two_nodes(advertise=True)


@in_mode("forward")
async def another_node_with_the_same_secret_carries_calls_on():
    """The seal of the Route says that it is ours, whatever address stands before it."""
    await by_two_nodes(advertise=False)


@in_mode("forward")
async def another_node_takes_the_address_of_a_dead_one_over():
    async with World("forward") as world:
        calls = [await world.ring() for _ in range(3)]
        established = await world.connect()
        for pid in (world.stirrup.pid, *world.stirrup.children().values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        world.stirrup.process.wait()
        world.stirrup.stopped_cleanly = True
        with world.second_node(port=world.port):
            for i, (call, incoming) in enumerate(calls):
                near, far = await world.answer(call, incoming)
                await carry_on(world, near, far, i)
            await carry_on(world, *established, 1)


@in_mode("forward")
async def another_secret_is_another_installation():
    async with World("forward") as world:
        node = world.second_node()
        (node.directory / "secret").unlink()
        with node:
            near, far = await world.connect()
            near.by = ("127.0.0.1", node.port, "udp")
            await near.send("BYE").expect(481)
            near.by = None
            await near.end(far)


@in_mode("forward")
async def a_call_goes_on_under_a_new_secret_while_the_old_one_is_read():
    for service in ("sign", "verify"):
        async with World("forward", service) as world:
            directory = world.stirrup.directory

            def change():
                os.rename(directory / "secret", directory / "secret.old")
                world.stirrup.write_config(sip='\n  previous_secret_file = "secret.old";')

            calls = [await world.connect() for _ in range(3)]
            ringing = [await world.ring() for _ in range(3)]
            near, far = calls.pop()
            offered = near.send("INVITE", body=SDP)
            refused = await far.expect("INVITE")
            refused.respond(100)
            await offered.expect(100)  # else it repeats itself, and is another one under the new secret
            world.restart(change)
            assert (directory / "secret").read_bytes() != (directory / "secret.old").read_bytes()
            # What was asked before the restart is answered after it.
            near, far = await world.answer(*ringing[0])
            await carry_on(world, near, far, 0)
            call, incoming = ringing[1]
            incoming.respond(603, "Network Blocked")
            await call.expect(603)
            await incoming.acknowledged(None)
            # As are CANCELs: the far side knows one of the two that it gets.
            call, incoming = ringing[2]
            cancel = call.cancel()
            (await world.callee.cancelled(incoming)).respond(200)
            (await world.callee.unknown_cancel(incoming)).respond(481)
            await cancel.expect(200)
            incoming.respond(487)
            await call.expect(487)
            await incoming.acknowledged(None)
            # Within a call, too.
            cancel = offered.cancel()
            (await world.callee.cancelled(refused)).respond(200)
            (await world.callee.unknown_cancel(refused)).respond(481)
            await cancel.expect(200)
            refused.respond(487)
            await offered.expect(487)
            await near.end(far)
            for i, (near, far) in enumerate(calls):
                await carry_on(world, near, far, i)
            # New ones begin under the new one.
            near, far = await world.connect()
            world.restart(lambda: world.stirrup.write_config(sip=""))
            await carry_on(world, near, far, 1)


@in_mode("forward")
async def without_the_old_secret_calls_of_before_it_are_nobodys():
    async with World("forward") as world:
        near, far = await world.connect()
        call, incoming = await world.ring()
        world.restart(lambda: os.unlink(world.stirrup.directory / "secret"))
        await near.send("BYE").expect(481)
        await far.send("BYE").expect(481)
        incoming.send(incoming.build(183, tag="callee"))
        await call.silence()
        near, far = await world.connect()
        await carry_on(world, near, far, 0)


@in_mode("forward")
async def a_worker_killed_between_two_repeats_costs_no_call():
    """The INVITE, lost with the worker, comes again."""
    async with World("forward", workers=1) as world:
        for _ in range(5):
            worker = world.stirrup.child("worker 0")
            call = world.caller.invite()
            os.kill(worker, signal.SIGKILL)
            incoming = await world.callee.incoming(seconds=6)
            incoming.respond(180)
            assert (await call.responses.get(lambda item: item.status != 100, 6, "180")).status == 180
            far = incoming.accept()
            near = call.dialog(await call.expect(200))
            near.ack()
            await incoming.acknowledged()
            await far.end(near)
            assert not is_alive(worker)
