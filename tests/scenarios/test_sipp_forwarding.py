"""The folders of sipp-scenarios/ with a called party."""

import time

from forwarding import CALLEE, Served
from harness import SCENARIOS, Sipp, free_port

CALLS = 5
SOURCES = {"forward": "127.0.0.31", "b2bua": "127.0.0.32", "forward-verify": "127.0.0.33", "b2bua-verify": "127.0.0.34",
           "b2bua-failover": "127.0.0.35"}


def source_of(folder):
    return SOURCES.get(folder) or SOURCES[folder.partition("-")[0]]


def run(folder, inbound, caller=None, source=None, identity="passed", seconds=15):
    """Both ends; returns how the caller and the called party fared."""
    options = ("-key", "identity", inbound.example(identity)) if "verify" in folder else ()
    far = Sipp(None, None, file=SCENARIOS / folder / "uas.xml", calls=CALLS, source=CALLEE, listen_port=inbound.hop_port,
               seconds=seconds)
    time.sleep(0.3)
    near = Sipp(None, inbound.stirrup.port, file=SCENARIOS / (caller or folder) / "uac.xml", calls=CALLS, rate=20,
                source=source or source_of(folder), options=options, seconds=seconds)
    return near.wait(), far.wait()


def test_every_sipp_scenario_of_forwarding_passes():
    folders = sorted(path.parent.name for path in SCENARIOS.glob("*/uac.xml") if path.parent.name != "switch-kamailio")
    assert len(folders) >= 11, folders
    with Served(hop_port=free_port()) as inbound:
        for folder in folders:
            for side, sipp in zip(("caller", "called party"), run(folder, inbound)):
                try:
                    sipp.assert_all(CALLS)
                except AssertionError as error:
                    raise AssertionError(f"{folder}, {side}: {error}") from error


def test_sipp_scenarios_of_forwarding_fail_where_something_else_arrives():
    """What the XML checks is really checked: the same ones at a peer with another mode, or with another token."""
    with Served(hop_port=free_port()) as inbound:
        for folder, parts in (("forward-basic", {"source": SOURCES["b2bua"]}), ("b2bua-basic", {"source": SOURCES["forward"]}),
                              ("forward-verify", {"identity": "bad-signature"})):
            _, far = run(folder, inbound, seconds=6, **parts)
            assert far.successful == 0, f"{folder} with {parts}: {far.successful} successful"


test_every_sipp_scenario_of_forwarding_passes.seconds = 200
test_sipp_scenarios_of_forwarding_fail_where_something_else_arrives.seconds = 100
