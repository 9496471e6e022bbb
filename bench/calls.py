"""What the measurements of the modes "forward" and "b2bua" share: the servers, whole calls through them, and the phases."""

import argparse
import contextlib
import json
import math
import subprocess
import sys
import time

from common import (CALL_LOAD, ORIG, PLAIN, PROGRAM, SIGNED, SIP_LOAD, KamailioServer, StirrupServer, free_port, make_pki,
                    measure_and_print, memory_kib, p256_us, print_heading, process_tree, progress, ratio, run_load, table,
                    without_kamailio)
from inbound import CertificateHost, Signer

VERIFIED = "127.0.0.3"     # what comes from here is verified
CALLEE = "127.0.0.5"
X5U = "https://certs.example.net/alpha.pem"
JOBS = {"plain": PLAIN, "signed": SIGNED, "verified": VERIFIED}
KNEE_P99_US = 5000
WINDOW = 64                # calls in flight at saturation
LINGER_S = 33              # transactions have ended by then: 64 times T1 (RFC 3261 section 17)
SOCKETS = 16               # of each end, where workers share the load
DIALOGS_MIB = 1024


# ---- the servers ----


class Stirrup(StirrupServer):
    """One that sends calls on, in one mode or the other; from each source another job."""

    def __init__(self, directory, pki, host, mode, workers=1, name="Stirrup"):
        self.name = name
        super().__init__(directory, pki)
        self.host, self.mode, self.workers = host, mode, workers
        # A B2BUA keeps 524,288 requests, an INVITE for 32 s, a BYE for 8 s; with more it answers 503.
        self.lingering_max = 400_000 if mode == "b2bua" else math.inf
        self.callee = f"{CALLEE}:{free_port()}"
        self.probe_method = "OPTIONS"
        self.description = (f'mode "{mode}", default processes, workers={workers}, self_check sampled, records on, replay "record", '
                            "answer_memo by default")

    def peer(self, name, source, more):
        return (f'  {{ name = "{name}"; addresses = [ "{source}" ]; mode = "{self.mode}"; {more}\n'
                f'    next_hop = "sip:{self.callee};transport=udp"; }}')

    def configuration(self):
        peers = ",\n".join((self.peer("plain", PLAIN, 'service = "sign"; customer = "plain";'),
                            self.peer("signed", SIGNED, 'service = "sign"; customer = "acme";'),
                            self.peer("verified", VERIFIED, 'service = "verify"; country_code = "1";')))
        return f"""\
sip: {{
  listen = [ "udp:127.0.0.1:{self.port}" ]; workers = {self.workers}; secret_file = "secret"; max_waiting = 16384; probe_interval = "0s";
}};
credentials = (
  {{ name = "alpha"; certificate = "{self.pki}/alpha.pem"; private_key = "{self.pki}/alpha.key"; x5u = "{X5U}"; spc = "1234"; }}
);
customers = (
  {{ name = "acme"; credential = "alpha"; numbers = ( "{ORIG}0000-{ORIG}9999" ); own_numbers = "A"; }},
  {{ name = "plain"; credential = "alpha"; own_numbers = "unsigned"; other_numbers = "unsigned"; }}
);
trust = ( {{ name = "bench"; anchors = "{self.pki}/root.pem"; }} );
verification: {{
  freshness = "10m"; replay = "record"; cache = "certificates";
  fetch: {{ tls_ca = "{self.host.certificate}"; allow_addresses = [ "127.0.0.0/8" ]; allow_ports = [ {self.host.port} ]; }};
}};
peers = (
{peers}
);
signer: {{ self_check = "sampled"; }};
records: {{ file = "calls.jsonl"; }};
dialogs: {{ store = "{self.directory}/dialogs"; size = "{DIALOGS_MIB}M"; }};
"""

    def dialog_bytes(self):
        with contextlib.suppress(OSError):
            return sum(file.stat().st_blocks * 512 for file in (self.directory / "dialogs").iterdir())
        return 0


class Kamailio(KamailioServer):
    """A relay with t_relay() and record_route(), which signs and verifies by secsipid; plain calls do not touch that."""

    modules = ("sl", "pv", "textops", "siputils", "maxfwd", "tm", "rr", "secsipid")
    shared_mib = 2048          # transactions stay for some seconds: less ends in failures

    def __init__(self, directory, pki, host, children, name="Kamailio"):
        self.name = name
        super().__init__(directory, pki, children)
        self.environment = {"SSL_CERT_FILE": str(host.certificate)}
        self.lingering_max = math.inf
        self.callee = f"{CALLEE}:{free_port()}"
        self.probe_method = "OPTIONS"
        self.description = (f"t_relay, record_route, children={children}, no logging; signing: secsipid_build_identity_prvkey, key in "
                            "memory; verifying: secsipid_check_identity, cache_dir")

    def route(self):
        return f"""\
modparam("secsipid", "expire", 600)
modparam("pv", "shvset", "key=s:{(self.pki / "alpha.key").read_text()}")
request_route {{
	if (is_method("OPTIONS")) {{
		sl_send_reply("200", "OK");
		exit;
	}}
	if (!mf_process_maxfwd_header("70")) {{
		sl_send_reply("483", "Too Many Hops");
		exit;
	}}
	if (has_totag()) {{
		if (loose_route()) {{
			t_relay();
		}} else if (is_method("ACK")) {{
			if (t_check_trans()) t_relay();
		}} else {{
			sl_send_reply("481", "Call/Transaction Does Not Exist");
		}}
		exit;
	}}
	if (!is_method("INVITE")) exit;
	record_route();
	if ($si == "{SIGNED}") {{
		if (!secsipid_build_identity_prvkey("$(fU{{s.strip,1}})", "$(rU{{s.strip,1}})", "A", "", "{X5U}", "$shv(key)")) {{
			sl_send_reply("500", "Not Signed");
			exit;
		}}
		append_hf("Identity: $secsipid(val)\\r\\n");
	}} else if ($si == "{VERIFIED}") {{
		remove_hf("P-Asserted-Identity");
		if (secsipid_check_identity("")) {{
			append_hf("P-Asserted-Identity: <sip:$fU;verstat=TN-Validation-Passed@127.0.0.1;user=phone>\\r\\n");
		}} else {{
			append_hf("P-Asserted-Identity: <sip:$fU;verstat=No-TN-Validation@127.0.0.1;user=phone>\\r\\n");
		}}
	}}
	$rd = "{CALLEE}";
	$rp = "{self.callee.rpartition(":")[2]}";
	t_relay();
}}
"""


# ---- measuring ----


class Calls:
    """Whole calls through a server."""

    def __init__(self, options, signer):
        self.options = options
        self.signer = signer
        self.recent = {}

    def make_room(self, server, calls):
        """Waits until so many calls more are not too many at a time for a server that remembers each for a while."""
        recent = self.recent.setdefault(server.name, [])
        while recent and calls + sum(number for _, number in recent) > server.lingering_max:
            time.sleep(max(0, recent[0][0] + LINGER_S - time.monotonic()))
            recent.pop(0)

    def remember(self, server, calls):
        self.recent.setdefault(server.name, []).append((time.monotonic(), calls))

    def command(self, server, job, *more):
        return [str(CALL_LOAD), "--callee", server.callee, "--local", JOBS[job], "--from", ORIG, *map(str, more),
                f"127.0.0.1:{server.port}"]

    def load(self, server, job, calls, *pace):
        more, identities = [], None
        self.make_room(server, calls)
        if job == "verified":
            identities = self.signer.tokens(calls)
            more = ["--identities", identities]
        result = run_load(server, self.command(server, job, "--calls", calls, "--seconds", 600, *more, *pace), "completed")
        self.remember(server, calls)
        if identities:
            identities.unlink()
        done = {"plain": result["seen"] - result["with_identity"], "signed": result["with_identity"], "verified": result["passed"]}
        result["wrong"] = result["seen"] - done[job] + result["altered"]
        if result["wrong"] or result["refused"]:
            print(f"# {server.name} {job}: {result['wrong']} calls were not the job, status {result['status']}", file=sys.stderr)
        return result

    def knee(self, server, job, saturated):
        """The highest paced rate that loses, repeats and refuses nothing and keeps the 99th percentile low."""
        for percent in range(95, 15, -self.options.knee_step):
            rate = saturated["calls_per_s"] * percent / 100
            result = self.load(server, job, int(rate * 2), "--rate", f"{rate:.1f}", "--poisson")
            bad = result["lost"] + result["retransmitted"] + result["refused"]
            if not bad and max(result["latency_us"][way]["p99"] for way in ("invite", "answer", "bye")) <= KNEE_P99_US:
                return rate
        return rate

    def rounds(self, rows, servers, run, job, calls, pace):
        """Each server in turn, some times over, so that what else the machine does meets all; the median by CPU counts."""
        results = {server.name: [] for server in servers}
        for turn in range(self.options.rounds):
            for server in servers:
                progress(f"{server.name}, {job}, {run}, {turn + 1} of {self.options.rounds}")
                results[server.name].append(self.load(server, job, calls, *pace(server)))
        for server in servers:
            ordered = sorted(results[server.name], key=lambda result: result["cpu_us"])
            row = rows[server.name]
            row[run] = ordered[len(ordered) // 2]
            row[run + "_cpu_us"] = [result["cpu_us"] for result in ordered]
            for count in ("wrong", "lost", "retransmitted", "refused"):
                row[run][count] = sum(result[count] for result in ordered)
            for way, latencies in row[run]["latency_us"].items():
                for share in latencies:
                    values = sorted(result["latency_us"][way][share] for result in ordered)
                    latencies[share] = values[len(values) // 2]

    def measure(self, servers, job):
        """A row of figures for each server."""
        rows = {server.name: {} for server in servers}
        calls = self.options.calls
        for server in servers:
            # The certificate first: not all of the calls that come at once without it could wait.
            self.load(server, job, 1, "--window", 1)
            self.load(server, job, 5_000, "--window", WINDOW)
        self.rounds(rows, servers, "saturated", job, calls, lambda server: ["--window", WINDOW])
        for server in servers:
            progress(f"{server.name}, {job}, the knee")
            rows[server.name]["knee"] = self.knee(server, job, rows[server.name]["saturated"])
        self.rounds(rows, servers, "half", job, calls,
                    lambda server: ["--rate", f"{rows[server.name]['knee'] / 2:.1f}", "--poisson"])
        self.rounds(rows, servers, "steady", job, calls, lambda server: ["--rate", self.options.rate, "--poisson"])
        for server in servers:
            rows[server.name]["memory_kib"] = memory_kib(server)
        return rows

    def at_gate(self, server, job, gate, calls, look):
        """Brings so many calls to the gate, calls look(), and lets them go on."""
        command = self.command(server, job, "--calls", calls, "--seconds", 600, "--rate", self.options.gate_rate, "--gate", gate)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            there = json.loads(load.stdout.readline())
            if "at_gate" not in there:
                sys.exit(f"{PROGRAM}: {server.name}: not all calls came so far: {' '.join(command)}")
            look()
            load.stdin.write("on\n")
            load.stdin.flush()
            result = json.loads(load.stdout.read())
        return result | {"at_gate": there["at_gate"]}

    def ringing(self, server, job):
        """Memory for each request in progress: calls that ring. The server must be new."""
        progress(f"{server.name}, {self.options.ringing:,} calls that ring")
        self.load(server, job, 200, "--window", 8)
        before, during = memory_kib(server), []
        result = self.at_gate(server, job, "ringing", self.options.ringing, lambda: during.append(memory_kib(server)))
        return {"before": before, "during": during[0], "calls": result["at_gate"], "lost": result["lost"] + result["refused"]}

    def standing(self, server, job):
        """Memory with established calls: right after their set-up, and when the transactions of that have ended."""
        progress(f"{server.name}, {self.options.standing:,} calls that stand")
        # What fills up once, as the memory for recent answers does, is full by then.
        self.load(server, job, 30_000, "--window", WINDOW)
        time.sleep(LINGER_S)
        points = {"before": memory_kib(server)}

        def look():
            points["set up"] = memory_kib(server)
            time.sleep(LINGER_S)
            points["later"] = memory_kib(server)
            if isinstance(server, Stirrup):
                points["dialog_bytes"] = server.dialog_bytes()

        result = self.at_gate(server, job, "talking", self.options.standing, look)
        time.sleep(LINGER_S)
        points["ended"] = memory_kib(server)
        return points | {"calls": result["at_gate"], "lost": result["lost"] + result["refused"]}

    def growth(self, server, knee):
        """Memory after each 100,000 calls of a million."""
        rate, series = min(0.8 * knee, self.options.million_rate), []
        for turn in range(10):
            progress(f"{server.name}, a million calls: {100 * (turn + 1):,},000")
            result = self.load(server, "signed", 100_000, "--rate", f"{rate:.1f}")
            series.append(memory_kib(server) | {"lost": result["lost"] + result["refused"], "cpu_us": result["cpu_us"]})
        return series

    def shared(self, server):
        """At saturation over many sockets, so that the kernel has something to share out among workers."""
        progress(f"{server.name}, {SOCKETS} sockets")
        self.load(server, "signed", 5_000, "--window", WINDOW, "--sockets", SOCKETS)
        return self.load(server, "signed", self.options.calls, "--window", 2 * WINDOW, "--sockets", SOCKETS)


# ---- printing ----


def mib(kib):
    return f"{kib / 1024:,.1f}"


def figures(rate):
    def run(name):
        return lambda row: "{lost}/{retransmitted}/{refused}".format(**row[name])

    def latency(name, way, share):
        return lambda row: f"{row[name]['latency_us'][way][share]:,}"

    return [
        ("calls/s at saturation", lambda row: f"{row['saturated']['calls_per_s']:,.0f}"),
        ("calls/s at the knee", lambda row: f"{row['knee']:,.0f}"),
        ("CPU us/call, saturation", lambda row: f"{row['saturated']['cpu_us']:.1f}"),
        ("CPU us/call, half the knee", lambda row: f"{row['half']['cpu_us']:.1f}"),
        (f"CPU us/call, {rate:,.0f}/s", lambda row: f"{row['steady']['cpu_us']:.1f}"),
        ("INVITE added p50 us, half the knee", latency("half", "invite", "p50")),
        ("INVITE added p99 us, half the knee", latency("half", "invite", "p99")),
        ("200 added p50 us, half the knee", latency("half", "answer", "p50")),
        ("200 added p99 us, half the knee", latency("half", "answer", "p99")),
        ("BYE added p50 us, half the knee", latency("half", "bye", "p50")),
        ("BYE added p99 us, half the knee", latency("half", "bye", "p99")),
        ("load source late, max us", lambda row: f"{row['half']['sent_late_us_max']:,}"),
        ("load source CPU us/call, half", lambda row: f"{row['half']['load_cpu_us']:.1f}"),
        ("not the job, all runs", lambda row: f"{sum(row[name]['wrong'] for name in ('saturated', 'half', 'steady')):,}"),
        ("lost/repeated/refused, saturation", run("saturated")),
        ("lost/repeated/refused, half the knee", run("half")),
        (f"lost/repeated/refused, {rate:,.0f}/s", run("steady")),
        ("memory MiB, end", lambda row: mib(row["memory_kib"]["own"])),
    ]


def print_processes(rows):
    print("\nStirrup, CPU us per call by process" + " " * 9 + "".join(f"{words:>14}" for words in ("saturation", "half knee", "steady")))
    for job in JOBS:
        row = rows.get(f"Stirrup {job}")
        for name in row["half"]["cpu_us_by_process"] if row else ():
            used = [row[run]["cpu_us_by_process"].get(name, 0) for run in ("saturated", "half", "steady")]
            if max(used) >= 0.05:
                print(f"  {job:<9}{name:<33}" + "".join(f"{us:>14.2f}" for us in used))


def print_memory(result):
    for name, points in result.get("ringing", {}).items():
        used = (points["during"]["own"] - points["before"]["own"]) * 1024 / max(points["calls"], 1)
        ratio(f"{name}: bytes for each of {points['calls']:,} calls that ring ({points['lost']} lost)", f"{used:,.0f}",
              "aim <= 4,096" if name == "Stirrup" and result["mode"] == "b2bua" else "")
    for name, points in result.get("standing", {}).items():
        words = " / ".join(mib(points[when]["own"]) for when in ("before", "set up", "later", "ended"))
        print(f"{name}, memory in MiB before, with {points['calls']:,} calls standing, {LINGER_S} s later, {LINGER_S} s after their end: "
              f"{words} ({points['lost']} lost)")
        if points.get("dialog_bytes"):
            print(f"{name}: dialog store {points['dialog_bytes'] / max(points['calls'], 1):,.0f} bytes a call on disk; "
                  f"of its pages mapped {mib(points['later']['file'])} MiB with other files")
    if "growth" in result:
        own = [point["own"] for point in result["growth"]]
        ratio("Stirrup memory, from the first 100,000 calls of a million to the last", f"{(own[-1] - own[0]) / 1024:+.2f} MiB")
        ratio("Stirrup memory, the highest between", f"{(max(own) - own[0]) / 1024:+.2f} MiB")


def print_ratios(result, options, aims):
    rows = result["rows"]
    runs = (("saturated", "saturation"), ("half", "half the knee"), ("steady", f"{options.rate:,.0f}/s"))

    def compare(job, other, aim=""):
        if f"Stirrup {job}" in rows and other in rows:
            for run, words in runs:
                ratio(f"Stirrup {job} / {other}, CPU per call, {words}",
                      f"{rows[f'Stirrup {job}'][run]['cpu_us'] / rows[other][run]['cpu_us']:.2f}", aim)

    print("\nRatios")
    compare("plain", "Kamailio plain")
    compare("signed", "Kamailio signed", aims["signed"])
    compare("signed", "Kamailio plain", aims.get("signed_to_plain", ""))
    compare("verified", "Kamailio verified", aims["verified"])
    if "Stirrup signed" in rows and "Stirrup plain" in rows:
        for run, words in runs:
            ratio(f"Stirrup signed less plain, CPU us, {words}",
                  f"{rows['Stirrup signed'][run]['cpu_us'] - rows['Stirrup plain'][run]['cpu_us']:.1f}",
                  f"one signature: {result['signature_us']:.1f}")
    for name, row in rows.items():
        worst = max(row["half"]["latency_us"][way]["p99"] for way in ("invite", "answer", "bye"))
        ratio(f"{name}, p99 added at half the knee, the worst of INVITE, 200, BYE", f"{worst / 1000:.2f} ms",
              aims["p99"] if name.startswith("Stirrup") else "")


def print_workers(result):
    shared = result.get("shared", {})
    if not shared:
        return
    print("\nSigned, at saturation, from 16 sockets at each end   " + "".join(f"{name:>18}" for name in shared))
    print("  calls/s" + " " * 44 + "".join(f"{run['calls_per_s']:>18,.0f}" for run in shared.values()))
    print("  CPU us/call" + " " * 40 + "".join(f"{run['cpu_us']:>18.1f}" for run in shared.values()))
    print("  lost/repeated/refused" + " " * 30 + "".join(f"{'{lost}/{retransmitted}/{refused}'.format(**run):>18}"
                                                      for run in shared.values()))
    one, two = shared["1 worker"], shared["2 workers"]
    ratio("calls/s, two workers / one, on these processors", f"{two['calls_per_s'] / one['calls_per_s']:.2f}")
    ratio("CPU us/call, one worker / two, times 2: what processors enough would give", f"{2 * one['cpu_us'] / two['cpu_us']:.2f}",
          "aim >= 1.8")


def print_all(result, options, aims):
    print_heading(result)
    print(f"INVITE of {result['invite_bytes']} bytes; INVITE, 180, 200, ACK, BYE, 200; {options.calls:,} calls a run; load at the start "
          f"{result['load']}, stolen by the host {result['stolen_s']:.1f} s\n")
    table(result["rows"], figures(options.rate))
    print_processes(result["rows"])
    print_ratios(result, options, aims)
    print_workers(result)
    if "ringing" in result or "standing" in result:
        print("\nMemory")
    print_memory(result)


# ---- the run ----


def parse_options(text):
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--calls", type=int, default=10_000, metavar="N", help="calls in each measured run (10000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each run is made; the median counts (3)")
    parser.add_argument("--rate", type=float, default=1000, metavar="R", help="calls/s of the run at one rate for all servers (1000)")
    parser.add_argument("--knee-step", type=int, default=5, metavar="P", help="steps of the search for the knee, in %% of saturation (5)")
    parser.add_argument("--jobs", default="plain,signed,verified", metavar="LIST", help="which of plain,signed,verified (all)")
    parser.add_argument("--ringing", type=int, default=20_000, metavar="N", help="calls that ring at once; 0: none (20000)")
    parser.add_argument("--standing", type=int, default=100_000, metavar="N", help="established calls at once; 0: none (100000)")
    parser.add_argument("--gate-rate", type=float, default=2500, metavar="R", help="how fast these two are set up, calls/s (2500)")
    parser.add_argument("--million", action="store_true", help="also send a million signed calls and watch the memory")
    parser.add_argument("--million-rate", type=float, default=3500, metavar="R", help="their calls/s at most (3500)")
    parser.add_argument("--no-workers", action="store_true", help="leave out two workers beside one")
    parser.add_argument("--no-kamailio", action="store_true", help="leave out Kamailio")
    parser.add_argument("--kamailio-children", type=int, default=1, metavar="N", help="Kamailio's processes (1)")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    return parser.parse_args()


def measure_servers(result, calls, servers, options):
    with contextlib.ExitStack() as running:
        for server in servers:
            running.enter_context(server)
            result["servers"].append(f"{server.name}: {server.description}")
        for job in options.jobs.split(","):
            for name, row in calls.measure(servers, job).items():
                result["rows"][f"{name} {job}"] = row
        if options.million:
            result["growth"] = calls.growth(servers[0], result["rows"]["Stirrup signed"]["knee"])


def measure_memory(result, calls, make_servers, options):
    for phase, measure, wanted in (("ringing", calls.ringing, options.ringing), ("standing", calls.standing, options.standing)):
        for server in make_servers(phase) if wanted else ():
            with server:
                result.setdefault(phase, {})[server.name.split("-")[0]] = measure(server, "signed")


def run(mode, options, directory):
    pki = make_pki(directory)
    host = CertificateHost(pki, pki / "alpha.pem")
    kamailio = not options.no_kamailio and not without_kamailio()
    result = {"mode": mode, "rows": {}, "servers": [], "signature_runs": [p256_us()[0]]}

    def make_servers(suffix=""):
        name = f"-{suffix}" if suffix else ""
        yield Stirrup(directory, pki, host, mode, 1, f"Stirrup{name}")
        if kamailio:
            yield Kamailio(directory, pki, host, options.kamailio_children, f"Kamailio{name}")

    with Signer(directory, pki, {SIGNED: host.url("/alpha.pem")}) as signer:
        calls = Calls(options, signer)
        measure_servers(result, calls, list(make_servers()), options)
        measure_memory(result, calls, make_servers, options)
        for workers in () if options.no_workers else (1, 2):
            words = "1 worker" if workers == 1 else f"{workers} workers"
            with Stirrup(directory, pki, host, mode, workers, f"Stirrup-{workers}") as server:
                result.setdefault("shared", {})[words] = calls.shared(server)
    result["rows"] = {f"{name} {job}": result["rows"][f"{name} {job}"] for name in ("Stirrup", "Kamailio") for job in JOBS
                      if f"{name} {job}" in result["rows"]}
    result["signature_runs"].append(p256_us()[0])
    result["signature_us"] = sum(result["signature_runs"]) / 2
    result["invite_bytes"] = next(iter(result["rows"].values()))["half"]["invite_bytes"]
    return result


def main(mode, aims, text):
    options = parse_options(text)
    unknown = set(options.jobs.split(",")) - set(JOBS)
    if unknown:
        sys.exit(f"{PROGRAM}: unknown: {', '.join(unknown)}")
    measure_and_print(lambda *given: run(mode, *given), lambda *given: print_all(*given, aims), options,
                      sources=(SIP_LOAD, CALL_LOAD))
