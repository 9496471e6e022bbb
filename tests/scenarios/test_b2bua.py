"""Mode "b2bua": two legs, of which neither sees the other's topology, and calls that outlive every process."""

import asyncio
import contextlib
import ipaddress
import os
import re
import shutil
import socket

from forwarding import CALLEE, CALLEE_MOVED, CALLER, SECOND_HOP, World, in_mode
from harness import DEST, OWN, free_port, wait_until
from parties import Party, Uri, tag_of

UDP = ";transport=udp"


async def use(near, far, caller=None, callee=None):
    """Everything that an established call is for; ended by the callee."""
    if callee is not None:
        await callee.move()
    await far.offer(near)
    await far.offer(near, "UPDATE")
    if caller is not None:
        await caller.move()
    await near.offer(far)
    await near.offer(far, "UPDATE")
    for one, other in ((near, far), (far, near)):
        await one.ask(other, "INFO", ["X-A: 1"], b"a\0b")
    await far.end(near)


# ---- what each side sees ----


@in_mode("b2bua")
async def neither_side_sees_the_other():
    caller_text = re.compile(rb"127\.0\.0\.41|near-side|10\.1\.2\.3")
    callee_text = re.compile(rb"127\.0\.0\.6[1-3]|far-side|10\.4\.5\.6")

    async with World("b2bua") as world:
        caller, callee = world.caller, world.callee
        near_route = f"<sip:near-side@{CALLER}:{caller.port};lr>"
        far_route = f"<sip:far-side@{CALLEE}:{callee.port};lr>"
        call = caller.invite(from_=f"<sip:{OWN}@from.example;user=phone>;tag=caller", to=f"<sip:{DEST}@to.example;user=phone>",
                             headers=[f"Record-Route: {near_route}"],
                             more_vias=["SIP/2.0/UDP near-side.invalid;branch=z9hG4bKn;received=10.1.2.3"])
        incoming = await callee.incoming()
        seen_by_callee, seen_by_caller = [incoming.request.raw], []
        routes = [far_route]
        sent = incoming.respond(183, record_routes=routes)
        assert sent.has("Record-Route")
        seen_by_caller.append((await call.expect(183)).raw)
        response = incoming.respond(200, record_routes=routes)
        accepted = await call.expect(200)
        seen_by_caller.append(accepted.raw)
        near, far = call.dialog(accepted), incoming.dialog(response=response)
        near.routes, far.routes = [], []  # their switches are the parties themselves
        near.ack()
        seen_by_callee.append((await incoming.acknowledged()).raw)
        for one, other, seen_there, seen_here in ((near, far, seen_by_callee, seen_by_caller),
                                                  (far, near, seen_by_caller, seen_by_callee)):
            for method in ("INFO", "UPDATE"):
                sent = one.send(method)
                arrived = await other.expect(method)
                arrived.respond(200)
                seen_there.append(arrived.request.raw)
                seen_here.append((await sent.expect(200)).raw)
        asked, _ = await far.end(near)
        seen_by_caller.append(asked.raw)
        for raw in seen_by_callee:
            assert not caller_text.search(raw.replace(near_route.encode(), b"")), raw
        own = re.compile(rb"(?m)^(?:Via|Record-Route|Route): .*\r\n|^[A-Z]+ sip:.* SIP/2.0\r\n")
        for raw in seen_by_caller:
            assert not callee_text.search(own.sub(b"", raw)), raw
            for line in own.findall(raw):
                assert not callee_text.search(line), raw


@in_mode("b2bua")
async def the_user_part_of_contact_and_its_parameters_are_kept():
    """RFC 4904: trunk groups live there."""
    async with World("b2bua", user_parameters=";tgrp=TG-1;trunk-context=example.com") as world:
        call, incoming = await world.ring()  # which checks it
        assert Uri(incoming.request.contact).user == f"{OWN};tgrp=TG-1;trunk-context=example.com"
        near, far = await world.answer(call, incoming)
        assert Uri(near.target).user == f"{DEST};tgrp=TG-1;trunk-context=example.com"
        # What the callee sends to that Contact arrives at the caller's own.
        asked, _ = await far.ask(near, "INFO")
        assert asked.uri == world.caller.contact_uri, asked
        asked, _ = await near.ask(far, "INFO")
        assert asked.uri == world.callee.contact_uri, asked
        await near.end(far)


@in_mode("b2bua")
async def call_id_and_tags_pass_by_default():
    async with World("b2bua") as world:
        near, far = await world.connect(tag="his.tag~1")
        assert near.call_id == far.call_id
        assert (tag_of(near.local), tag_of(near.remote)) == (tag_of(far.remote), tag_of(far.local)) == ("caller", "his.tag~1")
        await near.end(far)


@in_mode("b2bua")
async def a_100_is_sent_at_once():
    async with World("b2bua") as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        await asyncio.wait_for(call.tried.wait(), 2)
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)


@in_mode("b2bua")
async def each_sides_route_set_is_honoured_and_its_change_ignored():
    """RFC 3261 section 12.2: only the target is refreshed."""
    async with World("b2bua") as world:
        callee = world.callee
        call = world.caller.invite()
        incoming = await callee.incoming()
        routes = [f"<sip:p{i}@{CALLEE}:{callee.port};lr;hop={i}>" for i in range(3)]
        response = incoming.respond(200, record_routes=routes)
        near, far = call.dialog(await call.expect(200)), incoming.dialog(response=response)
        assert near.routes == []
        far.routes = []
        near.ack()
        assert (await incoming.acknowledged()).items("Route") == routes[::-1]
        for _ in range(2):
            asked, _ = await near.ask(far, "INFO")
            assert asked.items("Route") == routes[::-1] and asked.uri == callee.contact_uri, asked
            sent = far.send("UPDATE", [f"Record-Route: <sip:new@{CALLEE}:1;lr>"])
            arrived = await near.expect("UPDATE")
            assert not arrived.request.has("Record-Route"), arrived
            arrived.respond(200)
            answer = await sent.expect(200)
            assert not answer.has("Record-Route") or answer.items("Record-Route") == [f"<sip:new@{CALLEE}:1;lr>"]
        await far.end(near)


@in_mode("b2bua")
async def a_2xx_after_the_end_is_acknowledged_and_ended_where_its_contact_says():
    """RFC 3261 section 13.3.1.4: nobody else will. By the transport of the Contact."""
    async with World("b2bua") as world, Party(CALLEE_MOVED, transport="tcp") as other:
        call, incoming = await world.ring()
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        incoming.send(incoming.build(200, tag="late", contact=other.contact))
        bye = await other.mail_of(call.request.call_id).get(lambda item: item.method == "BYE", 4, "BYE")
        bye.respond(200, tag="late")
        assert bye.request.tcp and bye.request.to_tag == "late" and bye.request.from_tag == call.request.from_tag, bye
        assert bye.request.uri == other.contact_uri, bye
        assert bye.request["Via"].startswith("SIP/2.0/TCP ") and bye.request.cseq == call.request.cseq + 1, bye
        [ack] = other.stray_acks
        assert ack.tcp and (ack.to_tag, ack.cseq) == ("late", call.request.cseq), ack
        assert [item.status for item in call.responses.items] == [100], call.responses.items


@in_mode("b2bua")
async def who_rings_as_one_of_many_may_still_answer():
    async with World("b2bua") as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        for i in range(40):
            incoming.respond(180, tag=f"t{i}")
            await call.expect(180)
        near, far = await world.answer(call, incoming, "t39")
        await use(near, far)


@in_mode("b2bua")
async def a_contact_that_the_200_does_not_repeat_still_counts():
    async with World("b2bua") as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        await world.callee.move()
        incoming.respond(183)
        near = call.dialog(await call.expect(183))
        incoming.respond(200, contact=False)
        await call.expect(200)
        near.ack()
        assert (await incoming.acknowledged()).by is world.callee.here
        await near.end(incoming.dialog())


@in_mode("b2bua")
async def the_notify_of_a_refer_does_not_outlive_the_call():
    async with World("b2bua") as world:
        near, far = await world.connect()
        await near.ask(far, "REFER", ["Refer-To: <sip:+13035550111@192.0.2.9>"], status=202)
        notify = ["Event: refer", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag"]
        await far.ask(near, "NOTIFY", notify, b"SIP/2.0 100 Trying\r\n")
        await near.end(far)
        sent = far.send("NOTIFY", notify, b"SIP/2.0 200 OK\r\n")
        await sent.expect(481)


# ---- call_id = "new" ----


@in_mode("b2bua")
async def call_id_new_gives_the_far_leg_its_own():
    async with World("b2bua", peer='call_id = "new";') as world:
        calls = []
        for _ in range(3):
            call = world.caller.invite(headers=["Supported: 100rel"])
            incoming = await world.callee.incoming()
            assert incoming.request.call_id != call.request.call_id
            sent = incoming.respond(183, None, ["Require: 100rel", "RSeq: 5"])
            world.check_response(sent, response := await call.expect(183))
            early, early_far = call.dialog(response), incoming.dialog()
            await early.ask(early_far, "PRACK", [f"RAck: 5 {incoming.request.cseq} INVITE"])
            near, far = await world.answer(call, incoming)
            assert near.call_id != far.call_id
            calls.append((near, far))
        assert len({far.call_id for _, far in calls}) == 3
        for near, far in calls:
            world.record(near.call_id, final_status=200)
            far.cseq += 10
            await use(near, far, world.caller, world.callee)
        call, incoming = await world.ring()
        cancel = call.cancel()
        (await world.callee.cancelled(incoming)).respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        await incoming.acknowledged(None)


def replaces(value):
    parts = [part.strip() for part in value.split(";")]
    return parts[0], set(parts[1:])


@in_mode("b2bua")
async def call_id_new_translates_what_names_another_call():
    async with World("b2bua", peer='call_id = "new";') as world:
        near, far = await world.connect()
        here = f"{near.call_id};to-tag={tag_of(near.remote)};from-tag={tag_of(near.local)}"
        there = f"{far.call_id};to-tag={tag_of(far.local)};from-tag={tag_of(far.remote)}"
        for name in ("Replaces", "Join"):
            call = world.caller.invite(headers=[f"{name}: {here}" + (";early-only" if name == "Replaces" else "")])
            incoming = await world.callee.incoming()
            expected, flags = replaces(there)
            if name == "Replaces":
                flags = flags | {"early-only"}
            assert replaces(incoming.request[name]) == (expected, flags), (incoming, there)
            incoming.respond(486)
            await call.expect(486)
            await incoming.acknowledged(None)
        # Target-Dialog has local-tag and remote-tag, as its sender sees them (RFC 4538).
        call = world.caller.invite(headers=[f"Target-Dialog: {near.call_id};local-tag={tag_of(near.local)};"
                                            f"remote-tag={tag_of(near.remote)}"])
        incoming = await world.callee.incoming()
        name, tags = replaces(incoming.request["Target-Dialog"])
        assert name == far.call_id, incoming
        assert tags == {f"local-tag={tag_of(far.remote)}", f"remote-tag={tag_of(far.local)}"}, incoming
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        # What names no call of ours passes.
        call = world.caller.invite(headers=["Replaces: nobody@x;to-tag=1;from-tag=2"])
        incoming = await world.callee.incoming()
        assert incoming.request["Replaces"] == "nobody@x;to-tag=1;from-tag=2", incoming
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        await near.end(far)


@in_mode("b2bua")
async def call_id_new_translates_within_a_call_and_for_the_other_side():
    async with World("b2bua", peer='call_id = "new";') as world:
        near, far = await world.connect()
        for one, other in ((near, far), (far, near)):
            sent = one.send("REFER", ["Refer-To: <sip:x@192.0.2.1>", f"Target-Dialog: {one.call_id};local-tag={tag_of(one.local)};"
                                      f"remote-tag={tag_of(one.remote)}"])
            arrived = await other.expect("REFER")
            assert replaces(arrived.request["Target-Dialog"])[0] == other.call_id, arrived
            arrived.respond(202)
            await sent.expect(202)
        await near.end(far)


@in_mode("b2bua")
async def call_id_new_translates_what_is_replied_to():
    async with World("b2bua", peer='call_id = "new";') as world:
        near, far = await world.connect()
        call = world.caller.invite(headers=[f"In-Reply-To: {near.call_id}, unknown@x"])
        incoming = await world.callee.incoming()
        assert incoming.request.items("In-Reply-To") == [far.call_id, "unknown@x"], incoming
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        await near.end(far)


@in_mode("b2bua")
async def call_id_new_translates_what_is_replied_to_when_that_is_over():
    """It mostly is, and often nobody has answered (RFC 3261 section 20.21)."""
    async with World("b2bua", peer='call_id = "new";') as world:
        over = []
        for status in (486, 603):
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            incoming.respond(status)
            await call.expect(status)
            await incoming.acknowledged(None)
            over.append((call.request.call_id, incoming.request.call_id))
        call, incoming = await world.ring()
        cancel = call.cancel()
        (await world.callee.cancelled(incoming)).respond(200)
        await cancel.expect(200)
        incoming.respond(487)
        await call.expect(487)
        await incoming.acknowledged(None)
        over.append((call.request.call_id, incoming.request.call_id))
        near, far = await world.connect()  # with which what is not written yet is, too
        await near.end(far)
        over.append((near.call_id, far.call_id))
        for killed in range(2):
            if killed:
                world.kill_all()
            for side in range(2):  # by what the caller knows, and by what the callee knows
                call = world.caller.invite(headers=[f"In-Reply-To: {', '.join(ids[side] for ids in over)}"])
                incoming = await world.callee.incoming()
                assert incoming.request.items("In-Reply-To") == [ids[1 - side] for ids in over], (incoming, over)
                incoming.respond(486)
                await call.expect(486)
                await incoming.acknowledged(None)


@in_mode("b2bua")
async def a_list_of_call_ids_without_end_costs_little():
    """Translated as far as it may go, and then passed."""
    async with World("b2bua", peer='call_id = "new";', near="tcp", far="tcp") as world:
        near, far = await world.connect()
        value = ",".join([near.call_id] + [f"{i}@x" for i in range(5000)])
        call = world.caller.invite(headers=[f"In-Reply-To: {value}", f"In-Reply-To: {near.call_id}"])
        incoming = await world.callee.incoming()
        assert len(incoming.request.items("In-Reply-To")) == 5002
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        await near.end(far)


@in_mode("b2bua")
async def a_replaces_passes_as_it_is_by_default():
    async with World("b2bua") as world:
        near, far = await world.connect()
        value = f"{near.call_id};to-tag={tag_of(near.remote)};from-tag={tag_of(near.local)}"
        call = world.caller.invite(headers=[f"Replaces: {value}", f"In-Reply-To: {near.call_id}"])
        incoming = await world.callee.incoming()
        world.check_invite(call.request, incoming.request)
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        await near.end(far)


@in_mode("b2bua")
async def what_names_a_call_keeps_its_form_by_default():
    async with World("b2bua") as world:
        near, far = await world.connect()
        named = f"{near.call_id};to-tag={tag_of(near.remote)};from-tag={tag_of(near.local)}"
        escaped = named.replace("@", "%40").replace(";", "%3b").replace("=", "%3d")
        headers = [f"Refer-To: <sip:+13035550111@192.0.2.9?Replaces={escaped}&Require=replaces>",
                   f"Target-Dialog  :   {near.call_id} ; local-tag=caller\r\n ;remote-tag=callee"]
        for one, other in ((near, far), (far, near)):
            sent = one.send("REFER", headers)
            incoming = await other.expect("REFER")
            world.check_request(sent.request, incoming.request)
            incoming.respond(202)
            await sent.expect(202)
        await near.end(far)


@in_mode("b2bua")
async def a_call_back_to_the_callers_own_switch_gets_a_call_id_of_its_own():
    """It would take its own Call-ID for a loop."""
    async with World("b2bua", far_host=CALLER) as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        assert incoming.request.call_id != call.request.call_id, incoming
        far = incoming.accept()
        near = call.dialog(await call.expect(200))
        near.ack()
        await incoming.acknowledged()
        await use(near, far)


# ---- next hops ----


@in_mode("b2bua")
async def a_refused_connection_and_a_503_go_to_the_next_hop():
    async with Party(SECOND_HOP, user=DEST) as second:
        dead = free_port()
        for hops, answers in (
                (f'[ "sip:{CALLEE}:{dead};transport=tcp", "sip:{SECOND_HOP}:{second.port}{UDP}" ]', ()),
                (f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{SECOND_HOP}:{second.port}{UDP}" ]', (503,)),
                (f'( {{ uri = "sip:{CALLEE}:{{port}}{UDP}"; }}, {{ uri = "sip:{SECOND_HOP}:{second.port}{UDP}"; }} )', (503,)),
                (f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{CALLEE}:{dead};transport=tcp", "sip:{SECOND_HOP}:{second.port}{UDP}" ]',
                 (503,))):
            async with World("b2bua", hops=hops) as world:
                second.server = ("127.0.0.1", world.port)
                for _ in range(2):
                    call = world.caller.invite()
                    first = None
                    for status in answers:
                        with contextlib.suppress(AssertionError):  # after the first call it may be known to be down
                            first = await world.callee.incoming(seconds=0.7)
                            first.respond(status)
                            await first.acknowledged(None)
                    incoming = await second.incoming()
                    if first is not None:
                        assert incoming.request.all("Identity") == first.request.all("Identity"), "one call, one token"
                        assert incoming.request.branch != first.request.branch
                    world.check_invite(call.request, incoming.request)
                    near, far = await world.answer(call, incoming)
                    world.record(near.call_id, final_status=200)
                    await second.move()
                    await far.offer(near)
                    await near.end(far)


@in_mode("b2bua")
async def the_record_names_the_hop_that_took_the_call():
    async with Party(SECOND_HOP, user=DEST) as second:
        async with World("b2bua", hops=f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{SECOND_HOP}:{second.port}{UDP}" ]') as world:
            call = world.caller.invite()
            first = await world.callee.incoming()
            first.respond(503)
            await first.acknowledged(None)
            incoming = await second.incoming()
            incoming.respond(486)
            await call.expect(486)
            await incoming.acknowledged(None)
            record = world.record(call.request.call_id, final_status=486)
            assert f"{SECOND_HOP}:{second.port}" in record["next_hop"], record


@in_mode("b2bua")
async def where_every_hop_refuses_the_last_answer_comes_back():
    async with Party(SECOND_HOP, user=DEST) as second:
        async with World("b2bua", hops=f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{SECOND_HOP}:{second.port}{UDP}" ]') as world:
            call = world.caller.invite()
            for party in (world.callee, second):
                incoming = await party.incoming()
                incoming.respond(503, "Full", ["X-Hop: 1"])
                await incoming.acknowledged(None)
            response = await call.final()
            assert response.status in (500, 503), response
            world.record(call.request.call_id, final_status=response.status)


@in_mode("b2bua")
async def other_refusals_are_the_calls_answer():
    async with Party(SECOND_HOP, user=DEST) as second:
        async with World("b2bua", hops=f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{SECOND_HOP}:{second.port}{UDP}" ]') as world:
            for status in (404, 486, 500, 603):
                call = world.caller.invite()
                incoming = await world.callee.incoming()
                incoming.respond(status)
                await call.expect(status)
                await incoming.acknowledged(None)
            await second.silence(0.2)


@in_mode("b2bua")
async def no_hop_at_all_is_a_final_answer():
    dead = free_port()
    async with World("b2bua", hops=f'"sip:{CALLEE}:{dead};transport=tcp"') as world:
        call = world.caller.invite()
        response = await call.final(10)
        assert response.status in (408, 480, 500, 502, 503), response
        world.record(call.request.call_id, final_status=response.status)


@in_mode("b2bua")
async def a_cancel_ends_a_call_wherever_it_is_tried():
    async with Party(SECOND_HOP, user=DEST) as second:
        async with World("b2bua", hops=f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{SECOND_HOP}:{second.port}{UDP}" ]') as world:
            call = world.caller.invite()
            first = await world.callee.incoming()
            first.respond(503)
            await first.acknowledged(None)
            incoming = await second.incoming()
            incoming.respond(180)
            await call.expect(180)
            cancel = call.cancel()
            (await second.cancelled(incoming)).respond(200)
            await cancel.expect(200)
            incoming.respond(487)
            await call.expect(487)
            await incoming.acknowledged(None)


@in_mode("b2bua")
async def weights_share_the_calls_out():
    async with Party(SECOND_HOP, user=DEST) as second:
        hops = (f'( {{ uri = "sip:{CALLEE}:{{port}}{UDP}"; weight = 1; }}, '
                f'{{ uri = "sip:{SECOND_HOP}:{second.port}{UDP}"; weight = 1; }} )')
        async with World("b2bua", hops=hops) as world:
            counts = {}
            for party in (world.callee, second):
                counts[party] = 0

                async def busy(incoming, party=party):
                    counts[party] += 1
                    incoming.respond(486)
                party.on_call = busy
            for _ in range(40):
                await world.caller.invite().expect(486)
            assert min(counts.values()) >= 5, counts.values()


@in_mode("b2bua")
async def a_long_invite_goes_by_tcp_where_the_hop_takes_it():
    """RFC 3261 section 18.1.1: from 1,300 octets on, unless the hop has a ;transport=."""
    body = b"x" * 2000
    async with World("b2bua", "verify", hop="") as world:
        call = world.caller.invite()
        incoming = await world.callee.incoming()
        assert not incoming.request.tcp and len(incoming.request.raw) < 1300, incoming
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
        call = world.caller.invite(body=body)
        incoming = await world.callee.incoming()
        assert incoming.request.tcp and "/TCP " in incoming.request.items("Via")[0], incoming
        far = incoming.accept()
        near = call.dialog(await call.expect(200))
        near.ack()
        await incoming.acknowledged()
        await use(near, far)
    async with World("b2bua", "verify", hop="") as world:
        # Nobody listens there: UDP after all.
        world.callee.here.tcp.close()
        await world.callee.here.tcp.wait_closed()
        call = world.caller.invite(body=body)
        incoming = await world.callee.incoming()
        assert not incoming.request.tcp and incoming.request.body == body
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)
    async with World("b2bua", hop=UDP) as world:
        call = world.caller.invite(body=body)
        incoming = await world.callee.incoming()
        assert not incoming.request.tcp
        incoming.respond(486)
        await call.expect(486)
        await incoming.acknowledged(None)


@in_mode("b2bua")
async def a_hop_whose_tcp_is_a_black_hole_costs_one_call_four_seconds():
    """As behind a firewall that drops what it does not know: a full queue of connections takes no more."""
    body = b"x" * 2000
    async with World("b2bua", hop="") as world:
        world.callee.here.tcp.close()
        await world.callee.here.tcp.wait_closed()
        with contextlib.ExitStack() as stack:
            hole = stack.enter_context(socket.socket())
            hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            hole.bind((CALLEE, world.callee.port))
            hole.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex((CALLEE, world.callee.port))
            for seconds in (8, 2, 2):
                call = world.caller.invite(body=body)
                incoming = await world.callee.incoming(seconds=seconds)
                assert not incoming.request.tcp and incoming.request.body == body
                await refuse(call, incoming)


@in_mode("b2bua")
async def a_long_invite_is_sent_once_to_a_hop_that_takes_its_time():
    async with World("b2bua", hop="") as world:
        call = world.caller.invite(body=b"x" * 2000)
        incoming = await world.callee.incoming()
        await asyncio.sleep(5)
        assert incoming.request.tcp and not world.callee.new_calls.items
        await refuse(call, incoming)


@contextlib.asynccontextmanager
async def closing(host, port=0):
    """Takes connections, to close them at once: its port."""
    async def close(reader, writer):
        writer.close()

    server = await asyncio.start_server(close, host, port, reuse_address=True)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@in_mode("b2bua")
async def who_closes_each_connection_is_left_for_the_next_hop():
    async with closing(CALLEE) as port:
        async with World("b2bua", hops=f'[ "sip:{CALLEE}:{port};transport=tcp", "sip:{CALLEE}:{{port}}{UDP}" ]') as world:
            call = world.caller.invite()
            await refuse(call, await world.callee.incoming(seconds=2))
    async with World("b2bua", hops=f'"sip:{CALLEE}:{port};transport=tcp"') as world:
        async with closing(CALLEE, port):
            assert (await world.caller.invite().final(2)).status == 503
    async with World("b2bua", hop="") as world:
        world.callee.here.tcp.close()
        await world.callee.here.tcp.wait_closed()
        async with closing(CALLEE, world.callee.port):
            call = world.caller.invite(body=b"x" * 2000)
            incoming = await world.callee.incoming(seconds=2)
            assert not incoming.request.tcp
            await refuse(call, incoming)


@in_mode("b2bua")
async def what_was_sent_when_the_hop_closed_its_connection_is_sent_again():
    """It has been idle for too long, say."""
    async with World("b2bua", far="tcp") as world:
        near, far = await world.connect()
        call, info = world.caller.invite(), near.send("INFO")
        taken = (await world.callee.incoming(), await far.expect("INFO"))
        connection = taken[0].request.by
        assert connection is taken[1].request.by
        connection.close()
        await wait_for(lambda: all(incoming.repeated == 1 for incoming in taken), 2, "both again")
        for incoming in taken:
            incoming.answer_by = world.callee.accepted[-1].write
        await refuse(call, taken[0])
        taken[1].respond(200)
        await info.expect(200)
        await near.end(far)


class Resolver(asyncio.DatagramProtocol):
    """A DNS server for one name: RFC 1035 as far as A and AAAA records go. addresses: None: no answer at all."""

    def __init__(self, name, *addresses):
        self.name, self.addresses = name, addresses or None

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.settings = f'\n  dns_servers = [ "127.0.0.1:{self.transport.get_extra_info("sockname")[1]}" ];'
        return self

    async def __aexit__(self, *_):
        self.transport.close()

    def datagram_received(self, data, source):
        end = data.index(b"\0", 12)
        name = b".".join(re.findall(rb"[\x01-\x3f]([a-z0-9-]+)", data[12:end].lower())).decode()
        if self.addresses is None:
            return
        known, kind = name == self.name, int.from_bytes(data[end + 1:end + 3], "big")
        found = [ipaddress.ip_address(text).packed for text in self.addresses if kind == (28 if ":" in text else 1)]
        answers = [b"\xc0\x0c" + data[end + 1:end + 5] + b"\0\0\0\1" + bytes((0, len(address))) + address for address in found]
        flags = b"\x85\x80" if known else b"\x85\x83"
        self.transport.sendto(data[:2] + flags + bytes((0, 1, 0, len(answers), 0, 0, 0, 0)) + data[12:end + 5] + b"".join(answers),
                              source)


@in_mode("b2bua")
async def a_host_name_is_a_next_hop_too():
    """With an address of each family: both get calls."""
    taken = set()
    async with Resolver("hop.example.net", "127.0.0.1", "::1") as resolver:
        async with World("b2bua", far_host="127.0.0.1", hops=f'"sip:hop.example.net:{{port}}{UDP}"', sip=resolver.settings) as world:
            async with Party("::1", user=DEST, port=world.callee.port) as six:
                for party in (world.callee, six):
                    async def busy(incoming, party=party):
                        taken.add(party)
                        incoming.respond(486)
                    party.on_call = busy
                # Resolved off the call path: the first calls may come too early, none may wait.
                for _ in range(100):
                    response = await world.caller.invite().final()
                    assert response.status in (486, 503), response
                    if len(taken) == 2:
                        break
                    await asyncio.sleep(0.05)
                else:
                    raise AssertionError(f"only these were ever called: {taken}")


TWO_HOPS = f'[ "sip:{CALLEE}:{{port}}{UDP}", "sip:{SECOND_HOP}:{{second}}{UDP}" ]'


@contextlib.asynccontextmanager
async def two_hops(hops=TWO_HOPS, **options):
    async with Party(SECOND_HOP, user=DEST) as second:
        async with World("b2bua", hops=hops.replace("{second}", str(second.port)), **options) as world:
            second.server = ("127.0.0.1", world.port)
            yield world, second


async def refuse(call, incoming, status=486):
    incoming.respond(status)
    assert (await call.final()).status == status
    await incoming.acknowledged(None)


async def both_hops_have_it(world, second):
    """An INVITE that the first hop does not answer in time."""
    call = world.caller.invite()
    first = await world.callee.incoming(call_id=call.request.call_id)
    other = await second.incoming(call_id=call.request.call_id, seconds=8)
    assert first.request.all("Identity") == other.request.all("Identity") and first.request.branch != other.request.branch
    return call, first, other


@in_mode("b2bua")
async def a_silent_hop_is_left_for_the_next_one():
    async with two_hops() as (world, second):
        call, first, other = await both_hops_have_it(world, second)
        assert first.repeated == 3, first.repeated
        near, far = await world.answer(call, other)
        record = world.record(call.request.call_id, final_status=200)
        assert f"{SECOND_HOP}:{second.port}" in record["next_hop"], record
        await use(near, far, world.caller, second)
        assert first.repeated == 3, first.repeated


async def nothing_more(call):
    await asyncio.sleep(0.3)
    assert all(response.status == 100 for response in call.responses.items), call.responses.items


async def it_takes_the_call_after_all(world, second):
    """The caller has the first 2xx; nobody else needs to ring for it (RFC 3261 section 16.7, item 10)."""
    call, first, other = await both_hops_have_it(world, second)
    other.respond(180, tag="other")
    await call.expect(180)
    near, far = await world.answer(call, first)
    (await second.cancelled(other)).respond(200)
    other.respond(487, tag="other")
    await other.acknowledged(None)
    await nothing_more(call)
    record = world.record(call.request.call_id, final_status=200)
    assert f"{CALLEE}:{world.callee.port}" in record["next_hop"], record
    await near.end(far)


async def both_take_it(world, second):
    """The caller gets both 2xx, to acknowledge the one and end the other (RFC 3261 section 13.2.2.4)."""
    call, first, other = await both_hops_have_it(world, second)
    near, far = await world.answer(call, first)
    other_near, other_far = await world.answer(call, other, "other")
    await other_near.end(other_far)
    await near.offer(far)
    await near.end(far)


async def it_rings_after_all(world, second):
    """It was given up, so it gets a CANCEL (RFC 3261 section 9.1)."""
    call, first, other = await both_hops_have_it(world, second)
    first.respond(180, tag="first")
    cancelled = await world.callee.cancelled(first)
    assert not first.acknowledgements
    cancelled.respond(200)
    first.respond(487, tag="first")
    await first.acknowledged(None)
    await refuse(call, other)
    await nothing_more(call)


async def it_refuses_after_all(world, second):
    """Nothing of it reaches the caller, and the ACK it gets (RFC 3261 section 17.1.1.3)."""
    call, first, other = await both_hops_have_it(world, second)
    for count in (1, 2):
        first.send(first.build(503, tag="first"))
        await wait_for(lambda count=count: first.acknowledgements == count, 4, "the ACK")
    await refuse(call, other)


@in_mode("b2bua")
async def a_hop_that_was_silent_too_long_may_still_answer():
    async with two_hops(tolerant=True) as (world, second):
        await asyncio.gather(it_takes_the_call_after_all(world, second), both_take_it(world, second),
                             it_rings_after_all(world, second), it_refuses_after_all(world, second))


@in_mode("b2bua")
async def a_503_that_is_repeated_gets_its_ack_again():
    async with two_hops() as (world, second):
        call = world.caller.invite()
        first = await world.callee.incoming()
        first.respond(503)
        await first.acknowledged(None)
        other = await second.incoming()
        first.send(first.sent[-1])
        await wait_for(lambda: first.acknowledgements == 2, 4, "the ACK again")
        await refuse(call, other)


async def tried_first(world, second):
    """Which of the hops has a new call, and that call, which it refuses."""
    call = world.caller.invite()
    here, there = (asyncio.ensure_future(party.incoming(call_id=call.request.call_id)) for party in (world.callee, second))
    await asyncio.wait((here, there), return_when=asyncio.FIRST_COMPLETED)
    incoming = (here if here.done() else there).result()
    for task in (here, there):
        task.cancel()
    await refuse(call, incoming)
    return incoming.party


@in_mode("b2bua")
async def a_hop_that_fails_is_tried_last_until_it_answers():
    async with two_hops() as (world, second):
        world.callee.answers_probes = False
        assert await tried_first(world, second) is world.callee
        for _ in range(2):
            call = world.caller.invite()
            incoming = await world.callee.incoming()
            incoming.respond(503)
            await incoming.acknowledged(None)
            await refuse(call, await second.incoming())
        world.stirrup.wait_for_log(f"{CALLEE}:{world.callee.port} does not answer")
        for _ in range(3):
            assert await tried_first(world, second) is second
        # Last is not never.
        call = world.caller.invite()
        incoming = await second.incoming()
        incoming.respond(503)
        await incoming.acknowledged(None)
        await refuse(call, await world.callee.incoming(), 404)
        # That was an answer of any status: it is first again.
        assert await tried_first(world, second) is world.callee


@in_mode("b2bua")
async def a_hop_that_does_not_answer_options_is_tried_last_until_it_does():
    async with two_hops(sip='\n  probe_interval = "1s";') as (world, second):
        await wait_for(lambda: world.callee.probes >= 2 and second.probes >= 2, 5, "a second OPTIONS")
        assert await tried_first(world, second) is world.callee
        world.callee.answers_probes = False
        name = f"{CALLEE}:{world.callee.port}"
        await wait_for(lambda: f"{name} does not answer" in world.stirrup.log(), 10, "a word in the log")
        for _ in range(3):
            assert await tried_first(world, second) is second
        world.callee.answers_probes = True
        await wait_for(lambda: f"{name} answers again" in world.stirrup.log(), 10, "a word in the log")
        assert await tried_first(world, second) is world.callee


@in_mode("b2bua")
async def weights_are_shares_and_one_call_id_has_one_hop():
    hops = f'( {{ uri = "sip:{CALLEE}:{{port}}{UDP}"; weight = 9; }}, {{ uri = "sip:{SECOND_HOP}:{{second}}{UDP}"; weight = 1; }} )'
    async with two_hops(hops) as (world, second):
        taken = {}

        for party in (world.callee, second):
            async def busy(incoming, party=party):
                taken.setdefault(incoming.request.call_id, []).append(party)
                incoming.respond(486)
            party.on_call = busy
        names = [f"weight-{i}@parties" for i in range(100)]  # the choice depends on nothing else
        for cseq, name in enumerate((*names, *names[:20])):
            await world.caller.invite(call_id=name, cseq=cseq + 1).expect(486)
        assert all(len(set(parties)) == 1 for parties in taken.values()), "one Call-ID, two hops"
        assert 3 <= sum(parties[0] is second for parties in taken.values()) <= 20, taken


@in_mode("b2bua")
async def every_hop_refuses_the_connection():
    dead = [free_port(), free_port()]
    hops = f'[ "sip:{CALLEE}:{dead[0]};transport=tcp", "sip:{SECOND_HOP}:{dead[1]};transport=tcp" ]'
    async with World("b2bua", hops=hops) as world:
        for _ in range(2):
            call = world.caller.invite()
            response = await call.final()
            assert response.status == 503 and not response.has("Retry-After"), response
            world.record(call.request.call_id, final_status=503)
        near_by = world.caller.invite()
        await near_by.final()


@in_mode("b2bua")
async def a_call_goes_from_one_address_family_and_transport_to_the_other():
    """RFC 3263 section 4.3, as far as a list of addresses goes."""
    dead = free_port()
    hops = (f'[ "sip:[::1]:{dead};transport=tcp", "sip:[::1]:{{six}}{UDP}", "sip:{SECOND_HOP}:{{second}};transport=tcp", '
            f'"sip:{CALLEE}:{{port}}{UDP}" ]')
    async with Party("::1", user=DEST) as six, Party(SECOND_HOP, user=DEST, transport="tcp") as second:
        async with World("b2bua", hops=hops.replace("{six}", str(six.port)).replace("{second}", str(second.port))) as world:
            call = world.caller.invite()
            for party, via in ((six, f"UDP [::1]:{world.port};"), (second, f"TCP 127.0.0.1:{world.port};")):
                incoming = await party.incoming()
                assert via in incoming.request.items("Via")[0], incoming
                assert incoming.request.contact.startswith(f"sip:{OWN}@{via.split()[1][:-1]}"), incoming
                incoming.respond(503)
                await incoming.acknowledged(None)
            incoming = await world.callee.incoming()
            world.check_invite(call.request, incoming.request)
            near, far = await world.answer(call, incoming)
            record = world.record(near.call_id, final_status=200)
            assert f"{CALLEE}:{world.callee.port}" in record["next_hop"], record
            await use(near, far, world.caller, world.callee)


@in_mode("b2bua")
async def a_host_name_that_moves_takes_the_calls_along():
    async with Resolver("hop.example.net") as resolver, Party(SECOND_HOP, user=DEST) as second:
        async with World("b2bua", hops=f'"sip:hop.example.net:{{port}}{UDP}"', sip=resolver.settings) as world:
            await second.move(port=world.callee.port)
            # Nobody waits for a name.
            call = world.caller.invite()
            assert (await call.final()).status == 503
            world.record(call.request.call_id, final_status=503)
            resolver.addresses = [CALLEE]
            for _ in range(100):
                call = world.caller.invite()
                with contextlib.suppress(AssertionError):
                    incoming = await world.callee.incoming(seconds=0.2)
                    break
            else:
                raise AssertionError("never resolved")
            near, far = await world.answer(call, incoming)
            resolver.addresses = [SECOND_HOP]
            for _ in range(100):
                call = world.caller.invite()
                here, there = (asyncio.ensure_future(party.incoming(call_id=call.request.call_id))
                               for party in (world.callee, second))
                await asyncio.wait((here, there), return_when=asyncio.FIRST_COMPLETED)
                incoming = (here if here.done() else there).result()
                here.cancel()
                there.cancel()
                await refuse(call, incoming)
                if incoming.party is second:
                    break
                await asyncio.sleep(0.2)
            else:
                raise AssertionError("its new address is never used")
            # The call stands, and what the name's server does not say any more is not forgotten.
            resolver.addresses = None
            await near.offer(far)
            await near.end(far)
            await asyncio.sleep(6)
            call = world.caller.invite()
            await refuse(call, await second.incoming())


# ---- nothing to lose ----


@in_mode("b2bua")
async def established_calls_outlive_every_process():
    async with World("b2bua", workers=2) as world:
        calls = [await world.connect() for _ in range(6)]
        world.kill_all()
        for near, far in calls[:3]:
            await use(near, far, world.caller, world.callee)
        world.kill_all()
        for i, (near, far) in enumerate(calls[3:]):
            await world.callee.move()
            await far.offer(near, ("INVITE", "UPDATE")[i % 2])
            await near.end(far)


@in_mode("b2bua")
async def calls_with_a_call_id_of_their_own_outlive_every_process():
    async with World("b2bua", peer='call_id = "new";', workers=2) as world:
        calls = [await world.connect() for _ in range(4)]
        world.kill_all()
        for near, far in calls:
            await world.caller.move()
            await near.offer(far)
            await use(near, far, world.caller, world.callee)


@in_mode("b2bua")
async def a_refreshed_target_is_kept_over_restarts():
    async with World("b2bua") as world:
        near, far = await world.connect()
        await world.callee.move()
        await far.offer(near, "UPDATE")
        await world.caller.move()
        await near.offer(far)
        world.kill_all()
        asked, _ = await near.ask(far, "INFO")
        assert asked.by is world.callee.here
        asked, _ = await far.ask(near, "INFO")
        assert asked.by is world.caller.here
        await far.end(near)


@in_mode("b2bua")
async def a_call_in_set_up_on_a_worker_that_dies_leaves_nothing_behind():
    async with World("b2bua", tolerant=True) as world:
        call, incoming = await world.ring()
        world.kill_workers()
        incoming.respond(180, headers=["X-Late: 1"])
        cancel = call.cancel()
        assert (await cancel.final()).status in (200, 481)
        near, far = await world.connect()
        await use(near, far)
        for repeater in incoming.repeaters.values():
            repeater.stop()
        # Lost, and counted: its record is written without a final status; after some minutes, or at a stop.
        world.stirrup.process.terminate()
        assert await asyncio.to_thread(world.stirrup.process.wait, 10) == 0
        world.record(call.request.call_id, result="signed", final_status=None)
        world.stirrup.start()


@in_mode("b2bua")
async def a_damaged_store_costs_no_call_and_is_begun_anew():
    def damage(directory):
        (directory / "dialogs").mkdir()
        (directory / "dialogs/data.mdb").write_bytes(os.urandom(40960))

    async with World("b2bua", before=damage) as world:
        near, far = await world.connect()
        await use(near, far)
        wait_until(lambda: re.search("(?i)dialogs?.*(damaged|set aside|new)", world.stirrup.log()), 2, "a word in the log")
        near, far = await world.connect()
        world.kill_all()
        await use(near, far)


async def with_long_routes(world):
    """An established call that takes some 20 KB in the store."""
    callee = world.callee
    call = world.caller.invite()
    incoming = await callee.incoming()
    routes = [f"<sip:{'x' * 300}@{CALLEE}:{callee.port};lr;hop={i}>" for i in range(60)]
    response = incoming.respond(200, record_routes=routes)
    near, far = call.dialog(await call.expect(200)), incoming.dialog(response=response)
    far.routes = []
    near.ack()
    await incoming.acknowledged()
    return near, far, world.record(near.call_id, final_status=200)["note"]


@in_mode("b2bua")
async def a_full_store_costs_no_call_and_the_record_says_which_do_not_outlive_their_worker():
    async with World("b2bua", dialogs='store = "dialogs"; size = "1M";') as world:
        calls, last = [], []
        for _ in range(100):
            near, far, note = await with_long_routes(world)
            if note is None:
                calls.append((near, far))
            else:
                assert note == "the dialog store did not take the call", note
                last.append((near, far))
            if len(last) == 4:
                break
        assert len(calls) >= 10 and len(last) == 4, (len(calls), len(last))
        assert re.search("error: the dialog store .*/dialogs cannot be written", world.stirrup.log())
        await use(*last.pop(), world.caller, world.callee)
        for near, far in (*last, calls[-1]):
            await near.offer(far)
        world.kill_workers()
        for near, _ in last:
            await near.send("BYE").expect(481)
        # When the first one that it had no room for came, nobody knew yet.
        for near, far in calls[:-1]:
            await far.offer(near)
            await near.end(far)
        near, far, note = await with_long_routes(world)
        assert note is None, note
        world.kill_all()
        await near.offer(far)
        await use(near, far)


@in_mode("b2bua")
async def a_damaged_record_costs_its_call_alone():
    def damage():
        path = world.stirrup.directory / "dialogs/data.mdb"
        data = path.read_bytes()
        hit = calls[7][0].call_id.encode()
        assert hit in data
        path.write_bytes(data.replace(hit, hit[::-1]))

    async with World("b2bua") as world:
        calls = [await world.connect() for _ in range(20)]
        world.kill_all(damage)
        assert (world.stirrup.directory / "dialogs/data.mdb.damaged-1").exists()
        assert "is damaged: it is set aside" in world.stirrup.log()
        for i, (near, far) in enumerate(calls):
            if i == 7:
                await near.send("BYE").expect(481)
            else:
                await use(near, far)


@in_mode("b2bua")
async def a_store_that_was_cut_short_is_set_aside_and_the_daemon_serves():
    def damage():
        path = world.stirrup.directory / "dialogs/data.mdb"
        os.truncate(path, path.stat().st_size // 4)  # less than its calls take

    async with World("b2bua", tolerant=True) as world:
        calls = [await world.connect() for _ in range(100)]
        world.kill_all(damage)
        assert (world.stirrup.directory / "dialogs/data.mdb.damaged-1").exists()
        for near, far in calls:
            bye = near.send("BYE")
            while not (world.callee.mail_of(far.call_id).items or bye.responses.items):
                await asyncio.sleep(0.01)
            if not bye.responses.items:
                world.callee.mail_of(far.call_id).items[0].respond(200)
            assert (await bye.final()).status in (200, 481)
        near, far = await world.connect()
        world.kill_all()
        await use(near, far)

@in_mode("b2bua")
async def a_store_that_is_removed_while_it_is_used_is_made_again():
    async with World("b2bua", workers=2) as world:
        await (call := await world.connect())[0].offer(call[1])
        shutil.rmtree(world.stirrup.directory / "dialogs")
        for _ in range(8):
            near, far = await world.connect()
            await use(near, far)
            await asyncio.sleep(0.2)
        calls = [await world.connect() for _ in range(4)]
        world.kill_all()
        for near, far in calls:
            await use(near, far)


@in_mode("b2bua")
async def a_store_that_cannot_be_opened_costs_no_call():
    """Calls pass; that they do not outlive their worker is said in the log."""
    async with World("b2bua", dialogs='store = "stirrup.conf/none";') as world:
        near, far = await world.connect()
        await use(near, far, world.caller, world.callee)


@in_mode("b2bua")
async def a_call_with_the_same_tags_from_the_wrong_side_is_not_served():
    """The right tags, but the one side's from the other's address."""
    async with World("b2bua") as world:
        near, far = await world.connect()
        for dialog, party in ((near, world.callee), (far, world.caller)):
            raw, _ = dialog.request("BYE", via=party.via())
            sent = party.send(raw, ("127.0.0.1", world.port, "udp"))
            await asyncio.sleep(0.3)
            sent.repeater.stop()
            assert [item.status for item in sent.responses.items] in ([], [481]), sent.responses.items
        await world.caller.silence(0.1)
        await world.callee.silence(0.1)
        near.cseq, far.cseq = near.cseq + 10, far.cseq + 10
        await use(near, far)


@in_mode("b2bua")
async def an_answer_of_another_transaction_is_nobodys():
    async with World("b2bua", tolerant=True) as world:
        call, incoming = await world.ring()
        good = incoming.build(200, tag="callee").decode()
        for raw in (good.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"),
                    re.sub(r"branch=[^;\r]*", "branch=z9hG4bKforged", good, count=1),
                    re.sub(r"(branch=[^;\r]*)[^;\r]", r"\1", good, count=1)):
            incoming.send(raw.encode())
        await asyncio.sleep(0.3)
        assert all(response.status == 100 for response in call.responses.items), call.responses.items
        near, far = await world.answer(call, incoming)
        await use(near, far)


@in_mode("b2bua")
async def an_invite_whose_contact_cannot_be_read_is_refused():
    async with World("b2bua") as world:
        for contact in ("<sip:nowhere", "*", "nowhere"):
            call = world.caller.invite(contact=contact)
            await call.expect(400)
            world.record(call.request.call_id, result="rejected", reason="malformed_request", status=400)
        near, far = await world.connect()
        await far.end(near)


@in_mode("b2bua")
async def an_answer_with_the_call_id_of_another_call_does_not_touch_that_one():
    async with World("b2bua", tolerant=True) as world:
        other_near, other_far = await world.connect()
        call, incoming = await world.ring()
        good = incoming.build(180, tag="callee").decode()
        for raw in (re.sub("Call-ID: [^\r]*", f"Call-ID: {other_near.call_id}", good, count=1),
                    good.replace("CSeq: 1 INVITE", "CSeq: 9 INVITE"), good.replace(";tag=caller", ";tag=other")):
            incoming.send(raw.encode())
        await asyncio.sleep(0.3)
        call.responses.items.clear()
        near, far = await world.answer(call, incoming)
        await use(other_near, other_far)
        await use(near, far)


# ---- time ----


async def a_hop_that_never_answers_is_408(world):
    """Timer B (RFC 3261 section 17.1.1.2): repeated after 0.5, 1, 2, 4, 8 and 16 s, given up after 32."""
    call = world.caller.invite()
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    await asyncio.wait_for(call.tried.wait(), 2)
    response = await call.final(45)
    assert response.status == 408 and incoming.repeated in (5, 6), (response, incoming.repeated)
    world.record(call.request.call_id, final_status=408)
    # It rings now, for nobody; and who takes the call all the same is told so: the caller has heard the end of it.
    incoming.respond(180)
    (await world.callee.cancelled(incoming)).respond(200)
    await nothing_more(call)
    far = incoming.accept()
    await incoming.acknowledged()
    (await far.expect("BYE")).respond(200)
    await nothing_more(call)


async def what_rings_too_long_is_cancelled(world):
    """Timer C (RFC 3261 section 16.8), which each provisional response begins anew."""
    call = world.caller.invite()
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    for status in (100, 180, 183):
        incoming.respond(status)
        await asyncio.sleep(1.0)
    (await world.callee.cancelled(incoming, 20)).respond(200)
    assert call.responses.items[-1].status == 183, call.responses.items
    incoming.respond(487)
    for status in (180, 183, 487):
        await call.expect(status)
    await incoming.acknowledged(None)
    world.record(call.request.call_id, final_status=487)


async def a_callee_that_vanishes_while_it_rings_is_408(world):
    call = world.caller.invite()
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    incoming.respond(180)
    await call.expect(180)
    cancelled = await world.callee.cancelled(incoming, 20)
    response = await call.final(45)
    assert response.status == 408, response
    assert cancelled.repeated >= 8, f"the CANCEL was repeated {cancelled.repeated} times"
    world.record(call.request.call_id, final_status=408)


async def a_refusal_is_repeated_until_its_ack(world):
    """Timers G and H towards a caller that has vanished; timer D towards the callee (RFC 3261 sections 17.2.1, 17.1.1.2)."""
    call = world.caller.invite()
    call.acknowledges = False
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    incoming.respond(486)
    await call.expect(486)
    await incoming.acknowledged(None)
    for count in (2, 3, 4):
        incoming.send(incoming.sent[-1])
        await wait_for(lambda count=count: incoming.acknowledgements == count, 4, "the ACK again")
    await asyncio.sleep(34)
    repeated = call.repeated
    assert 8 <= repeated <= 11, repeated  # and not for each of the callee's
    await asyncio.sleep(4.5)
    assert call.repeated == repeated, "it is not given up"
    incoming.send(incoming.sent[-1])
    await asyncio.sleep(0.3)
    assert incoming.acknowledgements == 4, "it is not forgotten"
    world.record(call.request.call_id, final_status=486)


async def a_refusal_whose_ack_has_come_is_not_repeated(world):
    call = world.caller.invite()
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    incoming.respond(486)
    await call.expect(486)
    await asyncio.sleep(3)
    assert call.repeated == 0, call.repeated


async def a_request_within_a_call_that_nobody_answers_leaves_nothing(world):
    """Timer F; no 408 (RFC 4320 section 4.2)."""
    near, far = await whole_call(world)
    sent = near.send("INFO")
    incoming = await far.expect("INFO")
    await asyncio.sleep(3)
    sent.repeater.stop()
    await asyncio.sleep(32)
    repeated = incoming.repeated
    assert 8 <= repeated <= 11, repeated
    incoming.respond(200)
    await sent.silence()
    # Another one may be answered late.
    sent = near.send("INFO")
    incoming = await far.expect("INFO")
    await asyncio.sleep(5)
    incoming.respond(200)
    await sent.expect(200)
    await near.end(far)


async def a_session_that_is_not_refreshed_is_forgotten(world):
    """RFC 4028; with a margin of 32 s."""
    session = "Session-Expires: 1;refresher=uac"
    calls = [await whole_call(world, [session]) for _ in range(2)]
    unlimited = await whole_call(world)
    await asyncio.sleep(12)
    await (near := calls[0][0]).offer(far := calls[0][1], "UPDATE", [session], answer=b"")
    await asyncio.sleep(25)
    await calls[1][0].send("BYE").expect(481)
    await calls[1][1].send("BYE").expect(481)
    # The answer to this UPDATE says nothing of a session any more: it is unlimited (RFC 4028 section 7.2).
    await near.offer(far, "UPDATE")
    await near.end(far)
    await unlimited[0].end(unlimited[1])


async def whole_call(world, headers=()):
    call = world.caller.invite(headers=headers)
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    far = incoming.accept(headers=headers)
    near = call.dialog(await call.expect(200))
    near.ack()
    await incoming.acknowledged()
    return near, far


async def wait_for(condition, seconds, what):
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


@in_mode("b2bua", seconds=120)
async def time_runs_out():
    """Half a minute each, so all at a time."""
    async with World("b2bua", peer='no_answer = "10s";', tolerant=True) as world:
        await asyncio.gather(
            a_hop_that_never_answers_is_408(world), what_rings_too_long_is_cancelled(world),
            a_callee_that_vanishes_while_it_rings_is_408(world), a_refusal_is_repeated_until_its_ack(world),
            a_refusal_whose_ack_has_come_is_not_repeated(world),
            a_request_within_a_call_that_nobody_answers_leaves_nothing(world),
            a_session_that_is_not_refreshed_is_forgotten(world))
        near, far = await world.connect()
        await use(near, far)
