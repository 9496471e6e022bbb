"""A call that passes twice: the switch that is called sends its leg's INVITE back, on the same Call-ID and with the same tags, as
a call to somebody else. What is the far leg of the first passage is the near leg of the second."""

import contextlib

from forwarding import CALLEE, World, scenario
from harness import DEST, free_port
from parties import Party, tag_of

THIRD = "127.0.0.69"  # next hop of the second passage, and in no far_side of the first
ELSEWHERE = "+13035550177"


class Twice:
    """caller, world.callee (the switch between), third; and the three of them within a call once it is established."""

    def __init__(self, world, third):
        self.world, self.caller, self.switch, self.third = world, world.caller, world.callee, third

    async def ring(self, tag="third"):
        self.tag = tag
        self.call = self.caller.invite()
        self.taken = await self.switch.incoming(call_id=None)
        request = self.taken.request
        self.again = self.switch.invite(request.uri.replace(DEST, ELSEWHERE), from_=request["From"], to=request["To"],
                                        call_id=request.call_id, cseq=request.cseq, max_forwards=int(request["Max-Forwards"]) - 1)
        self.incoming = await self.third.incoming()
        assert ELSEWHERE in self.incoming.request.uri
        self.incoming.respond(180, tag=tag)
        await self.again.expect(180)
        self.taken.respond(180, tag=tag)
        await self.call.expect(180)
        return self

    async def connect(self, tag="third"):
        await self.ring(tag)
        self.end = self.incoming.accept(tag)
        self.onward = self.again.dialog(await self.again.expect(200))
        self.back = self.taken.accept(tag)
        self.near = self.call.dialog(await self.call.expect(200))
        self.near.ack()
        await self.taken.acknowledged(tag)
        self.onward.ack()
        await self.incoming.acknowledged(tag)
        assert self.back.call_id == self.onward.call_id
        assert {tag_of(dialog.local) for dialog in (self.near, self.back, self.onward, self.end)} == {"caller", tag}
        return self

    @property
    def passages(self):
        return (self.near, self.back), (self.onward, self.end)

    async def use(self):
        """Each passage carries everything both ways, and to nobody but its own two ends; every Contact changes."""
        for party in (self.caller, self.switch, self.third):
            await party.move()
        for one, other in self.passages:
            for near, far in ((one, other), (other, one)):
                await near.offer(far)
                await near.offer(far, "UPDATE")
                asked, _ = await near.ask(far, "INFO", ["X-A: 1"], b"a\0b")
                assert asked.by is far.party.here, f"not to the refreshed target: {asked}"

    async def end_from(self, side):
        """The BYE goes all the way through."""
        passages = self.passages if side == "caller" else [(far, near) for near, far in self.passages[::-1]]
        for one, other in passages:
            await one.end(other)
        # What has ended has ended, each by itself.
        for one, other in self.passages:
            for dialog in (one, other):
                await dialog.send("INFO").expect(481)


@contextlib.asynccontextmanager
async def twice(service, first, second, *, third_host=THIRD, far_side="", **options):
    async with Party(third_host, user=DEST) as third:
        customer = 'customer = "acme";' if service == "sign" else ""
        second_peer = f"""\
  {{ name = "second"; addresses = [ "{CALLEE}" ]; service = "{service}"; mode = "b2bua"; {customer} call_id = "{second}";
    next_hop = "sip:{third_host}:{third.port};transport=udp"; country_code = "1"; {far_side} }},
"""
        async with World("b2bua", service, peer=f'call_id = "{first}";', more_peers=second_peer, **options) as world:
            third.server = ("127.0.0.1", world.port)
            yield Twice(world, third)
            assert not third.left(), third.left()


async def whole_calls(service, first, second, **options):
    async with twice(service, first, second, **options) as passing:
        for side in ("caller", "callee"):
            await passing.connect(tag=f"third-{side}")
            assert (passing.back.call_id == passing.end.call_id) == (second == "keep")
            await passing.use()
            for call_id, peer in ((passing.near.call_id, "under-test"), (passing.back.call_id, "second")):
                record = passing.world.stirrup.wait_for_record(5, call_id=call_id)
                assert (record["peer"], record["final_status"]) == (peer, 200), record
            await passing.end_from(side)


@scenario(modes=("b2bua",))
async def a_call_passes_twice(mode, service):
    await whole_calls(service, "new", "new")


@scenario(modes=("b2bua",))
async def a_call_passes_twice_and_keeps_its_call_id_the_second_time(mode, service):
    await whole_calls(service, "new", "keep")


@scenario(modes=("b2bua",), services=("sign",))
async def a_call_passes_twice_through_several_workers(mode, service):
    await whole_calls(service, "new", "new", workers=3)


@scenario(modes=("b2bua",), services=("sign",))
async def a_call_passes_twice_where_everybody_is_on_every_far_side(mode, service):
    """Then who speaks does not tell the one passage from the other; which side of it is his does."""
    for second in ("new", "keep"):
        await whole_calls(service, "new", second, third_host="127.0.0.62", far_side='far_side = [ "127.0.0.60/30" ];')


@scenario(modes=("b2bua",), services=("sign",))
async def a_call_that_passes_twice_is_cancelled(mode, service):
    for second in ("new", "keep"):
        async with twice(service, "new", second) as passing:
            await passing.ring()
            cancel = passing.call.cancel()
            (await passing.switch.cancelled(passing.taken)).respond(200)
            await cancel.expect(200)
            cancel = passing.again.cancel()
            (await passing.third.cancelled(passing.incoming)).respond(200)
            await cancel.expect(200)
            passing.incoming.respond(487)
            await passing.again.expect(487)
            passing.taken.respond(487)
            await passing.call.expect(487)
            await passing.taken.acknowledged(None)
            await passing.incoming.acknowledged(None)
            for call_id in (passing.call.request.call_id, passing.taken.request.call_id):
                assert passing.world.stirrup.wait_for_record(5, call_id=call_id)["final_status"] == 487


@scenario(modes=("b2bua",), services=("sign",))
async def calls_that_pass_twice_outlive_every_process(mode, service):
    for second in ("new", "keep"):
        async with twice(service, "new", second, workers=2) as passing:
            for side in ("caller", "callee"):
                await passing.connect(tag=f"third-{side}")
                passing.world.kill_all()
                await passing.use()
                passing.world.kill_all()
                await passing.end_from(side)


@scenario(modes=("b2bua",), services=("sign",))
async def a_call_whose_call_id_is_kept_passes_once(mode, service):
    """RFC 3261 section 8.2.2.2: with everything that makes a dialog the same, the two passages could not be told apart."""
    for second in ("new", "keep"):
        async with twice(service, "keep", second) as passing:
            call = passing.caller.invite()
            taken = await passing.switch.incoming()
            request = taken.request
            again = passing.switch.invite(request.uri.replace(DEST, ELSEWHERE), from_=request["From"], to=request["To"],
                                          call_id=request.call_id, cseq=request.cseq)
            assert (await again.expect(482)).start == "SIP/2.0 482 Loop Detected"
            # The first passage has not heard of it.
            near, far = await passing.world.answer(call, taken)
            await near.offer(far)
            await far.end(near)


def send_on(incoming, party):
    """The INVITE that has come, for the same Request-URI, by the party's peer."""
    request = incoming.request
    return party.invite(request.uri, from_=request["From"], to=request["To"], call_id=request.call_id, cseq=request.cseq,
                        max_forwards=int(request["Max-Forwards"]) - 1)


@scenario(modes=("b2bua",))
async def a_call_that_comes_back_to_a_peer_it_has_passed_is_a_loop(mode, service):
    """The third party calls by the first peer, too."""
    for second in ("new", "keep"):
        async with twice(service, "new", second, third_host="127.0.0.62", more_near=["127.0.0.62"]) as passing:
            await passing.ring()
            for incoming, party in ((passing.taken, passing.third), (passing.incoming, passing.switch)):
                response = await send_on(incoming, party).expect(482)
                assert response.start == "SIP/2.0 482 Loop Detected"
            passing.incoming.respond(486)
            await passing.again.expect(486)
            passing.taken.respond(486)
            await passing.call.expect(486)
            await passing.taken.acknowledged(None)
            await passing.incoming.acknowledged(None)


@scenario(modes=("b2bua",))
async def a_circle_through_two_peers_comes_to_an_end(mode, service):
    """Where each passage gives the call a Call-ID of its own, Max-Forwards is what counts them."""
    for second, status in (("new", 483), ("keep", 482)):
        async with twice(service, "new", second, third_host="127.0.0.62", more_near=["127.0.0.62"]) as passing:
            for party in (passing.switch, passing.third):
                async def onward(incoming, party=party):
                    response = await send_on(incoming, party).final(20)
                    incoming.respond(response.status, response.phrase)
                    await incoming.acknowledged(None, 20)
                party.on_call = onward
            call = passing.caller.invite()
            assert (await call.final(20)).status == status
            passing.world.record(call.request.call_id, final_status=status)


@scenario(modes=("b2bua",), services=("sign",))
async def a_call_that_passes_twice_is_named_as_each_side_knows_it(mode, service):
    async with twice(service, "new", "new") as passing:
        await passing.connect()
        for one, other in passing.passages:
            for near, far in ((one, other), (other, one)):
                sent = near.send("REFER", ["Refer-To: <sip:x@192.0.2.1>", f"Target-Dialog: {near.call_id};"
                                           f"local-tag={tag_of(near.local)};remote-tag={tag_of(near.remote)}"])
                arrived = await far.expect("REFER")
                assert arrived.request["Target-Dialog"] == (f"{far.call_id};local-tag={tag_of(near.local)};"
                                                            f"remote-tag={tag_of(near.remote)}"), arrived
                arrived.respond(202)
                await sent.expect(202)
        for caller, callee, (near, far) in ((passing.caller, passing.switch, passing.passages[0]),
                                            (passing.switch, passing.third, passing.passages[1])):
            tags = f";to-tag={passing.tag};from-tag=caller"
            call = caller.invite(headers=[f"Replaces: {near.call_id}{tags}"])
            incoming = await callee.incoming()
            assert incoming.request["Replaces"] == far.call_id + tags, incoming
            incoming.respond(486)
            await call.expect(486)
            await incoming.acknowledged(None)
        await passing.end_from("caller")
