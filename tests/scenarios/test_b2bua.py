"""Mode "b2bua": two legs, of which neither sees the other's topology, and calls that outlive every process."""

import asyncio
import contextlib
import os
import re

from forwarding import CALLEE, CALLER, SECOND_HOP, World, in_mode
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
async def a_host_name_is_a_next_hop_too():
    """localhost has an address of each family, or one."""
    async with World("b2bua", far_host="127.0.0.1", hops=f'"sip:localhost:{{port}}{UDP}"') as world:
        async with Party("::1", user=DEST, port=world.callee.port) as six:
            async def busy(incoming):
                incoming.respond(486)
            world.callee.on_call = six.on_call = busy
            # Resolved off the call path: the first calls may come too early, none may wait.
            for _ in range(100):
                response = await world.caller.invite().final()
                if response.status == 486:
                    break
                assert response.status in (480, 500, 503), response
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("never resolved")


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
