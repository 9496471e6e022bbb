"""A thousand calls through a Kamailio in front of Stirrup and one behind, both with record_route(): every process dies in the
middle of all of them, and no call notices."""

import asyncio
import contextlib
import uuid

import parties
from forwarding import CALLEE, CALLER, MODES, REFERENCE, World, scenario
from harness import DEST, free_port
from parties import Party
from switches import BEHIND, IN_FRONT, Kamailio

CALLS = 1000
AT_ONCE = 40
IN_FRONT_HOST = "127.0.0.43"
BEHIND_HOST = "127.0.0.60"


class Chain(World):
    """caller, Kamailio, Stirrup, Kamailio, callee. second: a further node, by which half of the calls go on."""

    def __init__(self, mode, service="sign", *, second=False, **options):
        super().__init__(mode, service, near_host=IN_FRONT_HOST, **options)
        self.second = second

    async def __aenter__(self):
        async with contextlib.AsyncExitStack() as stack:
            self.callee = await stack.enter_async_context(Party(CALLEE, user=DEST))
            behind_port, constants = free_port(), {}
            host = "127.0.0.1" if REFERENCE else BEHIND_HOST
            if REFERENCE:
                self.port = behind_port
            else:
                self.hops = f'"sip:{BEHIND_HOST}:{behind_port};transport=udp"'
                self.start_server(stack)
            if self.second:
                self.node = stack.enter_context(self.second_node(advertise=True))
                constants["SECOND_NODE"] = f"sip:127.0.0.1:{self.node.port}"
            self.behind = stack.enter_context(Kamailio(
                self.port, self.callee.port, config=BEHIND, host=host, port=behind_port, next_hop_host=CALLEE, megabytes=96,
                STIRRUP_ADDRESS=IN_FRONT_HOST if REFERENCE else "127.0.0.1", **constants))
            self.in_front = stack.enter_context(Kamailio(
                self.port, config=IN_FRONT, host=IN_FRONT_HOST, megabytes=96, **constants))
            self.caller = await stack.enter_async_context(Party(CALLER, server=(IN_FRONT_HOST, self.in_front.port)))
            self.stack = stack.pop_all()
        return self


async def ring(world, i):
    call = world.caller.invite(call_id=f"{'ab'[i % 2]}{uuid.uuid4().hex}")
    incoming = await world.callee.incoming(call_id=call.request.call_id)
    if not REFERENCE:
        world.check_identity(incoming.request) if i % 100 == 0 else incoming.request["Identity"]
    incoming.respond(180)
    await call.expect(180)
    return call, incoming


async def answer(call, incoming):
    far = incoming.accept()
    near = call.dialog(await call.expect(200))
    near.ack()
    await incoming.acknowledged()
    return near, far


async def set_up(world, i):
    return await answer(*await ring(world, i))


async def carry_on(near, far, i):
    """Both sides' Contacts are new ones."""
    await far.offer(near)
    await far.offer(near, "UPDATE")
    await near.offer(far)
    await (near.end(far) if i // 2 % 2 else far.end(near))


async def for_all(items, do):
    """In their order of arrival, AT_ONCE of them at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(i, item):
        async with room:
            return await do(i, item)
    return await asyncio.gather(*(one(i, item) for i, item in enumerate(items)))


async def check_all_recorded(world, statuses=(200,)):
    records = world.stirrup.wait_for_records(CALLS, seconds=20)
    assert {record["result"] for record in records} == {"signed"}
    assert {record["final_status"] for record in records} == set(statuses)


@scenario(MODES, ("sign",), seconds=240, alone=True)
async def established_calls_go_on_when_every_process_is_killed(mode, service):
    parties.patience = 8
    async with Chain(mode, workers=2) as world:
        calls = await for_all(range(CALLS), lambda i, _: set_up(world, i))
        if not REFERENCE:
            await check_all_recorded(world)
            world.kill_all()
        await world.callee.move()
        await world.caller.move()
        await for_all(calls, lambda i, call: carry_on(*call, i))
        assert not world.caller.left() and not world.callee.left()


@scenario(("kamailio",) if REFERENCE else ("forward",), ("sign",), seconds=240, alone=True)
async def ringing_calls_go_on_when_all_workers_are_killed(mode, service):
    parties.patience = 8
    async with Chain(mode, workers=2, second=not REFERENCE) as world:
        ringing = await for_all(range(CALLS), lambda i, _: ring(world, i))
        if not REFERENCE:
            world.kill_workers()
        await world.callee.move()
        await world.caller.move()

        async def go_on(i, call):
            near, far = await answer(*call)
            await carry_on(near, far, i)
        await for_all(ringing, go_on)
        if not REFERENCE:
            await check_all_recorded(world)
