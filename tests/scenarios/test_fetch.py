"""The certificates of inbound calls: hosts with bad manners, the cache, a fetcher that dies: none moves another call."""

import os
import re
import shutil
import signal
import time
import uuid

from harness import wait_until
from verifying import (ERROR_503, NONE, PASSED, PLAIN, TREATS, Inbound, check_failing, check_passed, note_reasons, openssl,
                       reason_of, verstat_of)

# What a call may take whose certificate is known, whatever else goes on: the machine is shared with other tests.
AT_ONCE = 0.4


class Burst:
    """Many calls at a time from one socket: who was answered, when."""

    def __init__(self, inbound, client):
        self.inbound, self.client = inbound, client
        self.sent, self.answers, self.took = {}, {}, {}

    def send(self, identity):
        call_id = uuid.uuid4().hex + "@burst"
        self.sent[call_id] = time.monotonic()
        self.client.send(self.client.request(call_id=call_id, headers=["Identity: " + identity]))
        return call_id

    def receive(self, seconds):
        """Until all are answered or the time is over."""
        end = time.monotonic() + seconds
        while len(self.answers) < len(self.sent):
            answer = self.client.receive(max(0, end - time.monotonic()))
            if answer is None:
                break
            call_id = answer["Call-ID"]
            self.answers.setdefault(call_id, answer)
            self.took.setdefault(call_id, time.monotonic() - self.sent[call_id])
        return self

    def records(self):
        """Of these calls, by Call-ID."""
        def mine():
            records = self.inbound.stirrup.records()
            return {record["call_id"]: record for record in records if record["call_id"] in self.sent}
        wait_until(lambda: len(mine()) == len(self.sent), 5, "a record of each call")
        for record in mine().values():
            note_reasons(record)
        return mine()


def restart(stirrup):
    stirrup.stop()
    assert stirrup.stopped_cleanly, stirrup.log()[-3000:]
    stirrup.stopped_cleanly = None
    stirrup.start()


# ---- what hosts deliver ----

FAULTS = (
    # path, the reason, the cause
    ("/none.pem", "certificate_unreachable", 436),
    ("/status/302", "certificate_unreachable", 436),
    ("/status/404", "certificate_unreachable", 436),
    ("/status/500", "certificate_unreachable", 436),
    ("/silence", "certificate_unreachable", 436),
    ("/slow", "certificate_unreachable", 436),
    ("/reset", "certificate_unreachable", 436),
    ("/nothing", "certificate_unreachable", 436),
    ("/early", "certificate_unreachable", 436),
    ("/garbage", "certificate_unreachable", 436),
    ("/64k-and-one", "certificate_unreachable", 436),
    ("/64k-and-one-no-length", "certificate_unreachable", 436),
    ("/10-gigabytes", "certificate_unreachable", 436),
    ("/endless-body", "certificate_unreachable", 436),
    ("/endless-chunks", "certificate_unreachable", 436),
    ("/endless-headers", "certificate_unreachable", 436),
    ("/endless-header-line", "certificate_unreachable", 436),
    ("/endless-100", "certificate_unreachable", 436),
    ("/empty", "certificate_unreachable", 436),
    ("/html", "certificate_malformed", 437),
    ("/exactly-64k", "certificate_malformed", 437),
    ("/alpha.key", "certificate_malformed", 437),
    ("/cut.pem", "certificate_malformed", 437),
)


def test_each_fault_of_a_host_is_one_calls_and_no_others():
    names = [f"host-{i}.localhost" for i in range(len(FAULTS))]
    with Inbound(names, fetch='deadline = "1s";', verification='call_deadline = "3s";') as inbound, \
            inbound.stirrup.client(PLAIN) as client:
        shutil.copy(inbound.directory / "web/alpha.pem", inbound.directory / "web/good.pem")
        shutil.copy(inbound.pki.directory / "alpha.key", inbound.directory / "web/alpha.key")
        inbound.serve("cut.pem", (inbound.directory / "web/alpha.pem").read_bytes()[:400])
        inbound.warm()
        burst = Burst(inbound, client)
        # One host name for each: a host that fails is left alone for a while.
        calls = [burst.send(inbound.identity(x5u=inbound.host.url(path, host=name)))
                 for (path, _, _), name in zip(FAULTS, names)]
        with inbound.stirrup.client(PLAIN) as other:
            for _ in range(20):
                start = time.monotonic()
                check_passed(inbound.call(inbound.identity(), client=other))
                assert time.monotonic() - start < AT_ONCE
        burst.receive(3)
        records = burst.records()
        for call, (path, reason, cause) in zip(calls, FAULTS):
            answer = burst.answers[call]
            answer.record = records[call]
            try:
                check_failing(answer, reason, cause)
            except AssertionError as fault:
                raise AssertionError(f"{path}: {fault}") from fault


def test_hosts_that_cannot_be_reached_or_are_not_who_they_say():
    with Inbound(["reset.localhost"], fetch='deadline = "400ms";') as inbound:
        for what, url in (
                ("a reset before TLS", inbound.host.url("/alpha.pem", host="reset.localhost", port=inbound.host.reset_port)),
                ("not in its TLS certificate", inbound.host.url("/alpha.pem", host="stranger.localhost")),
                ("no such name", inbound.host.url("/alpha.pem", host="nothing.invalid"))):
            answer = inbound.call(inbound.identity(x5u=url))
            try:
                check_failing(answer, "certificate_unreachable", 436)
            except AssertionError as fault:
                raise AssertionError(f"{what}: {fault}") from fault


def test_addresses_for_special_purposes_are_not_connected_to():
    """RFC 6890: a caller must not make us knock at doors within our own network."""
    with Inbound(addresses='"192.0.2.0/24"') as inbound:
        for host in ("127.0.0.1", "localhost", "good.localhost", "[::1]", "[::ffff:127.0.0.1]"):
            answer = inbound.call(inbound.identity(x5u=inbound.host.url("/alpha.pem", host=host)))
            assert answer.record["reason"] in ("certificate_unreachable", "bad_info_uri"), answer.record
            assert reason_of(answer)[0][0] == 436
        assert inbound.host.connections() == 0


def test_chains_as_hosts_deliver_them():
    class WithIntermediate(Inbound):
        def prepare(self):
            self.pki.make("alpha")
            (self.directory / "anchors").mkdir()
            for name in ("root.pem", "intermediate.pem"):
                shutil.copy(self.pki.directory / name, self.directory / "anchors" / name)

    with WithIntermediate(anchors="anchors") as inbound:
        pem = (inbound.directory / "web/alpha.pem").read_text()
        leaf, issuer = re.findall(r"-----BEGIN[^-]*-----[^-]*-----END[^-]*-----\n", pem)
        root = (inbound.pki.directory / "root.pem").read_text()
        web = inbound.directory / "web"
        openssl("x509", "-in", web / "alpha.pem", "-outform", "DER", "-out", web / "alpha.der")
        inbound.serve("backwards.pem", (leaf + root + issuer).encode())
        inbound.serve("leaf.pem", leaf.encode())
        inbound.serve("crlf.pem", ("Subject: alpha\r\n" + pem.replace("\n", "\r\n")).encode())
        inbound.serve("good.pem", pem.encode())
        for path in ("/backwards.pem", "/leaf.pem", "/crlf.pem", "/alpha.der", "/chunked", "/no-length", "/wrong-type",
                     "/wait/200/alpha.pem"):
            answer = inbound.call(inbound.identity(x5u=inbound.host.url(path)))
            assert answer.record["result"] == "passed", (path, answer.record)


# ---- one slow host is nobody else's matter ----


def test_two_hundred_calls_for_one_cold_url_are_one_fetch():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        burst = Burst(inbound, client)
        x5u = inbound.host.url("/wait/600/alpha.pem")
        for _ in range(200):
            burst.send(inbound.identity(x5u=x5u))
        burst.receive(3)
        assert len(burst.answers) == 200
        assert all(verstat_of(answer) == PASSED for answer in burst.answers.values())
        assert inbound.host.requests("/wait/600/alpha.pem") == 1
        assert inbound.host.connections() == 1
        assert {record["cache"] for record in burst.records().values()} == {"miss"}


def test_a_fetch_that_is_longer_than_calls_wait_serves_those_that_came_later():
    with Inbound(fetch='deadline = "6s";', verification='call_deadline = "1s";') as inbound, \
            inbound.stirrup.client(PLAIN) as client:
        burst = Burst(inbound, client)
        identity = inbound.identity(x5u=inbound.host.url("/wait/3000/alpha.pem"))
        calls = [burst.send(identity)]
        for _ in range(9):
            time.sleep(0.3)
            calls.append(burst.send(identity))
        burst.receive(3)
        records = burst.records()
        assert records[calls[0]]["reason"] == "fetcher_timeout", records[calls[0]]
        assert records[calls[-1]]["result"] == "passed", records[calls[-1]]
        assert inbound.host.requests("/wait/3000/alpha.pem") == 1


def test_one_fetch_serves_the_calls_of_all_workers():
    with Inbound(workers=2) as inbound:
        x5u = inbound.host.url("/wait/500/alpha.pem")
        clients = [inbound.stirrup.client(PLAIN) for _ in range(8)]
        bursts = [Burst(inbound, client) for client in clients]
        for burst in bursts:
            burst.send(inbound.identity(x5u=x5u))
        for burst in bursts:
            burst.receive(3)
            assert [verstat_of(answer) for answer in burst.answers.values()] == [PASSED]
            burst.client.close()
        assert inbound.host.requests("/wait/500/alpha.pem") == 1


def test_a_silent_host_delays_no_other_call():
    """Those that name it are answered at their own deadline, and by on_error."""
    with Inbound(verification='call_deadline = "900ms";', fetch='deadline = "5s";') as inbound, \
            inbound.stirrup.client(PLAIN) as client, inbound.stirrup.client(ERROR_503) as strict, \
            inbound.stirrup.client(PLAIN) as other:
        inbound.warm()
        silent = inbound.host.url("/alpha.pem", host="good.localhost", port=inbound.host.silent_port)
        waiting, refused = Burst(inbound, client), Burst(inbound, strict)
        for _ in range(20):
            waiting.send(inbound.identity(x5u=silent))
        refused.send(inbound.identity(x5u=silent))
        good = Burst(inbound, other)
        for _ in range(40):
            good.send(inbound.identity())
            good.receive(1)
        assert len(good.answers) == 40
        assert max(good.took.values()) < AT_ONCE, sorted(good.took.values())[-5:]
        assert all(verstat_of(answer) == PASSED for answer in good.answers.values())
        waiting.receive(3)
        refused.receive(3)
        assert len(waiting.answers) == 20
        assert all(0.85 < took < 0.9 + AT_ONCE for took in waiting.took.values()), waiting.took
        for call, record in waiting.records().items():
            assert record["result"] == "no_validation", record
            assert (record["reason"], record["cause"]) == ("fetcher_timeout", "fault"), record
            assert (waiting.answers[call].status, verstat_of(waiting.answers[call])) == (302, NONE)
        answer, = refused.answers.values()
        assert answer.status == 503 and not answer.has("Retry-After"), answer.raw
        record, = refused.records().values()
        assert (record["result"], record["reason"]) == ("rejected", "fetcher_timeout"), record


def test_a_cancelled_call_waits_no_longer():
    with Inbound(fetch='deadline = "5s";') as inbound, inbound.stirrup.client(PLAIN) as client:
        silent = inbound.host.url("/alpha.pem", host="good.localhost", port=inbound.host.silent_port)
        invite = client.request(call_id="gone@test", headers=["Identity: " + inbound.identity(x5u=silent)])
        client.send(invite)
        time.sleep(0.2)
        client.send(re.sub(rb"(?m)^(Identity|Contact):.*\r\n", b"", invite).replace(b"INVITE", b"CANCEL"))
        statuses = sorted(client.receive(1).status for _ in range(2))
        assert statuses == [200, 487], statuses
        record = inbound.stirrup.wait_for_record(call_id="gone@test")
        assert (record["reason"], record["final_status"]) == ("cancelled", 487), record


def test_a_repeated_invite_of_a_waiting_call_waits_with_it():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        identity = inbound.identity(x5u=inbound.host.url("/wait/600/alpha.pem"))
        invite = client.request(call_id="again@test", headers=["Identity: " + identity])
        for _ in range(3):
            client.send(invite)
            time.sleep(0.1)
        first = client.receive(2)
        assert verstat_of(first) == PASSED
        client.send(invite)
        again = client.receive(1)
        while (more := client.receive(0.2)) is not None:
            assert more.raw == first.raw
        assert again.raw == first.raw
        inbound.stirrup.wait_for_record(call_id="again@test")
        assert inbound.host.connections() == 1


def test_a_caller_who_closes_his_connection_while_his_call_waits_harms_nobody():
    with Inbound(verification='call_deadline = "500ms";', fetch='deadline = "5s";') as inbound:
        worker = inbound.stirrup.child("worker 0")
        silent = inbound.host.url("/alpha.pem", host="good.localhost", port=inbound.host.silent_port)
        for i in range(5):
            with inbound.stirrup.client(PLAIN, tcp=True) as client:
                client.send(client.request(call_id=f"{i}@closed", headers=["Identity: " + inbound.identity(x5u=silent)]))
                time.sleep(0.05)
        for i in range(5):
            assert inbound.stirrup.wait_for_record(call_id=f"{i}@closed")["reason"] == "fetcher_timeout"
        inbound.warm()
        assert inbound.stirrup.child("worker 0") == worker


def test_no_more_calls_wait_than_there_is_room_for():
    with Inbound(sip=" max_waiting = 16;", verification='call_deadline = "700ms";', fetch='deadline = "5s";') as inbound, \
            inbound.stirrup.client(PLAIN) as client:
        inbound.warm()
        silent = inbound.host.url("/alpha.pem", host="good.localhost", port=inbound.host.silent_port)
        burst = Burst(inbound, client)
        for _ in range(24):
            burst.send(inbound.identity(x5u=silent))
        burst.receive(0.4)
        assert len(burst.answers) == 8, len(burst.answers)
        check_passed(inbound.call(inbound.identity()))
        burst.receive(2)
        words = sorted(record["reason"] for record in burst.records().values())
        assert words == ["fetcher_busy"] * 8 + ["fetcher_timeout"] * 16, words


def test_thousands_of_urls_drive_out_no_good_certificate():
    with Inbound(fetch='deadline = "300ms"; per_peer = 100000;', verification='call_deadline = "500ms";') as inbound, \
            inbound.stirrup.client(PLAIN) as client, inbound.stirrup.client(PLAIN) as other:
        inbound.warm()
        flood, good = Burst(inbound, client), Burst(inbound, other)
        for i in range(3000):
            flood.send(inbound.identity(x5u=inbound.host.url(f"/none-{i}.pem", host="good.localhost")))
            if i % 100 == 0:
                flood.receive(0)
                good.send(inbound.identity())
                good.receive(1)
        flood.receive(3)
        good.receive(1)
        assert len(good.answers) == 30 and all(verstat_of(answer) == PASSED for answer in good.answers.values())
        assert sorted(good.took.values())[15] < AT_ONCE
        check_passed(inbound.call(inbound.identity()))
        assert inbound.host.requests("/alpha.pem") == 1


def test_a_peer_that_names_ever_new_urls_uses_up_no_budget_but_its_own():
    with Inbound(fetch='deadline = "500ms"; per_peer = 1; max = 8;', verification='call_deadline = "2s";') as inbound, \
            inbound.stirrup.client(PLAIN) as client, inbound.stirrup.client(TREATS) as other:
        inbound.warm()
        started = time.monotonic()
        flood, cold = Burst(inbound, client), Burst(inbound, other)

        def send_to_silent_hosts(count):
            for _ in range(count):
                host = f"h{len(flood.sent)}.localhost"
                flood.send(inbound.identity(x5u=inbound.host.url("/a.pem", host=host, port=inbound.host.silent_port)))

        send_to_silent_hosts(100)
        refused = []
        for i in range(4):
            url = inbound.publish("alpha", as_name=f"new-{i}")
            send_to_silent_hosts(5)
            # The same new certificate by both, then one that is known.
            refused.append(flood.send(inbound.identity(x5u=url)))
            cold.send(inbound.identity(x5u=url))
            cold.receive(2)
            check_passed(inbound.call(inbound.identity()))
        flood.receive(4)
        records = flood.records()
        fetched = sum(record["reason"] != "fetcher_busy" for record in records.values())
        assert fetched <= 4 + time.monotonic() - started, fetched
        assert sum(records[call]["reason"] == "fetcher_busy" for call in refused) >= 3, [records[call] for call in refused]
        assert [verstat_of(answer) for answer in cold.answers.values()] == [PASSED] * 4, cold.records()
        check_passed(inbound.call(inbound.identity(x5u=url)))


# ---- the cache ----


def test_a_failed_fetch_is_not_repeated_for_each_call():
    with Inbound() as inbound:
        for _ in range(5):
            check_failing(inbound.call(inbound.identity(x5u=inbound.host.url("/none.pem"))), "certificate_unreachable", 436)
        assert inbound.host.requests("/none.pem") == 1


def test_a_host_that_fails_is_left_alone_and_others_are_not():
    with Inbound(["bad.localhost"]) as inbound:
        def fetched(path, host):
            before = inbound.host.connections()
            answer = inbound.call(inbound.identity(x5u=inbound.host.url(path, host=host)))
            return answer.record["reason"], inbound.host.connections() - before

        inbound.publish("alpha", as_name="good")
        for i in range(5):
            assert fetched(f"/status/50{i}", "bad.localhost") == ("certificate_unreachable", 1)
        assert fetched("/alpha.pem", "bad.localhost") == ("certificate_unreachable", 0)
        assert fetched("/alpha.pem", "good.localhost") == (None, 1)


def test_a_restart_finds_the_certificates_in_the_cache():
    with Inbound() as inbound:
        inbound.warm()
        before = inbound.host.connections()
        restart(inbound.stirrup)
        check_passed(inbound.call(inbound.identity()))
        assert inbound.host.connections() == before
        # And without the host.
        inbound.host.process.kill()
        inbound.host.process.wait()
        restart(inbound.stirrup)
        check_passed(inbound.call(inbound.identity()))


def test_a_damaged_cache_costs_fetches_and_no_calls():
    with Inbound() as inbound:
        inbound.warm()
        stirrup = inbound.stirrup
        stirrup.stop()
        for path in (inbound.directory / "certificates").iterdir():
            path.write_bytes(b"\xff" * max(4096, path.stat().st_size))
        stirrup.stopped_cleanly = None
        stirrup.start()
        check_passed(inbound.call(inbound.identity()))
        assert inbound.host.requests("/alpha.pem") == 2


# For a bad signature a URL is fetched again only if this process has not fetched it a moment ago: hence the restarts.


def test_a_bad_signature_by_a_known_certificate_is_one_new_fetch():
    with Inbound() as inbound:
        inbound.warm()
        assert inbound.call(inbound.identity(by="beta", x5u=inbound.x5u)).record["reason"] == "bad_signature"
        assert inbound.host.requests("/alpha.pem") == 1
        restart(inbound.stirrup)
        forged = inbound.identity(by="beta", x5u=inbound.x5u)
        for _ in range(5):
            answer = inbound.call(forged)
            assert answer.record["reason"] == "bad_signature", answer.record
        assert inbound.host.requests("/alpha.pem") == 2
        check_passed(inbound.call(inbound.identity()))


def test_a_host_that_reuses_its_url_for_a_new_certificate_is_believed_at_once():
    """Half of all real certificates live six days."""
    with Inbound() as inbound:
        inbound.warm()
        inbound.publish("beta", as_name="alpha")
        restart(inbound.stirrup)
        answer = inbound.call(inbound.identity(by="beta", x5u=inbound.x5u))
        check_passed(answer)
        assert answer.record["spc"] == "5678"
        assert inbound.host.requests("/alpha.pem") == 2


def test_a_good_certificate_survives_a_forged_call_while_its_host_is_down():
    with Inbound() as inbound:
        inbound.warm()
        inbound.serve("broken", b"")
        restart(inbound.stirrup)
        answer = inbound.call(inbound.identity(by="beta", x5u=inbound.x5u))
        assert answer.record["reason"] == "bad_signature", answer.record
        assert inbound.host.requests("/alpha.pem") == 2
        check_passed(inbound.call(inbound.identity()))


# ---- processes that die ----


def test_a_new_worker_learns_what_is_known_without_a_fetch():
    with Inbound() as inbound:
        inbound.warm()
        worker = inbound.stirrup.child("worker 0")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: inbound.stirrup.children().get("worker 0") not in (None, worker), 5, "the next worker")
        wait_until(inbound.stirrup.answers, 5, "its answers")
        check_passed(inbound.call(inbound.identity()))
        assert inbound.host.connections() == 1


def test_a_fetcher_that_is_killed_costs_known_certificates_nothing():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        inbound.warm()
        before = inbound.host.connections()
        for _ in range(3):
            fetcher = inbound.stirrup.child("fetcher")
            os.kill(fetcher, signal.SIGKILL)
            good = Burst(inbound, client)
            for _ in range(10):
                good.send(inbound.identity())
                good.receive(1)
            assert len(good.answers) == 10 and max(good.took.values()) < AT_ONCE, good.took
            assert all(verstat_of(answer) == PASSED for answer in good.answers.values())
            wait_until(lambda: inbound.stirrup.children().get("fetcher") not in (None, fetcher), 5, "the next fetcher")
        assert inbound.host.connections() == before
        # What nobody knows yet is fetched by the new one.
        check_passed(inbound.call(inbound.identity(by="beta", x5u=inbound.host.url("/beta.pem"))))


def test_calls_that_wait_are_asked_for_again_when_the_fetcher_dies():
    with Inbound(verification='call_deadline = "4s";') as inbound, inbound.stirrup.client(PLAIN) as client:
        burst = Burst(inbound, client)
        burst.send(inbound.identity(x5u=inbound.host.url("/wait/500/alpha.pem")))
        wait_until(lambda: inbound.host.requests("/wait/500/alpha.pem") == 1, 2, "the fetch")
        os.kill(inbound.stirrup.child("fetcher"), signal.SIGKILL)
        burst.receive(4)
        assert [verstat_of(answer) for answer in burst.answers.values()] == [PASSED]


def test_a_fetcher_that_hangs_costs_known_certificates_nothing():
    with Inbound(verification='call_deadline = "600ms";') as inbound, inbound.stirrup.client(PLAIN) as client, \
            inbound.stirrup.client(PLAIN) as other:
        inbound.warm()
        fetcher = inbound.stirrup.child("fetcher")
        os.kill(fetcher, signal.SIGSTOP)
        try:
            cold, good = Burst(inbound, other), Burst(inbound, client)
            for _ in range(5):
                cold.send(inbound.identity(by="beta", x5u=inbound.host.url("/beta.pem")))
            for _ in range(20):
                good.send(inbound.identity())
                good.receive(1)
            assert len(good.answers) == 20 and max(good.took.values()) < AT_ONCE, good.took
            cold.receive(2)
            assert {record["reason"] for record in cold.records().values()} == {"fetcher_timeout"}
        finally:
            os.kill(fetcher, signal.SIGCONT)
        check_passed(inbound.call(inbound.identity()))
        beta = inbound.host.url("/beta.pem")
        wait_until(lambda: inbound.call(inbound.identity(by="beta", x5u=beta)).record["result"] == "passed", 5, "a fetch")
