"""Several workers are one server: any socket may get a request, one worker answers it."""

import os
import signal
import time
from pathlib import Path

from harness import Client, Identity, Sipp, Stirrup, free_port, sipp, wait_until


def ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_one_source_port_uses_both_workers():
    with Stirrup(workers=2) as stirrup:
        pids = [stirrup.child("worker 0"), stirrup.child("worker 1")]
        before = [ticks(pid) for pid in pids]
        sipp("sign-full-attestation", stirrup.port, calls=6000, rate=1500, seconds=40).assert_all(6000)
        used = [ticks(pid) - start for pid, start in zip(pids, before)]
        print(f"ticks used: {used}")
        assert min(used) > 0.2 * max(used), used
        assert len(stirrup.wait_for_records(6000)) == 6000


def test_retransmissions_from_other_ports_get_the_same_octets():
    """The kernel spreads source ports over the workers; the Call-ID brings a request to its own worker."""
    with Stirrup(workers=4) as stirrup:
        for i in range(10):
            answers = set()
            for _ in range(6):
                with stirrup.client() as client:
                    client.send(client.request(call_id=f"steered{i}@test", via="SIP/2.0/UDP 127.0.0.1:5099;rport;"
                                               f"branch=z9hG4bKsteered{i}"))
                    answer = client.receive()
                    answers.add((Identity(answer["Identity"]).value, answer["To"], answer["Date"]))
            assert len(answers) == 1, answers
        assert len(stirrup.wait_for_records(10)) == 10


def test_calls_over_tcp_are_served_by_several_workers():
    with Stirrup(workers=2) as stirrup:
        sipp("tcp", stirrup.port, calls=500, rate=250, transport="tn", options=("-max_socket", "2000")).assert_all(500)


def test_a_steered_answer_leaves_from_the_socket_that_was_asked():
    """Also over IPv6; a client behind a firewall takes answers from nowhere else."""
    with Stirrup(workers=3) as stirrup:
        for source in ("127.0.0.1", "::1"):
            for _ in range(30):
                with stirrup.client(source) as client:
                    assert client.call().has("Identity")


def test_each_worker_outlives_the_others_death_under_load():
    with Stirrup(workers=2) as stirrup:
        load = Sipp("sign-full-attestation", stirrup.port, calls=2000, rate=400, seconds=40)
        for name in ("worker 0", "worker 1", "worker 0", "worker 1"):
            time.sleep(0.8)
            old = stirrup.child(name)
            os.kill(old, signal.SIGKILL)
            wait_until(lambda: stirrup.children().get(name) not in (None, old), 5, f"a new {name}")
        load.wait().assert_all(2000)


def test_a_worker_that_was_begun_after_reloads_is_steered_to_all_the_same():
    """It knows fewer listeners than the others have had."""
    gone, port = free_port(), free_port()
    with Stirrup(workers=3) as stirrup:
        for listener in (gone, port):
            stirrup.write_config(more_listeners=f', "udp:127.0.0.1:{listener}"')
            stirrup.reload()
            wait_until(lambda: all_answered(listener, 1), 5, "an answer at the new listener")
        old = stirrup.child("worker 1")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: stirrup.children().get("worker 1") not in (None, old), 5, "a new worker 1")
        wait_until(lambda: all_answered(port, 1), 5, "an answer")
        assert all_answered(port, 40)
        assert all_answered(stirrup.port, 40)


def all_answered(port, calls):
    """Once, each from a port of its own, by the port that was asked: the client is connected to it."""
    for _ in range(calls):
        with Client(port) as client:
            client.send(client.request())
            answer = client.receive(4.0)
            if answer is None or not answer.has("Identity"):
                return False
    return True


def test_workers_0_is_one_for_each_core():
    with Stirrup(workers=0) as stirrup:
        cores = len(os.sched_getaffinity(0))
        wait_until(lambda: sum(name.startswith("worker") for name in stirrup.children()) == cores, 5, f"{cores} workers")


# These load the machine, or count on nobody else doing so.
for heavy in (test_each_worker_outlives_the_others_death_under_load, test_one_source_port_uses_both_workers):
    heavy.alone = True
