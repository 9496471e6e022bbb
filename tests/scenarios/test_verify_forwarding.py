"""Inbound calls that are verified and sent on: what the callee is told, and what the caller never sees."""

import asyncio
import time
import uuid

from forwarding import SECOND_HOP, STIRRUP_MODES, World, scenario
from harness import DEST, OTHER, OWN
from parties import Party
from verifying import FAILED, NONE, PASSED, PHRASES, verstats

VERIFY = ("verify",)


def ppi(token):
    return ".." + token.split(".")[2]


def stamped(value, verstat=PASSED):
    """The value with verstat behind its number."""
    return value.replace(OWN, f"{OWN};verstat={verstat}", 1)


async def refuse(call, incoming, status=486):
    incoming.respond(status)
    response = await call.expect(status)
    await incoming.acknowledged(None)
    return response


def stir_reasons(response):
    return [value for value in response.items("Reason") if value.startswith("STIR")]


@scenario(STIRRUP_MODES, VERIFY)
async def a_passed_call_is_stamped_in_its_first_invite_only(mode, service):
    async with World(mode, service, tokens=True) as world:
        identity, origid = "", str(uuid.uuid4())
        identity = world.inbound.identity(origid=origid)
        call, incoming = await world.ring(headers=[f"Identity: {identity}"])
        request = incoming.request
        assert request["From"] == stamped(call.request["From"]), request
        assert request["Attestation-Info"] == "A" and request["Origination-Id"] == origid, request
        assert request["Identity"] == identity, "an Identity of others is carried as it is"
        assert not request.has("P-Asserted-Identity"), request
        near, far = await world.answer(call, incoming)
        for method in ("INVITE", "UPDATE"):
            await world.callee.move()
            request, _ = await near.offer(far, method)
            assert request["From"] == near.local and not request.has("Attestation-Info"), request
            await far.offer(near, method)  # which checks To
        request, _ = await far.ask(near, "INFO")
        assert request["To"] == call.request["From"], request
        await far.end(near)
        record = world.record(near.call_id, result="passed", attest="A", origid=origid, final_status=200)
        assert record["removed"] == [], record


@scenario(STIRRUP_MODES, VERIFY)
async def asserted_identities_with_the_verified_number_are_stamped_and_from_is_not(mode, service):
    async with World(mode, service, tokens=True) as world:
        asserted = [f"P-Asserted-Identity: \"A, B\" <sip:{OWN}@192.0.2.9;user=phone>",
                    f"P-Asserted-Identity: <tel:{OWN}>, <tel:{OTHER}>"]
        call, incoming = await world.ring(headers=[*asserted, f"Identity: {world.inbound.identity()}"])
        request = incoming.request
        assert request["From"] == call.request["From"], request
        assert request.items("P-Asserted-Identity") == [
            f"\"A, B\" <sip:{OWN};verstat={PASSED}@192.0.2.9;user=phone>", f"<tel:{OWN};verstat={PASSED}>",
            f"<tel:{OTHER}>"], request
        near, far = await world.answer(call, incoming)
        await far.end(near)


@scenario(STIRRUP_MODES, VERIFY)
async def the_caller_never_sees_a_from_that_it_did_not_send(mode, service):
    """Whatever its form, and after every restart."""
    async with World(mode, service, tokens=True) as world:
        caller = world.caller
        for form in ("<sip:{n}@{h};user=phone>;tag=caller", "\"A. \\\"G\\\" , <x>\"  <sip:{n}@{h}>;tag=caller;x=y",
                     "sip:{n}@{h};tag=caller", "<sip:{n};npdi@{h};user=phone>;tag=caller", "<tel:{n}>;tag=caller",
                     "tel:{n};tag=caller",
                     "\"\u00e9\" <sip:2155551212@{h}>;tag=caller"):
            sent = form.format(n=OWN, h=f"{caller.host}:{caller.port}")
            call = caller.invite(from_=sent, headers=[f"Identity: {world.inbound.identity()}"])
            incoming = await world.callee.incoming()
            assert verstats(incoming.request["From"]) == [PASSED], incoming.request
            incoming.respond(180)
            await call.expect(180)  # which checks it
            far = incoming.accept()
            near = call.dialog(await call.expect(200))
            near.ack()
            await incoming.acknowledged()
            await far.ask(near, "INFO")
            world.kill_workers()
            # A callee may write the URI of To as it was stamped, or without.
            far.remote = incoming.request["From"]
            await far.ask(near, "INFO")
            await far.end(near)


@scenario(STIRRUP_MODES, VERIFY)
async def a_call_without_identity_is_no_validation_and_without_reason(mode, service):
    async with World(mode, service) as world:
        call, incoming = await world.ring()
        assert incoming.request["From"] == stamped(call.request["From"], NONE), incoming
        assert not incoming.request.has("Attestation-Info")
        response = await refuse(call, incoming)
        assert not response.has("Reason"), response
        world.record(call.request.call_id, result="no_validation", reason="no_identity", final_status=486)


@scenario(STIRRUP_MODES, VERIFY)
async def a_failing_identity_is_told_to_the_caller(mode, service):
    """RFC 9410: in the next provisional response other than 100, or the final one."""
    async with World(mode, service, tokens=True) as world:
        inbound = world.inbound
        for cause, verstat, reason, identity in (
                (438, FAILED, "bad_signature", inbound.identity(by="beta")),
                (403, NONE, "stale_iat", inbound.identity(iat=int(time.time()) - 600)),
                (438, NONE, "orig_mismatch", inbound.identity(orig=OTHER)),
                (436, NONE, "certificate_unreachable", inbound.identity(x5u=inbound.host.url("/none.pem", host="good.localhost"))),
                (437, NONE, "bad_typ", inbound.identity(header={"typ": "JWT"}))):
            expected = f'STIR;cause={cause};text="{PHRASES[cause]}"'
            for first in (183, 200, 486):
                call = world.caller.invite(headers=[f"Identity: {identity}"])
                incoming = await world.callee.incoming()
                assert incoming.request["From"] == stamped(call.request["From"], verstat), (reason, incoming)
                assert not incoming.request.has("Attestation-Info"), incoming
                assert incoming.request["Identity"] == identity
                incoming.respond(100)
                incoming.respond(first, None, ["Reason: Q.850;cause=16"])
                response = await call.expect(first)
                assert stir_reasons(response) == [expected], (reason, response)
                assert "Q.850;cause=16" in response.items("Reason"), response
                if first == 183:
                    await refuse(call, incoming)
                elif first == 200:
                    near, far = call.dialog(response), incoming.dialog()
                    near.ack()
                    await incoming.acknowledged()
                    _, answer = await near.ask(far, "INFO")
                    assert not answer.has("Reason"), "in the answers to the INVITE only"
                    await far.end(near)
                else:
                    await incoming.acknowledged(None)
                word = {NONE: "no_validation", FAILED: "failed"}[verstat]
                world.record(call.request.call_id, result=word, reason=reason)


@scenario(STIRRUP_MODES, VERIFY)
async def each_of_several_failing_identities_is_told_with_its_ppi(mode, service):
    async with World(mode, service, tokens=True) as world:
        inbound = world.inbound
        stale, other, good = inbound.token(iat=int(time.time()) - 600), inbound.token(orig=OTHER), inbound.token(attest="B")
        values = [inbound.identity(token) for token in (stale, other, good)]
        for lines in ([f"Identity: {value}" for value in values], ["y: " + ", ".join(values)]):
            call = world.caller.invite(headers=lines)
            incoming = await world.callee.incoming()
            assert incoming.request["Attestation-Info"] == "B", incoming
            assert [line for _, _, line in incoming.request.lines if line in lines] == lines, incoming
            incoming.respond(180)
            response = await call.expect(180)
            assert stir_reasons(response) == [
                f'STIR;cause=403;text="Stale Date";ppi="{ppi(stale)}"',
                f'STIR;cause=438;text="Invalid Identity Header";ppi="{ppi(other)}"'], response
            await refuse(call, incoming)


@scenario(STIRRUP_MODES, VERIFY)
async def the_reason_survives_the_worker_that_found_it(mode, service):
    """Forwarding only: the verdict comes back with every response."""
    if mode != "forward":
        return
    async with World(mode, service, tokens=True) as world:
        call = world.caller.invite(headers=[f"Identity: {world.inbound.identity(by='beta')}"])
        incoming = await world.callee.incoming()
        world.kill_workers()
        response = await refuse(call, incoming)
        assert stir_reasons(response) == ['STIR;cause=438;text="Invalid Identity Header"'], response
        world.record(call.request.call_id, result="failed", final_status=486)


@scenario(STIRRUP_MODES, VERIFY)
async def what_an_untrusted_peer_claims_is_removed_and_recorded(mode, service):
    claims = ["Attestation-Info: A", f"Origination-Id: {uuid.uuid4()}", "P-Attestation-Indicator: A",
              f"P-Asserted-Identity: <tel:{OWN};verstat={PASSED}>, <sip:{OTHER};verstat={PASSED}@192.0.2.1>"]
    async with World(mode, service) as world:
        call = world.caller.invite(headers=claims)
        incoming = await world.callee.incoming()
        request = incoming.request
        assert PASSED not in request.raw.decode(), request
        assert request.items("P-Asserted-Identity") == [f"<tel:{OWN};verstat={NONE}>", f"<sip:{OTHER}@192.0.2.1>"], request
        assert not any(request.has(name) for name in ("Attestation-Info", "Origination-Id", "P-Attestation-Indicator")), request
        await refuse(call, incoming)
        record = world.record(call.request.call_id)
        assert sorted(record["removed"]) == ["Attestation-Info", "Origination-Id", "P-Attestation-Indicator", "verstat"], record


@scenario(STIRRUP_MODES)
async def what_an_untrusted_peer_claims_within_a_call_goes_no_further(mode, service):
    """A result in an UPDATE would be shown as well as one in the INVITE."""
    claims = ["Attestation-Info: A", f"Origination-Id: {uuid.uuid4()}", "P-Attestation-Indicator: A",
              f"P-Asserted-Identity: \"A, B\" <tel:{OWN};verstat={PASSED}>, <sip:{OTHER};verstat={PASSED}@192.0.2.1;user=phone>"]
    clean = [f"P-Asserted-Identity: \"A, B\" <tel:{OWN}>, <sip:{OTHER}@192.0.2.1;user=phone>", "X-Last: 1"]
    for trusted in (False, True):
        async with World(mode, service, peer=f"trusted = {str(trusted).lower()};") as world:
            call = world.caller.invite(from_=f"<sip:{OWN};verstat={PASSED}@192.0.2.1;user=phone>;tag=caller")
            incoming = await world.callee.incoming()
            far = incoming.accept()
            near = call.dialog(await call.expect(200))
            near.ack()
            assert mode == "forward" or trusted or PASSED not in str(await incoming.acknowledged())
            for method in ("UPDATE", "INFO", "INVITE"):
                sent = near.send(method, [*claims, "X-Last: 1"])
                asked = await far.expect(method)
                names = ("Attestation-Info", "Origination-Id", "P-Attestation-Indicator", "P-Asserted-Identity", "X-Last")
                lines = [line for name, _, line in asked.request.lines if name in names]
                assert lines == ([*claims, "X-Last: 1"] if trusted else clean), asked
                if mode == "b2bua" or trusted:
                    assert verstats(asked.request["From"]) == ([PASSED] if trusted else []), asked
                asked.respond(200)
                await sent.expect(200)
            near.ack(sent)
            await asked.acknowledged()
            # What comes from the other side is none of the peer's.
            sent = far.send("INFO", claims)
            asked = await near.expect("INFO")
            assert [line for _, _, line in asked.request.lines if line in claims] == claims, asked
            asked.respond(200)
            await sent.expect(200)
            await far.end(near)


@scenario(STIRRUP_MODES, VERIFY)
async def a_claim_beside_whose_name_somebody_may_see_white_space_goes_no_further(mode, service):
    """It is no name of a header field (RFC 3261 section 25.1), but whoever trims it has one."""
    async with World(mode, service) as world:
        call = world.caller.invite(headers=[f"P-Asserted-Identity{space}: <tel:{OWN};verstat={PASSED}>"
                                            for space in ("\v", "\f", "\u00a0", "\u0085")])
        incoming = await world.callee.incoming()
        assert PASSED not in incoming.request.raw.decode(), incoming.request
        incoming.respond(180)
        await call.expect(180)
        near, far = await world.answer(call, incoming)
        asked, _ = await near.ask(far, "UPDATE", [f"P-Asserted-Identity\v: <tel:{OWN};verstat={PASSED}>"])
        assert PASSED not in asked.raw.decode(), asked
        await near.end(far)


@scenario(STIRRUP_MODES, VERIFY)
async def a_verstat_that_a_caller_claims_in_from_goes_no_further_and_comes_back(mode, service):
    """It is removed for the callee, and stays in all that the caller sees, who must know its From again."""
    async with World(mode, service) as world:
        for claim in (PASSED, "TN-Validation-Passed-A", "No-TN-Validation"):
            call = world.caller.invite(from_=f"<sip:{OWN};verstat={claim}@192.0.2.1;user=phone>;tag=caller")
            incoming = await world.callee.incoming()
            assert verstats(incoming.request["From"]) == [NONE], incoming
            incoming.respond(180)
            await call.expect(180)
            near, far = await world.answer(call, incoming)
            await far.ask(near, "INFO")
            await far.end(near)
            assert world.record(call.request.call_id)["removed"] == ["verstat"]


@scenario(STIRRUP_MODES, VERIFY)
async def what_a_trusted_peer_claims_stands_where_there_is_nothing_to_judge(mode, service):
    claims = ["Attestation-Info: B", f"P-Asserted-Identity: <tel:{OWN};verstat={PASSED}>"]
    async with World(mode, service, peer="trusted = true;") as world:
        call = world.caller.invite(headers=claims)
        incoming = await world.callee.incoming()
        assert incoming.request["Attestation-Info"] == "B", incoming
        assert incoming.request["P-Asserted-Identity"] == f"<tel:{OWN};verstat={PASSED}>", incoming
        await refuse(call, incoming)


@scenario(STIRRUP_MODES, VERIFY)
async def a_rejection_answers_and_sends_nothing_on(mode, service):
    async with World(mode, service, tokens=True, peer='on_failure = "reject"; identity_required = true;') as world:
        inbound = world.inbound
        for status, headers in (
                (428, []), (403, [inbound.identity(iat=int(time.time()) - 600)]), (438, [inbound.identity(orig=OTHER)]),
                (436, [inbound.identity(x5u="https://localhost:1/a.pem")]), (437, [inbound.identity(header={"typ": "JWT"})])):
            call = world.caller.invite(headers=[f"Identity: {value}" for value in headers])
            response = await call.expect(status)
            assert response.phrase == PHRASES[status] and not response.has("Contact"), response
            record = world.record(call.request.call_id, result="rejected", final_status=status)
            assert record["status"] == status
        await world.callee.silence(0.2)
        near, far = await world.connect(headers=[f"Identity: {inbound.identity()}"])
        await near.end(far)


@scenario(STIRRUP_MODES, ("sign",))
async def a_rejection_of_the_signing_policy_sends_nothing_on(mode, service):
    async with World(mode, service) as world:
        world.stirrup.settings["under_test"] = world.settings()["under_test"].replace('customer = "acme";', 'customer = "strict";')
        world.stirrup.write_config()
        world.stirrup.reload()
        deadline = time.monotonic() + 5
        while True:
            call = world.caller.invite()
            try:
                incoming = await world.callee.incoming(seconds=0.5)
            except AssertionError:
                break
            await refuse(call, incoming)
            assert time.monotonic() < deadline
        assert (await call.final()).status == 603
        await world.callee.silence(0.2)
        world.record(call.request.call_id, result="rejected", final_status=603)


@scenario(STIRRUP_MODES, VERIFY)
async def shadow_changes_nothing(mode, service):
    async with World(mode, service, tokens=True,
                     peer='shadow = true; on_failure = "reject"; identity_required = true;') as world:
        inbound = world.inbound
        for identities, result in (([], "no_validation"), ([inbound.identity()], "passed"),
                                   ([inbound.identity(by="beta")], "failed")):
            call = world.caller.invite(headers=[f"Identity: {value}" for value in identities])
            incoming = await world.callee.incoming()
            assert incoming.request["From"] == call.request["From"], incoming
            assert not incoming.request.has("Attestation-Info"), incoming
            response = await refuse(call, incoming)
            assert not response.has("Reason"), response
            world.record(call.request.call_id, result=result, final_status=486)


@scenario(STIRRUP_MODES, VERIFY)
async def verstat_goes_where_the_peer_wants_it(mode, service):
    for settings, in_from, in_pai in (
            ('verstat_place = "from";', PASSED, None),
            ('verstat_place = "both"; verstat = "with-attestation";', PASSED + "-A", PASSED + "-A"),
            ('attestation_headers = false;', None, PASSED)):
        async with World(mode, service, tokens=True, peer=settings) as world:
            call = world.caller.invite(headers=[f"P-Asserted-Identity: <tel:{OWN}>", f"Identity: {world.inbound.identity()}"])
            incoming = await world.callee.incoming()
            request = incoming.request
            assert verstats(request["From"]) == ([in_from] if in_from else []), request
            assert verstats(request["P-Asserted-Identity"]) == ([in_pai] if in_pai else []), request
            assert request.has("Attestation-Info") != ("attestation_headers" in settings), request
            near, far = await world.answer(call, await ringing(call, incoming))
            await far.end(near)


async def ringing(call, incoming):
    incoming.respond(180)
    await call.expect(180)
    return incoming


@scenario(STIRRUP_MODES, VERIFY)
async def a_rule_of_the_treatment_adds_a_header_and_chooses_the_next_hop(mode, service):
    async with Party(SECOND_HOP, user=DEST) as second:
        rules = (f'treatment = ( {{ result = "passed"; attestation = "C"; action = "continue"; header = "X-Trust: low"; '
                 f'next_hop = "sip:{SECOND_HOP}:{second.port};transport=udp"; }} );')
        async with World(mode, service, tokens=True, peer=rules) as world:
            second.server = ("127.0.0.1", world.port)
            call = world.caller.invite(headers=[f"Identity: {world.inbound.identity(attest='C')}"])
            incoming = await second.incoming()
            assert incoming.request["X-Trust"] == "low", incoming
            near, far = await world.answer(call, await ringing(call, incoming))
            await far.end(near)
            record = world.record(near.call_id, result="passed", final_status=200)
            assert f"{SECOND_HOP}:{second.port}" in record["next_hop"], record
            near, far = await world.connect(headers=[f"Identity: {world.inbound.identity()}"])
            await near.end(far)


@scenario(STIRRUP_MODES, VERIFY)
async def a_call_that_waits_for_its_certificate_holds_up_no_other(mode, service):
    async with World(mode, service, tokens=True) as world:
        inbound = world.inbound
        silent = inbound.host.url("/alpha.pem", port=inbound.host.silent_port)
        waits = world.caller.invite(headers=[f"Identity: {inbound.identity(x5u=silent)}"])
        ends = world.caller.invite(headers=[f"Identity: {inbound.identity(x5u=silent)}"])
        call, incoming = await world.ring(headers=[f"Identity: {inbound.identity()}"])
        await refuse(call, incoming)
        cancel = ends.cancel()
        await cancel.expect(200)
        await ends.expect(487)
        incoming = await world.callee.incoming(seconds=6)
        assert incoming.request.call_id == waits.request.call_id
        assert incoming.request["From"] == stamped(waits.request["From"], NONE), incoming
        await refuse(waits, incoming)
        world.record(ends.request.call_id, reason="cancelled", final_status=487)
        world.stirrup.wait_for_records(3)


@scenario(STIRRUP_MODES, VERIFY)
async def a_repeated_invite_is_judged_once(mode, service):
    async with World(mode, service, tokens=True, tolerant=True) as world:
        call = world.caller.invite(headers=[f"Identity: {world.inbound.identity()}"])
        incoming = await world.callee.incoming()
        world.callee.requests.clear()
        await asyncio.sleep(0.2)
        world.caller.transmit(call.request.raw, call.place)
        await asyncio.sleep(0.3)
        for again in world.callee.new_calls.items:
            assert again.request.raw == incoming.request.raw, again
        world.callee.new_calls.items.clear()
        await refuse_quietly(call, incoming)
        world.record(call.request.call_id, result="passed", final_status=486)
        assert len(world.stirrup.records()) == 1


async def refuse_quietly(call, incoming):
    incoming.respond(486)
    await call.expect(486)


@scenario(STIRRUP_MODES, VERIFY)
async def identities_of_other_kinds_are_carried_byte_for_byte(mode, service):
    async with World(mode, service, tokens=True) as world:
        lines = [f"Identity: {world.inbound.identity()}", "identity :  a.b.c ;  info=<https://x.example/a>;ppt=div",
                 "y: ..zz;info=<https://x.example/b>;alg=ES256;ppt=rcd", "Identity: not one"]
        call = world.caller.invite(headers=lines)
        incoming = await world.callee.incoming()
        assert [line for _, _, line in incoming.request.lines if line in lines] == lines, incoming
        await refuse(call, incoming)
