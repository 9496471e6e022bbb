"""The folders of sipp-scenarios/ with a called party, run as their READMEs say."""

import re
import shlex
from pathlib import Path

from forwarding import Served
from harness import ROOT, SCENARIOS, Sipp, free_port, wait_until

CALLS = 3
PREFIXES = ("call", "forward", "b2bua")
PROC_NET = [Path("/proc/net") / name for name in ("udp", "udp6", "tcp", "tcp6")]


def runs(folder):
    """Each way to run it, as its README has them: the commands of the called party, if there is one, of the caller, and of
    who else is there."""
    called, found = [], []
    for line in re.findall(r"`sipp ([^`]+)`", (SCENARIOS / folder / "README.md").read_text()):
        words = shlex.split(line)
        name = Path(words[words.index("-sf") + 1]).name
        if name == "uas.xml":
            called = [words]
        elif name in ("uac.xml", "scenario.xml"):
            found.append([*called, words])
        else:
            found[-1].append(words)
    return found


def start(words, inbound, seconds, calls=CALLS, **changes):
    """The command with the ports of this server, and more calls."""
    parts, options, words = {"port": None}, [], iter(words)
    for word in words:
        if word == "-sf":
            parts["file"] = ROOT / next(words)
        elif word == "-i":
            parts["source"] = next(words)
        elif word == "-t":
            parts["transport"] = next(words)
        elif word == "-m":
            parts["calls"] = calls * int(next(words))
        elif word == "-p":
            assert next(words) == "5090"
            parts["listen_port"] = inbound.hop_port
        elif word == "127.0.0.1:5060":
            parts["port"] = inbound.stirrup.port
        elif kind := re.fullmatch(r"\$\(tests/scenarios/run --identity (\S+) DIRECTORY\)", word):
            options.append(inbound.example(kind[1]))
        else:
            options.append(word)
    return Sipp(None, rate=20, seconds=seconds, **{**parts, "options": options, **changes})


def is_listening(port):
    lines = [line.split() for path in PROC_NET if path.exists() for line in path.read_text().splitlines()[1:]]
    return any(local.endswith(f":{port:04X}") and state in ("07", "0A") for _, local, _, state, *_ in lines)


def run(commands, inbound, seconds=25, **changes):
    """All parties, the called one first, when they are through. changes: for the caller."""
    parties = []
    for words in commands:
        listens = "-p" in words
        parties.append(start(words, inbound, seconds, **({} if listens or len(parties) > 1 else changes)))
        if listens:
            wait_until(lambda: is_listening(inbound.hop_port), 5, "a called party")
    for party in parties[::-1]:
        party.wait()
    return parties


def run_all(folders):
    with Served(hop_port=free_port()) as inbound:
        for folder in folders:
            for way in runs(folder):
                for words, sipp in zip(way, run(way, inbound)):
                    try:
                        sipp.assert_all(CALLS * int(words[words.index("-m") + 1]))
                    except AssertionError as error:
                        raise AssertionError(f"{shlex.join(words)}: {error}") from error


def folders_of(prefix, at_least):
    folders = sorted(path.parent.name for path in SCENARIOS.glob(f"{prefix}-*/uac.xml"))
    assert len(folders) >= at_least, folders
    return folders


def test_sipp_scenarios_of_all_calls_pass():
    run_all(folders_of("call", 28))


def test_sipp_scenarios_of_mode_forward_pass():
    run_all(folders_of("forward", 8))


def test_sipp_scenarios_of_mode_b2bua_pass():
    run_all(folders_of("b2bua", 8))


def test_sipp_scenarios_of_what_is_answered_in_all_modes_pass():
    run_all(("options", "in-dialog-481"))


def test_each_folder_is_in_the_table():
    named = re.findall(r"`([a-z0-9-]+)`", (SCENARIOS / "README.md").read_text())
    missing = {path.parent.name for path in SCENARIOS.glob("*/README.md")} - set(named)
    assert not missing, missing


def test_each_folder_with_a_called_party_is_run():
    folders = {path.parent.name for path in SCENARIOS.glob("*/uac.xml")} - {"switch-kamailio"}
    assert {folder.partition("-")[0] for folder in folders} == set(PREFIXES), folders
    for folder in folders:
        ways = runs(folder)
        assert ways and all(len(way) >= 2 for way in ways), folder
        sources = {words[words.index("-i") + 1] for way in ways for words in way}
        assert len(sources) >= (3 if folder.startswith("call-") else 2), f"{folder}: not for both modes"


def test_sipp_scenarios_of_forwarding_fail_where_something_else_arrives():
    """What the XML checks is really checked: the same ones at a peer with another mode, or with another token."""
    forward, b2bua = {"source": "127.0.0.31"}, {"source": "127.0.0.32"}
    with Served(hop_port=free_port()) as inbound:
        good, bad = ({"options": ("-key", "identity", inbound.example(kind))} for kind in ("passed", "bad-signature"))
        for folder, changes in (("forward-basic", b2bua), ("b2bua-basic", forward), ("call-verify", bad),
                                ("call-reason-stir", good), ("b2bua-call-id-new", b2bua), ("forward-no-100", b2bua),
                                ("forward-retransmission", b2bua), ("b2bua-route-set", forward), ("forward-route-set", b2bua)):
            parties = run(runs(folder)[0], inbound, seconds=4, **changes)
            assert min(party.successful for party in parties) == 0, f"{folder} with {changes} passes"


for function in (test_sipp_scenarios_of_all_calls_pass, test_sipp_scenarios_of_mode_forward_pass,
                 test_sipp_scenarios_of_mode_b2bua_pass, test_sipp_scenarios_of_forwarding_fail_where_something_else_arrives):
    function.seconds = 240
