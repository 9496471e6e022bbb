"""What an inbound call is worth: the verification service over real SIP."""

import email.utils
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

from harness import CORE, DEST, OTHER, OWN, ROOT, SCENARIOS, Skip, sipp, wait_until
from verifying import (BY_FROM_ONLY, CRL_URL, FAILED, GONE, IN_FROM, NONE, PASSED, PHRASES, PLAIN, PROFILE, REJECTS,
                       REQUIRES, SHADOW, SPC_LIST, TREATS, TRUSTED, WITH_LEVEL, Inbound, Signer, base64url, check_failing,
                       check_passed, openssl, reason_of, revocation_list, verstat_of, verstats)


def now():
    return int(time.time())


def ppi(token):
    return ".." + token.split(".")[2]


# ---- what passes ----


def test_a_good_call_passes_and_all_of_it_is_recorded():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        for cache in ("miss", "hit"):
            iat, origid = now(), str(uuid.uuid4())
            answer = inbound.call(inbound.identity(iat=iat, origid=origid), client=client)
            check_passed(answer)
            assert answer["P-Asserted-Identity"] == f"<sip:{OWN};verstat={PASSED}@{client.here};user=phone>", answer.raw
            assert answer["Origination-Id"] == origid
            assert answer.contact_uri().startswith(f"sip:{DEST}@{client.here}"), answer.raw
            assert abs(email.utils.parsedate_to_datetime(answer["Date"]).timestamp() - now()) <= 2
            assert not answer.has("Reason")
            for name, value in {
                    "peer": "plain", "source": client.here, "service": "verify", "mode": "redirect", "customer": None,
                    "orig": OWN[1:], "dest": [DEST[1:]], "attest": "A", "origid": origid, "iat": iat, "credential": None,
                    "x5u": inbound.x5u, "spc": "1234", "result": "passed", "reason": None, "status": 302,
                    "final_status": 302, "removed": [], "cache": cache, "identities": [
                        {"ppt": "shaken", "x5u": inbound.x5u, "spc": "1234", "attest": "A", "origid": origid,
                         "result": "passed", "reason": None}]}.items():
                assert answer.record[name] == value, f"{name}: {answer.record[name]!r}, not {value!r}"
            assert answer.record["rule"]
        assert inbound.host.connections() == 1


def test_b_and_c_pass_too():
    with Inbound() as inbound:
        for level in "BC":
            check_passed(inbound.call(inbound.identity(attest=level)), attest=level)


def test_what_the_server_signs_it_verifies():
    with Inbound() as inbound, inbound.stirrup.client() as signing:
        identity = signing.call()["Identity"]
        check_passed(inbound.call(identity))


def test_what_secsipidx_signs_verifies():
    if not shutil.which("secsipidx"):
        raise Skip("no secsipidx")
    with Inbound() as inbound:
        done = subprocess.run(
            ["secsipidx", "-sign-full", "-orig-tn", OWN[1:], "-dest-tn", DEST[1:], "-attest", "B", "-x5u", inbound.x5u,
             "-k", inbound.pki.directory / "alpha.key"], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        check_passed(inbound.call(done.stdout.strip()), attest="B")


def test_the_received_octets_are_verified_and_not_a_token_made_again():
    """C.3, 1 and 7: claims that we don't know, white space, another order, more than 2,000 octets, several numbers."""
    with Inbound() as inbound:
        claims = without(None)
        backwards = dict(reversed(claims.items()))
        several = {"tn": [OTHER[1:], "13035550198", DEST[1:]], "uri": ["sip:bob@example.com"]}
        escaped = ('{"\\u0061ttest":"\\u0041","dest":{"tn":["%s"]},"iat":%d,"orig":{"tn":"%s"},"origid":"%s"}'
                   % (DEST[1:], now(), OWN[1:], uuid.uuid4()))
        for what, token in {
                "an unknown claim": inbound.token(mky=[{"alg": "sha-256"}], note="é ☎"),
                "white space": inbound.token(payload="\n " + json.dumps(claims, indent=4) + "\r\n\t"),
                "another order": inbound.token(payload=json.dumps(backwards)),
                "white space in the header": inbound.token(header=json.dumps(
                    {"x5u": inbound.x5u, "typ": "passport", "note": 1, "ppt": "shaken", "alg": "ES256"}, indent=1)),
                "escapes": inbound.token(payload=escaped),
                "a long one": inbound.token(note="x" * 3000),
                "the last of several numbers": inbound.token(payload={**claims, "dest": several}),
        }.items():
            answer = inbound.call(inbound.identity(token))
            assert answer.record["result"] == "passed", (what, answer.record)
            check_passed(answer)


def test_every_way_to_write_the_header_field_is_read():
    """C.3, 11 and 13; RFC 8224 section 4, RFC 3261 section 7.3.1."""
    with Inbound() as inbound:
        x5u = inbound.x5u
        for form in (
                "y: {token};info=<{x5u}>;alg=ES256;ppt=shaken",
                "Y: {token};info=<{x5u}>;alg=ES256;ppt=shaken",
                "IDENTITY: {token};info=<{x5u}>;alg=ES256;ppt=shaken",
                "identity : {token};info=<{x5u}>;alg=ES256;ppt=shaken",
                'Identity: {token};info=<{x5u}>;alg="ES256";ppt="shaken"',
                "Identity: {token};ppt=shaken;alg=ES256;info=<{x5u}>",
                "Identity: {token};ppt=shaken;info=<{x5u}>",
                "Identity: {token};info=<{x5u}>",
                "Identity: {token} ; info = <{x5u}> ; ALG = ES256 ; Ppt = SHAKEN",
                "Identity: {token};info=<{x5u}>;alg=ES256;ppt=shaken;canon=abc;note=\"a,b;c\"",
                "Identity: {token};info=<{x5u}>;\r\n alg=ES256;\r\n\tppt=shaken"):
            answer = inbound.call(form.format(token=inbound.token(), x5u=x5u))
            assert answer.record["result"] == "passed", (form, answer.record)
            check_passed(answer)


def test_numbers_are_compared_in_their_canonical_form():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        for caller in (f"<sip:{OWN}@{client.here}>", f"<sip:2155551212@{client.here}>", f"<tel:{OWN}>", f"<tel:+1-215-555-1212>",
                       f'"A \\" B" <sip:12155551212;npdi@{client.here};user=phone>'):
            answer = inbound.call(inbound.identity(), client=client, from_=caller)
            assert verstat_of(answer) == PASSED, (caller, answer.record, answer.raw)
        for called in (f"<tel:{DEST}>", f"<sip:2155551213@{client.server}>",
                       f"<sip:+1.215.555.1213;rn=+12155550000@{client.server}>"):
            check_passed(inbound.call(inbound.identity(), client=client, to=called))
        # What was dialled is To's; a Request-URI that was changed on the way is another matter (RFC 8946).
        check_passed(inbound.call(inbound.identity(), client=client, uri=f"sip:{OTHER}@{client.server}"))


def test_iat_may_be_off_by_the_freshness_and_a_date_decides_nothing():
    """C.3, 3, 8 and 9: a call of a second ago or ahead, a Date that is missing, a second ahead, stale, in no format."""
    with Inbound() as inbound:
        for iat in (-50, -16, -1, 1, 16, 50):
            check_passed(inbound.call(inbound.identity(iat=now() + iat)))
        for date in (email.utils.formatdate(now() + 1, usegmt=True), email.utils.formatdate(now() - 3600, usegmt=True),
                     "Tuesday"):
            check_passed(inbound.call(inbound.identity(), headers=[f"Date: {date}"]))


def test_a_number_list_covers_the_numbers_that_it_names():
    """C.3, 10: any entry of the TNAuthList, ranges and single numbers, also after a service provider code."""
    entries = PROFILE + "1.3.6.1.5.5.7.1.26 = ASN1:SEQUENCE:list\n[list]\n"
    span = "[span]\nstart = IA5STRING:{}\ncount = INTEGER:{}\n"
    with Inbound() as inbound:
        for name, extensions, covered in (
                ("one", entries + "one = EXPLICIT:2,IA5STRING:12155551212\n", True),
                ("second", entries + "a = EXPLICIT:0,IA5STRING:1234\nb = EXPLICIT:2,IA5STRING:13035550199\n"
                 "c = EXPLICIT:1,SEQUENCE:span\n" + span.format("12155551200", 13), True),
                ("short", entries + "c = EXPLICIT:1,SEQUENCE:span\n" + span.format("12155551200", 12), False),
                ("other", entries + "a = EXPLICIT:0,IA5STRING:1234\nb = EXPLICIT:2,IA5STRING:13035550199\n", False)):
            inbound.pki.issue(name, extensions)
            answer = inbound.call(inbound.identity(by=name, x5u=inbound.publish(name)))
            if covered:
                check_passed(answer)
            else:
                check_failing(answer, "tn_not_covered", 437)


# ---- what fails, and how ----


def test_each_row_of_the_table_of_atis_1000082():
    """082-5: E1 and E2 are calls without a number, E3 is a stale Date; these and E17 have tests of their own."""
    with Inbound() as inbound:
        identity, token, x5u = inbound.identity, inbound.token, inbound.x5u
        good = token()
        compact = ".." + good.split(".")[2]
        forged = token(by="beta")
        gone = inbound.host.url("/none.pem", host="good.localhost")
        div = token(header={"ppt": "div"})
        rows = [
            ("E4 compact form", identity(compact), "compact_form", 438),
            ("E5 another ppt", identity(div, parameters=";alg=ES256;ppt=div"), "unsupported_ppt", None),
            ("E5 another ppt in the token only", identity(token(header={"ppt": "rph"}), parameters=""),
             "unsupported_ppt", None),
            ("E6 info missing", f"{good};alg=ES256;ppt=shaken", "no_info", 436),
            ("E7 info is no URI", f"{good};info=<certificate>;alg=ES256;ppt=shaken", "bad_info_uri", 436),
            ("E7 http", identity(x5u=x5u.replace("https", "http")), "bad_info_uri", 436),
            ("E7 a port that is not fetched from", identity(x5u="https://localhost:22/a.pem"), "bad_info_uri", 436),
            ("E7 user information", identity(x5u=x5u.replace("//", "//a@")), "bad_info_uri", 436),
            ("E7 a query", identity(x5u=x5u + "?a=b"), "bad_info_uri", 436),
            ("E7 a fragment", identity(x5u=x5u + "#a"), "bad_info_uri", 436),
            ("E8 info is not there", identity(x5u=gone), "certificate_unreachable", 436),
            *[(f"E9 no {name}", identity(token(header={name: GONE})), "missing_header_member", 436)
              for name in ("ppt", "typ", "alg", "x5u")],
            ("E9 an empty header", identity(token(header="{}")), "missing_header_member", 436),
            ("E10 x5u is not info", identity(token(), info=x5u.replace("alpha", "beta")), "info_mismatch", 436),
            ("E10 x5u in other letters", identity(token(), info=x5u.replace("host", "HOST")), "info_mismatch", 436),
            ("E11 typ", identity(header={"typ": "JWT"}), "bad_typ", 437),
            ("E12 alg", identity(header={"alg": "ES384"}), "bad_alg", 437),
            ("E12 alg none", identity(header={"alg": "none"}), "bad_alg", 437),
            ("E12 alg of the parameter", identity(parameters=";alg=RS256;ppt=shaken"), "bad_alg", 437),
            ("E13 ppt of the token", identity(header={"ppt": "div"}), "bad_ppt", 438),
            *[(f"E14 no {name}", identity(**{"payload": without(name)}), "missing_claim", 438)
              for name in ("attest", "dest", "iat", "orig", "origid")],
            ("E15 an old iat", identity(iat=now() - 62), "stale_iat", 403),
            ("E15 an iat to come", identity(iat=now() + 63), "stale_iat", 403),
            ("E16 another caller", identity(orig=OTHER), "orig_mismatch", 438),
            ("E16 another called party", identity(dest=OTHER), "dest_mismatch", 438),
            ("E18 signature", identity(forged), "bad_signature", 438, FAILED),
            *[(f"E19 attest {attest!r}", identity(attest=attest), "bad_attest", 438) for attest in ("D", "a", "AA", "")],
        ]
        for name, value, reason, cause, *verstat in rows:
            answer = inbound.call(value)
            try:
                check_failing(answer, reason, cause, *verstat)
                assert [judged["reason"] for judged in answer.record["identities"]] == [reason], answer.record
            except AssertionError as fault:
                raise AssertionError(f"{name}: {fault}") from fault


def without(name):
    """The claims of a good token but for one."""
    claims = {"attest": "A", "dest": {"tn": [DEST[1:]]}, "iat": now(), "orig": {"tn": OWN[1:]}, "origid": str(uuid.uuid4())}
    claims.pop(name, None)
    return claims


def test_a_chain_that_is_not_trusted_is_failed():
    """E17 and C.3, 2: also one that the web's CA has signed, which we believe about the host it is fetched from."""
    with Inbound() as inbound:
        inbound.signers["web"] = Signer(inbound.directory / "web/web-pki", "shaken")
        chain = (inbound.directory / "web/web-pki/shaken.pem").read_bytes()
        x5u = inbound.serve("web-chain.pem", chain)
        check_failing(inbound.call(inbound.identity(by="web", x5u=x5u)), "certificate_untrusted", 437, FAILED)
        # With its root delivered: what comes from the x5u is never an anchor.
        x5u = inbound.serve("with-root.pem", chain + (inbound.directory / "web/ca.pem").read_bytes())
        check_failing(inbound.call(inbound.identity(by="web", x5u=x5u)), "certificate_untrusted", 437, FAILED)
        # The end entity without its CA, which nobody has configured.
        leaf = (inbound.pki.directory / "alpha.pem").read_text().partition("-----END CERTIFICATE-----\n")
        x5u = inbound.serve("leaf.pem", (leaf[0] + leaf[1]).encode())
        check_failing(inbound.call(inbound.identity(x5u=x5u)), "certificate_untrusted", 437, FAILED)


def test_a_certificate_outside_its_dates_is_437():
    """C.3, 3: not 438."""
    with Inbound() as inbound:
        inbound.pki.make("expired", "--not-before", "20250101000000Z", "--not-after", "20250201000000Z")
        inbound.pki.make("early", "--not-before", "20470101000000Z", "--not-after", "20470201000000Z")
        for name in ("expired", "early"):
            answer = inbound.call(inbound.identity(by=name, x5u=inbound.publish(name)))
            check_failing(answer, "certificate_outside_validity", 437)


def test_certificates_that_sign_for_nobody():
    with Inbound() as inbound:
        for name, reason, extensions, *key in (
                ("p384", "certificate_not_p256", PROFILE + SPC_LIST,
                 ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")),
                ("explicit", "certificate_not_p256", PROFILE + SPC_LIST,
                 ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit")),
                ("rsa", "certificate_not_p256", PROFILE + SPC_LIST,
                 ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")),
                ("bare", "bad_tn_auth_list", PROFILE + "1.3.6.1.5.5.7.1.26 = ASN1:PRINTABLESTRING:1234\n"),
                ("trailing", "bad_tn_auth_list", PROFILE + "1.3.6.1.5.5.7.1.26 = DER:30:07:a0:05:16:03:31:32:33:00\n")):
            inbound.pki.issue(name, extensions, *key)
            check_failing(inbound.call(inbound.identity(x5u=inbound.publish(name))), reason, 437)


def test_claim_constraints_of_the_certificate_hold():
    """RFC 8226 section 8: this one may say B or C only."""
    only_b = (PROFILE + "1.3.6.1.5.5.7.1.26 = ASN1:SEQUENCE:list\n1.3.6.1.5.5.7.1.27 = ASN1:SEQUENCE:constraints\n"
              "[list]\na = EXPLICIT:0,IA5STRING:1234\n[constraints]\nvalues = EXPLICIT:1,SEQUENCE:claims\n"
              "[claims]\none = SEQUENCE:claim\n[claim]\nname = IA5STRING:attest\nvalues = SEQUENCE:levels\n"
              "[levels]\nb = UTF8:B\nc = UTF8:C\n")
    with Inbound() as inbound:
        inbound.pki.issue("limited", only_b)
        x5u = inbound.publish("limited")
        check_failing(inbound.call(inbound.identity(by="limited", x5u=x5u)), "claim_constraints", 438)
        check_passed(inbound.call(inbound.identity(by="limited", x5u=x5u, attest="B")), attest="B")


def test_enhanced_claim_constraints_exclude_claims():
    """RFC 9118: no "rcd" from this one."""
    no_rcd = (PROFILE + "1.3.6.1.5.5.7.1.26 = ASN1:SEQUENCE:list\n1.3.6.1.5.5.7.1.33 = ASN1:SEQUENCE:constraints\n"
              "[list]\na = EXPLICIT:0,IA5STRING:1234\n[constraints]\nexclude = EXPLICIT:2,SEQUENCE:names\n"
              "[names]\none = IA5STRING:rcd\n")
    with Inbound() as inbound:
        inbound.pki.issue("plain", no_rcd)
        x5u = inbound.publish("plain")
        check_failing(inbound.call(inbound.identity(by="plain", x5u=x5u, rcd={"nam": "A"})), "claim_constraints", 438)
        check_passed(inbound.call(inbound.identity(by="plain", x5u=x5u)))


class Revoking(Inbound):
    """With an STI-PA, under a root of its own, and its list; certificates "kept" and "revoked" say where it is."""

    def __init__(self, **settings):
        super().__init__(trust='crl = "sti-pa.crl"; crl_issuer_anchors = "pa.pem";', **settings)

    def prepare(self):
        self.pki.make("alpha")
        point = PROFILE + "crlDistributionPoints = point\n" + SPC_LIST + (
            f"[point]\nfullname = URI:{CRL_URL}\nCRLissuer = dirName:issuer\n"
            "[issuer]\nC = US\nO = STI-PA\nCN = STI-PA root\n")
        for name in ("kept", "revoked"):
            self.pki.issue(name, point)
            self.publish(name)
        at = self.directory
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", at / "pa.key", "-subj", "/C=US/O=STI-PA/CN=STI-PA root", "-days", 30,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", at / "pa.pem")
        self.revoke("revoked", number=1)

    def revoke(self, *names, number, seconds=3600):
        at = self.directory
        revoked = [self.pki.directory / f"{name}.pem" for name in names]
        (at / "new.crl").write_bytes(revocation_list(Signer(at, "pa"), at / "pa.pem", revoked, number, seconds))
        (at / "new.crl").rename(at / "sti-pa.crl")

    def judged(self, name):
        """How a call of this certificate fares now."""
        return self.call(self.identity(by=name, x5u=self.host.url(f"/{name}.pem"))).record["reason"]


def test_a_revoked_certificate_is_failed():
    """C.3, 2a and 11: by the indirect list of an STI-PA, which stands under a root of its own."""
    with Revoking() as inbound:
        check_passed(inbound.call(inbound.identity(by="kept", x5u=inbound.host.url("/kept.pem"))))
        answer = inbound.call(inbound.identity(by="revoked", x5u=inbound.host.url("/revoked.pem")))
        check_failing(answer, "certificate_revoked", 437, FAILED)


def test_a_new_list_revokes_certificates_that_are_in_use():
    with Revoking() as inbound:
        assert (inbound.judged("kept"), inbound.judged("revoked")) == (None, "certificate_revoked")
        # An older one changes nothing.
        inbound.revoke("kept", number=0)
        inbound.stirrup.wait_for_log("CRLNumber is not above")
        assert inbound.judged("kept") is None
        inbound.revoke("kept", "revoked", number=2)
        wait_until(lambda: inbound.judged("kept") == "certificate_revoked", 8, "the new list's effect")
        check_failing(inbound.call(inbound.identity(by="kept", x5u=inbound.host.url("/kept.pem"))),
                      "certificate_revoked", 437, FAILED)


def test_a_list_that_is_out_of_date_leaves_revocation_unknown_and_passes_the_call():
    with Revoking(verification='crl_grace = "0s";') as inbound:
        assert inbound.judged("revoked") == "certificate_revoked"
        inbound.revoke("revoked", number=2, seconds=8)
        url = inbound.host.url("/revoked.pem")
        wait_until(lambda: inbound.judged("revoked") is None, 20, "the end of the list's time")
        answer = inbound.call(inbound.identity(by="revoked", x5u=url))
        check_passed(answer)
        assert answer.record["rule"] == "verified; the CRL is out of date, revocation unknown", answer.record
        # A certificate that names no list has nothing to be unknown.
        assert inbound.call(inbound.identity()).record["rule"] == "verified"
        inbound.stirrup.wait_for_log("what it revokes is not known any more, since")
        inbound.revoke("revoked", number=3)
        wait_until(lambda: inbound.judged("revoked") == "certificate_revoked", 8, "the new list's effect")


def test_a_list_of_numbers_that_is_elsewhere_is_not_fetched():
    """RFC 8226 section 10.1."""
    with Inbound() as inbound:
        here = inbound.host.url("/list")
        inbound.serve("list", bytes.fromhex("3008a00616043132334a"))
        inbound.pki.issue("elsewhere", PROFILE + f"authorityInfoAccess = 1.3.6.1.5.5.7.48.14;URI:{here}\n")
        answer = inbound.call(inbound.identity(by="elsewhere", x5u=inbound.publish("elsewhere")))
        check_failing(answer, "bad_tn_auth_list", 437)
        inbound.stirrup.wait_for_log("only by reference, which is not fetched")
        assert inbound.host.requests("/list") == 0
        # One that is there, too, counts.
        inbound.pki.issue("both", PROFILE + f"authorityInfoAccess = 1.3.6.1.5.5.7.48.14;URI:{here}\n" + SPC_LIST)
        check_passed(inbound.call(inbound.identity(by="both", x5u=inbound.publish("both"))))
        assert inbound.host.requests("/list") == 0


test_a_list_that_is_out_of_date_leaves_revocation_unknown_and_passes_the_call.seconds = 90


def test_certificates_in_use_are_judged_again_when_the_roots_change():
    with Inbound() as inbound:
        inbound.warm()
        root = inbound.pki.directory / "root.pem"
        good = root.read_bytes()

        def judged():
            return inbound.call(inbound.identity()).record["reason"]

        replace(root, (inbound.directory / "web/ca.pem").read_bytes())
        wait_until(lambda: judged() == "certificate_untrusted", 8, "the new root's effect")
        # What cannot be read replaces nothing.
        replace(root, b"-----BEGIN CERTIFICATE-----\nhalf")
        inbound.stirrup.wait_for_log("trust.us.anchors")
        assert judged() == "certificate_untrusted"
        replace(root, good)
        wait_until(lambda: judged() is None, 8, "the old root's effect")
        check_passed(inbound.call(inbound.identity()))


def replace(path, content):
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)


def test_a_reload_changes_how_calls_are_judged():
    with Inbound() as inbound:
        stale = inbound.identity(iat=now() - 100)
        check_failing(inbound.call(stale), "stale_iat", 403)
        inbound.stirrup.write_config(verification='freshness = "10m"; verstat_failed_on = "any";')
        inbound.stirrup.reload()
        wait_until(lambda: inbound.call(stale).record["result"] == "passed", 5, "the new configuration")
        check_failing(inbound.call(inbound.identity(orig=OTHER)), "orig_mismatch", 438, FAILED)


def test_the_profile_of_atis_1000080_is_enforced_only_when_that_is_wanted():
    no_policy = re.sub(r"(?m)^certificatePolicies.*\n", "", PROFILE) + SPC_LIST
    for verification, passes in (("", True), ("strict_profile = true;", False)):
        with Inbound(verification=verification) as inbound:
            inbound.pki.issue("sloppy", no_policy)
            answer = inbound.call(inbound.identity(by="sloppy", x5u=inbound.publish("sloppy")))
            if passes:
                check_passed(answer)
            else:
                check_failing(answer, "profile_violation", 437)


def test_forgeries_of_the_kinds_that_others_accepted():
    """C.3, 5, 6, 7a and 15; JOSE's own classics."""
    with Inbound() as inbound:
        identity, token = inbound.identity, inbound.token
        public = (inbound.pki.directory / "alpha.pub").read_bytes()
        signed = token(header={"alg": "HS256"}).rpartition(".")[0]
        by_hmac = signed + "." + base64url(hmac.digest(public, signed.encode(), "sha256"))
        good = token().split(".")
        claims = '"dest":{"tn":["%s"]},"iat":%d,"orig":{"tn":"%s"},"origid":"%s"' % (DEST[1:], now(), OWN[1:], uuid.uuid4())
        half_good = ".".join(good[:2]) + "."
        own_key = {"jwk": {"kty": "EC"}, "kid": "beta"}
        order = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        for name, value, reason, cause, *verstat in (
                ("HMAC with the public key", identity(by_hmac), "bad_alg", 437),
                ("crit", identity(header={"crit": ["exp"], "exp": 1}), "critical_extension", 438),
                ("a key of its own", identity(by="beta", header=own_key), "bad_signature", 438, FAILED),
                ("no signature", identity(half_good), "bad_signature", 438, FAILED),
                ("zeros", identity(half_good + base64url(bytes(64))), "bad_signature", 438, FAILED),
                ("r and s are the order", identity(half_good + base64url(order * 2)), "bad_signature", 438, FAILED),
                ("65 octets", identity(half_good + base64url(bytes(65))), "bad_signature", 438, FAILED),
                ("padding", identity(half_good + good[2] + "=="), "bad_signature", 438, FAILED),
                ("padding within", identity(good[0] + "==." + ".".join(good[1:])), "malformed_passport", 438),
                ("two parts", identity(".".join(good[:2])), "malformed_passport", 438),
                ("not JSON", identity(token(payload="{")), "malformed_passport", 438),
                ("a member twice", identity(token(payload='{"attest":"A","attest":"A",%s}' % claims)), "malformed_passport", 438),
                ("not an object", identity(token(payload="[1]")), "malformed_passport", 438),
                ("too long", identity(token(note="x" * 6500)), "malformed_passport", 438),
                ("iat in quotes", identity(iat=str(now())), "bad_claim", 438),
                ("iat with a fraction", identity(iat=now() + 0.5), "bad_claim", 438),
                ("dest is empty", identity(payload=without("dest") | {"dest": {"tn": []}}), "bad_claim", 438),
                ("orig.uri is an array", identity(payload=without("orig") | {"orig": {"uri": ["sip:a@b"]}}), "bad_claim", 438),
                ("five minutes old", identity(iat=now() - 299), "stale_iat", 403),
                ("a day ahead", identity(iat=now() + 86400), "stale_iat", 403),
                ("stale with a fresh Date", identity(iat=now() - 600), "stale_iat", 403),
                ("not a token", "Identity: hello", "malformed_identity", 438),
                ("an info without end", f"{token()};info=<{inbound.x5u};ppt=shaken", "malformed_identity", 438)):
            answer = inbound.call(value, headers=[f"Date: {email.utils.formatdate(usegmt=True)}"])
            try:
                check_failing(answer, reason, cause, *verstat)
            except AssertionError as fault:
                raise AssertionError(f"{name}: {fault}") from fault


def test_only_the_number_that_the_peer_asserts_is_compared():
    """Never "any of them": a caller writes what he likes into From."""
    with Inbound() as inbound:
        asserted = [f"P-Asserted-Identity: <tel:{OTHER}>"]
        check_failing(inbound.call(inbound.identity(orig=OWN), headers=asserted), "orig_mismatch", 438)
        check_passed(inbound.call(inbound.identity(orig=OTHER), headers=asserted))
        answer = inbound.call(inbound.identity(orig=OWN), headers=asserted, source=BY_FROM_ONLY)
        assert answer.record["result"] == "passed", answer.record
        # The asserted number is not the one that was verified.
        assert [verstats(value) for value in answer.all("P-Asserted-Identity") if OTHER in value] in ([], [[]]), answer.raw
        answer = inbound.call(inbound.identity(orig=OTHER), headers=asserted, source=BY_FROM_ONLY)
        assert answer.record["reason"] == "orig_mismatch", answer.record


def test_a_call_without_a_number_is_no_validation():
    """E1 and E2."""
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        for reason, parts in (
                ("number_format", {"from_": f"<sip:alice@{client.here}>"}),
                ("anonymous", {"from_": '"Anonymous" <sip:anonymous@anonymous.invalid>'}),
                ("number_format", {"to": f"<sip:bob@{client.server}>"})):
            answer = inbound.call(inbound.identity(), client=client, **parts)
            record = answer.record
            assert (answer.status, record["result"], record["reason"]) == (302, "no_validation", reason), record
            assert not answer.has("Reason") and not answer.has("Attestation-Info"), answer.raw
            assert PASSED not in answer.raw.decode(), answer.raw


def test_an_anonymous_caller_is_verified_by_the_asserted_number():
    with Inbound() as inbound:
        answer = inbound.call(inbound.identity(), from_='"Anonymous" <sip:anonymous@anonymous.invalid>',
                              headers=[f"P-Asserted-Identity: <tel:{OWN}>", "Privacy: id"])
        check_passed(answer)
        assert answer["P-Asserted-Identity"] == f"<tel:{OWN};verstat={PASSED}>", answer.raw


def test_a_call_without_identity_is_no_validation_without_a_reason_header():
    with Inbound() as inbound:
        answer = inbound.call()
        check_failing(answer, "no_identity", None)
        assert answer.record["identities"] == [] and answer.record["cache"] is None
        assert inbound.host.connections() == 0


# ---- several Identity headers ----


def test_one_good_token_is_enough_and_each_failing_one_is_reported():
    """RFC 8224 section 6.2.1, RFC 9410; C.3, 4 and 9: not only the first one."""
    with Inbound() as inbound:
        stale, other, good = inbound.token(iat=now() - 600), inbound.token(orig=OTHER), inbound.token(attest="B")
        for values in ([inbound.identity(token) for token in (stale, other, good)],
                       [", ".join(inbound.identity(token) for token in (stale, other, good))],
                       [inbound.identity(stale), "y: " + inbound.identity(other) + " , " + inbound.identity(good)]):
            answer = inbound.call(*values)
            check_passed(answer, attest="B")
            assert reason_of(answer) == [
                (403, "Stale Date", ppi(stale)), (438, "Invalid Identity Header", ppi(other))], answer.raw
            assert [(judged["result"], judged["reason"]) for judged in answer.record["identities"]] == [
                ("no_validation", "stale_iat"), ("no_validation", "orig_mismatch"), ("passed", None)], answer.record


def test_a_token_of_another_type_stands_beside_the_good_one_and_is_ignored():
    with Inbound() as inbound:
        div = inbound.identity(inbound.token(header={"ppt": "div"}), parameters=";alg=ES256;ppt=div")
        answer = inbound.call(div, inbound.identity())
        check_passed(answer)
        assert not answer.has("Reason")
        assert [judged["reason"] for judged in answer.record["identities"]] == ["unsupported_ppt", None]


def test_the_worst_of_several_failing_tokens_decides():
    with Inbound() as inbound:
        answer = inbound.call(inbound.identity(iat=now() - 600), inbound.identity(by="beta"), inbound.identity(attest="D"))
        assert (verstat_of(answer), answer.record["reason"]) == (FAILED, "bad_signature"), answer.record
        assert [cause for cause, _, _ in reason_of(answer)] == [403, 438, 438]


def test_no_more_than_ten_are_judged():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN, tcp=True) as client:
        stale = [inbound.identity(iat=now() - 600) for _ in range(10)]
        answer = inbound.call(*stale, inbound.identity(), inbound.identity(), client=client)
        assert answer.record["result"] == "no_validation", answer.record
        words = [judged["reason"] for judged in answer.record["identities"]]
        assert words == ["stale_iat"] * 10 + ["too_many_identities"], words
        answer = inbound.call(*stale[:9], inbound.identity(), client=client)
        assert answer.record["result"] == "passed", answer.record


def test_ten_long_urls_are_all_recorded():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN, tcp=True) as client:
        long = inbound.host.url("/" + "x" * (511 - len(inbound.host.url("/"))))
        answer = inbound.call(*[inbound.identity(x5u=long, iat=now() - 600) for _ in range(10)], client=client,
                              call_id="c" * 400)
        assert [judged["x5u"] for judged in answer.record["identities"]] == [long] * 10


# ---- policy ----


def test_on_failure_reject_refuses_by_the_statuses_of_rfc_8224():
    with Inbound() as inbound:
        identity = inbound.identity
        good = inbound.token()
        for status, values in (
                (403, [identity(iat=now() - 600)]),
                (403, [identity(iat=now() - 600), identity(iat=now() + 600)]),
                (436, [identity(x5u="https://localhost:1/a.pem")]),
                (436, [identity(header={"x5u": GONE}), f"{good};ppt=shaken"]),
                (437, [identity(header={"typ": "JWT"})]),
                (437, [identity(header={"typ": "JWT"}), identity(by="beta")]),
                (438, [identity(orig=OTHER)]),
                (438, [identity(by="beta")]),
                (438, [identity(iat=now() - 600), identity(x5u="https://localhost:1/a.pem")])):
            answer = inbound.call(*values, source=REJECTS)
            assert (answer.status, answer.reason) == (status, PHRASES[status]), (answer.raw, answer.record)
            for name in ("Contact", "Attestation-Info", "P-Asserted-Identity"):
                assert not answer.has(name), answer.raw
            record = answer.record
            assert (record["result"], record["status"], record["final_status"]) == ("rejected", status, status), record
        check_passed(inbound.call(identity(iat=now() - 600), identity(), source=REJECTS))
        # Without a token there is nothing that failed.
        check_failing(inbound.call(source=REJECTS), "no_identity", None)


def test_an_emergency_call_is_never_refused():
    with Inbound() as inbound:
        stale = inbound.identity(iat=now() - 600)
        answer = inbound.call(stale, source=REJECTS, to="<urn:service:sos>", uri="urn:service:sos")
        assert answer.status == 302, answer.raw
        answer = inbound.call(source=REQUIRES, to="<sip:911@127.0.0.1;user=phone>")
        assert answer.status == 302, answer.raw


def test_identity_required_is_428_where_nothing_can_be_judged():
    with Inbound() as inbound:
        other = inbound.identity(inbound.token(header={"ppt": "div"}), parameters=";alg=ES256;ppt=div")
        for values in ([], [other]):
            answer = inbound.call(*values, source=REQUIRES)
            assert (answer.status, answer.reason) == (428, "Use Identity Header"), answer.raw
            assert answer.record["result"] == "rejected", answer.record
        check_passed(inbound.call(inbound.identity(), source=REQUIRES))
        check_failing(inbound.call(inbound.identity(iat=now() - 600), source=REQUIRES), "stale_iat", 403)


def test_shadow_judges_and_records_and_changes_nothing():
    with Inbound() as inbound:
        for values, result, reason in (
                ([inbound.identity()], "passed", None), ([], "no_validation", "no_identity"),
                ([inbound.identity(orig=OTHER)], "no_validation", "orig_mismatch"),
                ([inbound.identity(by="beta")], "failed", "bad_signature")):
            answer = inbound.call(*values, source=SHADOW)
            assert answer.status == 302, answer.raw
            assert (answer.record["result"], answer.record["reason"]) == (result, reason), answer.record
            for name in ("P-Asserted-Identity", "Attestation-Info", "Origination-Id", "Reason", "X-Trust", "Identity"):
                assert not answer.has(name), answer.raw
            assert answer.record["rule"], answer.record


def test_treatment_rules_are_asked_in_their_order():
    with Inbound() as inbound:
        def call(*values):
            return inbound.call(*values, source=TREATS)

        answer = call(inbound.identity(attest="C"))
        check_passed(answer, attest="C")
        assert answer["X-Trust"] == "low"
        assert answer.contact_uri().startswith(f"sip:{DEST}@198.51.100.9:5060"), answer.raw
        rule = answer.record["rule"]
        answer = call(inbound.identity(by="beta", x5u=inbound.host.url("/beta.pem")))
        assert (answer.status, answer.reason, answer.record["result"]) == (603, "Decline", "rejected"), answer.raw
        assert answer.record["rule"] != rule
        answer = call(inbound.identity(by="beta"))
        assert (answer.status, answer.reason, answer["X-Why"]) == (438, "Not Today", "forged"), answer.raw
        assert answer.record["reason"] == "bad_signature"
        assert call(inbound.identity(iat=now() - 600)).status == 403
        assert call(inbound.identity(x5u=inbound.host.url("/none.pem", host="good.localhost"))).status == 480
        answer = call()
        assert (answer.status, answer["X-Trust"]) == (302, "none"), answer.raw
        # No rule says anything of these.
        check_passed(call(inbound.identity()))
        check_failing(call(inbound.identity(orig=OTHER)), "orig_mismatch", 438)


def test_a_rules_next_hop_is_recorded():
    with Inbound() as inbound:
        answer = inbound.call(inbound.identity(attest="C"), source=TREATS)
        assert answer.record["next_hop"] == "198.51.100.9:5060", answer.record


def test_verstat_failed_on_any_makes_every_refused_token_failed():
    with Inbound(verification='verstat_failed_on = "any";') as inbound:
        check_failing(inbound.call(inbound.identity(iat=now() - 600)), "stale_iat", 403, FAILED)
        check_failing(inbound.call(inbound.identity(orig=OTHER)), "orig_mismatch", 438, FAILED)
        check_failing(inbound.call(), "no_identity", None)


# ---- what the switch is told ----


def test_verstat_with_the_level_and_in_both_places():
    with Inbound() as inbound, inbound.stirrup.client(WITH_LEVEL) as client:
        asserted = [f"P-Asserted-Identity: <sip:{OWN}@192.0.2.9;user=phone>", f"P-Asserted-Identity: <tel:{OWN}>"]
        answer = inbound.call(inbound.identity(attest="B"), client=client, headers=asserted)
        assert answer.all("P-Asserted-Identity") == [
            f"<sip:{OWN};verstat={PASSED}-B@192.0.2.9;user=phone>", f"<tel:{OWN};verstat={PASSED}-B>",
            f"<sip:{OWN};verstat={PASSED}-B@{client.here};user=phone>"], answer.raw
        answer = inbound.call(client=client)
        assert verstat_of(answer) == NONE, answer.raw


def test_verstat_on_the_number_of_from_and_without_attestation_headers():
    with Inbound() as inbound, inbound.stirrup.client(IN_FROM) as client:
        answer = inbound.call(inbound.identity(), client=client, headers=[f"P-Asserted-Identity: <tel:{OWN}>"])
        assert answer["P-Asserted-Identity"] == f"<sip:{OWN};verstat={PASSED}@{client.here};user=phone>", answer.raw
        assert not answer.has("Attestation-Info") and not answer.has("Origination-Id")


def test_a_folded_asserted_identity_comes_back_folded():
    with Inbound() as inbound:
        answer = inbound.call(inbound.identity(), headers=[f"P-Asserted-Identity: <tel:{OWN}>,\r\n <tel:{OTHER}>"])
        assert answer.status == 302
        assert f"\r\nP-Asserted-Identity: <tel:{OWN};verstat={PASSED}>,\r\n <tel:{OTHER}>\r\n".encode() in answer.raw, answer.raw


def test_only_an_asserted_number_that_equals_the_verified_one_is_stamped():
    with Inbound() as inbound:
        answer = inbound.call(inbound.identity(), headers=[f'P-Asserted-Identity: "A, B" <tel:{OWN}>, <tel:{OTHER}>'])
        found = answer.all("P-Asserted-Identity")
        assert ", ".join(found) == f'"A, B" <tel:{OWN};verstat={PASSED}>, <tel:{OTHER}>', answer.raw


def test_what_an_untrusted_peer_says_of_verification_is_removed_and_recorded():
    """24229-5; C.3, 14."""
    for claim in (PASSED, "TN-Validation-Passed-A", "TN-Verification-Passed"):
        with Inbound() as inbound:
            answer = inbound.call(headers=[
                f"P-Asserted-Identity: <tel:{OWN};verstat={claim}>, <sip:{OTHER};verstat={claim}@192.0.2.1>",
                "Attestation-Info: A", f"Origination-Id: {uuid.uuid4()}", "P-Attestation-Indicator: A"])
            assert claim not in answer.raw.decode(), answer.raw
            assert answer["P-Asserted-Identity"] == f"<tel:{OWN};verstat={NONE}>, <sip:{OTHER}@192.0.2.1>", answer.raw
            names = ["Attestation-Info", "Origination-Id", "P-Attestation-Indicator"]
            assert not any(answer.has(name) for name in names), answer.raw
            assert sorted(answer.record["removed"]) == [*names, "verstat"], answer.record
            answer = inbound.call(from_=f"<sip:{OWN};verstat={claim}@192.0.2.1;user=phone>")
            assert answer["P-Asserted-Identity"] == f"<sip:{OWN};verstat={NONE}@192.0.2.1;user=phone>", answer.raw
            assert answer.record["removed"] == ["verstat"]


def test_a_verstat_is_removed_wherever_and_however_it_is_written():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        tel, sip_uri = f"<tel:{OWN};verstat={NONE}>", f"<sip:{OWN};verstat={NONE}@192.0.2.1;user=phone>"
        for written, answered in (
                (f"<sip:{OWN}@192.0.2.1;verstat={PASSED};user=phone>", sip_uri),
                (f"<sip:{OWN}@192.0.2.1;user=phone>;verstat={PASSED}", sip_uri),
                (f"<sip:{OWN};VERSTAT={PASSED}@192.0.2.1;user=phone>", sip_uri),
                (f"<sip:{OWN};verstat={PASSED};verstat={PASSED}@192.0.2.1;user=phone>", sip_uri),
                (f"<tel:{OWN};verstat = {PASSED}>", tel),
                (f"<tel:{OWN};verstat>", tel),
                (f"tel:{OWN};verstat={PASSED}", tel),
                (f"sip:{OWN};verstat={PASSED}@192.0.2.1", f"<sip:{OWN};verstat={NONE}@192.0.2.1>"),
                (f"sip:{OWN}@192.0.2.1;verstat={PASSED}", f"<sip:{OWN};verstat={NONE}@192.0.2.1>")):
            answer = inbound.call(client=client, headers=[f"P-Asserted-Identity: {written}"])
            assert answer["P-Asserted-Identity"] == answered, (written, answer.raw)
            assert answer.record["removed"] == ["verstat"], (written, answer.record)


def test_a_verstat_of_the_request_uri_does_not_come_back_in_the_contact():
    number = f"{DEST};rn=+12155550000;npdi"
    with Inbound() as inbound:
        for written, names in (
                (f"sip:{number};verstat={PASSED}@127.0.0.1", ["verstat"]),
                (f"sip:{DEST};VERSTAT={PASSED};rn=+12155550000;npdi@127.0.0.1;user=phone", ["verstat"]),
                (f"sip:{number};%76erst%61t={PASSED}@127.0.0.1", ["verstat"]),
                (f"sip:{number}@127.0.0.1;verstat={PASSED}", ["verstat"]),
                (f"tel:{number};verstat={PASSED}", ["verstat"]),
                (f"sip:{number};verstatus=1@127.0.0.1", [])):
            for source in (PLAIN, CORE, TRUSTED):
                with inbound.stirrup.client(source) as client:
                    answer = inbound.call(client=client, uri=written)
                    kept = number if names else number + ";verstatus=1"
                    assert answer.contact_uri().startswith(f"sip:{kept}@{client.here}"), (written, answer.raw)
                    assert answer.record["removed"] == names, (written, answer.record)


def test_what_is_sent_on_has_no_verstat_but_ours():
    def go_on(mode, next_hop):
        return (f'{{ name = "{mode}"; addresses = [ "127.0.0.{31 + ("forward", "b2bua").index(mode)}" ]; service = "verify"; '
                f'mode = "{mode}"; country_code = "1"; next_hop = "sip:127.0.0.99:{next_hop}"; }},')

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hop:
        hop.bind(("127.0.0.99", 0))
        hop.settimeout(4)
        peers = "".join(go_on(mode, hop.getsockname()[1]) for mode in ("forward", "b2bua"))

        def next_invite(call_id):
            while True:
                lines = hop.recv(65536).decode().split("\r\n")
                if lines[0].startswith("INVITE ") and any(call_id in line for line in lines):
                    return lines

        with Inbound(peers=peers) as inbound:
            inbound.warm()
            long = f'"{"x" * 20000}"'
            anonymous = "<sip:anonymous@anonymous.invalid>"
            for mode, source in (("forward", "127.0.0.31"), ("b2bua", "127.0.0.32")):
                for written, asserted, from_ in (
                        (f"<tel:{OWN};verstat={NONE}>", f"<tel:{OWN};verstat={PASSED}>", anonymous),
                        (f"sip:{OWN};verstat={NONE}@h", f"<sip:{OWN};verstat={PASSED}@h>", anonymous),
                        (f"{long} <sip:{OWN}@h>", f"<tel:{OWN};verstat={PASSED}>", anonymous)):
                    call_id = uuid.uuid4().hex + "@on"
                    with inbound.stirrup.client(source) as client:
                        client.send(client.request(
                            uri=f"sip:{DEST};VerStat={PASSED};npdi@192.0.2.9", call_id=call_id, from_=from_,
                            headers=["Identity: " + inbound.identity(), f"P-Asserted-Identity: {written}"]))
                        lines = next_invite(call_id)
                    assert lines[0].startswith(f"INVITE sip:{DEST};npdi@"), (mode, lines[0])
                    assert f"P-Asserted-Identity: {asserted}" in lines, (mode, written, lines)
                    assert sum("verstat" in line.lower() for line in lines) == 1, (mode, written, lines)


def test_an_asserted_identity_too_long_to_be_repeated_is_not_lost_silently():
    long = f'"{"x" * 40000}"'
    with Inbound() as inbound:
        inbound.warm()
        for source in (PLAIN, TRUSTED, WITH_LEVEL):
            passed = PASSED + ("-A" if source == WITH_LEVEL else "")
            # The number that was judged is asserted by itself, or as From has it.
            answer = inbound.call(inbound.identity(), source=source, from_="<sip:anonymous@anonymous.invalid>",
                                  headers=[f"P-Asserted-Identity: {long} <tel:{OWN}>"])
            assert answer.record["result"] == "passed", answer.record
            assert answer["P-Asserted-Identity"] == f"<tel:{OWN};verstat={passed}>", answer.raw[:2000]
            assert answer.record["removed"] == ["P-Asserted-Identity"], answer.record
            answer = inbound.call(inbound.identity(), source=source, from_=f"<sip:{OWN}@192.0.2.1;user=phone>",
                                  headers=[f"P-Asserted-Identity: {long} <tel:{OWN}>"])
            assert answer["P-Asserted-Identity"] == f"<sip:{OWN};verstat={passed}@192.0.2.1;user=phone>", answer.raw[:2000]
        # What fits stands, and nothing that nobody judged takes the place of what does not.
        answer = inbound.call(inbound.identity(), headers=[f"P-Asserted-Identity: <tel:{OWN}>",
                                                           f"P-Asserted-Identity: {long} <tel:{OTHER}>"])
        assert answer["P-Asserted-Identity"] == f"<tel:{OWN};verstat={PASSED}>", answer.raw[:2000]
        answer = inbound.call(from_="<sip:anonymous@anonymous.invalid>",
                              headers=[f"P-Asserted-Identity: {long} <sip:alice@example.com>"])
        assert not answer.has("P-Asserted-Identity") and answer.record["reason"] == "no_identity", answer.raw[:2000]
        assert answer.record["removed"] == ["P-Asserted-Identity"], answer.record


def test_headers_without_end_are_judged_in_part_and_answered():
    with Inbound() as inbound, inbound.stirrup.client(PLAIN) as client:
        stale = [inbound.identity(iat=now() - 600) for _ in range(60)]
        for values in (stale, [", ".join(stale)]):
            check = inbound.call(*values, client=client)
            assert (check.status, verstat_of(check), check.record["reason"]) == (302, NONE, "stale_iat"), check.raw
            assert len(check.record["identities"]) <= 11
        asserted = [f"P-Asserted-Identity: <tel:{OWN};verstat={PASSED}>"] * 60
        answer = inbound.call(client=client, headers=asserted)
        assert answer.status == 302 and PASSED not in answer.raw.decode(), answer.raw


def test_what_a_trusted_peer_says_stands_where_there_is_nothing_to_judge():
    with Inbound() as inbound:
        asserted = [f"P-Asserted-Identity: <tel:{OWN};verstat={PASSED}>", "Attestation-Info: B"]
        answer = inbound.call(source=TRUSTED, headers=asserted)
        assert answer["P-Asserted-Identity"] == f"<tel:{OWN};verstat={PASSED}>", answer.raw
        assert (answer.record["result"], answer.record["reason"]) == ("no_validation", "no_identity"), answer.record
        assert answer.record["removed"] == []
        answer = inbound.call(inbound.identity(by="beta"), source=TRUSTED, headers=asserted)
        check_failing(answer, "bad_signature", 438, FAILED)
        check_failing(inbound.call(source=TRUSTED), "no_identity", None)


# ---- sipp-scenarios/ ----

SIPP = {"passed": PLAIN, "stale-iat": PLAIN, "untrusted-cert": PLAIN, "bad-signature": PLAIN, "orig-mismatch": REJECTS,
        "no-identity": REQUIRES}


def test_every_sipp_scenario_of_verification_passes():
    folders = {path.parent.name for path in SCENARIOS.glob("verify-*/scenario.xml")}
    assert folders == {"verify-" + kind for kind in SIPP}
    with Inbound() as inbound:
        for kind, source in SIPP.items():
            options = () if kind == "no-identity" else ("-key", "identity", inbound.example(kind))
            try:
                sipp("verify-" + kind, inbound.stirrup.port, calls=2, source=source, options=options).assert_all(2)
            except AssertionError as error:
                raise AssertionError(f"verify-{kind}: {error}") from error


def test_sipp_scenarios_of_verification_fail_where_the_answer_is_another():
    with Inbound() as inbound:
        for folder, sent in (("passed", "stale-iat"), ("stale-iat", "orig-mismatch"), ("untrusted-cert", "bad-signature"),
                             ("bad-signature", "passed")):
            run = sipp("verify-" + folder, inbound.stirrup.port, calls=2, source=PLAIN,
                       options=("-key", "identity", inbound.example(sent)))
            assert (run.successful, run.failed) == (0, 2), f"{folder} with {sent}: {run.successful} successful"


# ---- replay ----


def test_a_token_that_comes_with_another_call_is_recorded():
    with Inbound() as inbound:
        identity = inbound.identity()
        check_passed(inbound.call(identity))
        answer = inbound.call(identity)
        check_passed(answer)
        assert answer.record["reason"] == "replayed", answer.record


def test_a_token_that_comes_with_another_call_is_refused_if_policy_wants_that():
    with Inbound(verification='replay = "fail";') as inbound, inbound.stirrup.client(PLAIN) as client:
        identity = inbound.identity()
        check_passed(inbound.call(identity, client=client, call_id="first@replay"))
        answer = inbound.call(identity, client=client)
        check_failing(answer, "replayed", 438, FAILED)
        answer = inbound.call(identity, source=REJECTS)
        assert answer.status == 438, answer.raw
        assert (answer.record["result"], answer.record["reason"]) == ("rejected", "replayed"), answer.record
        # The same call by another way is no other call.
        assert client.call(call_id="first@replay", headers=["Identity: " + identity])["Attestation-Info"] == "A"
        check_passed(inbound.call(inbound.identity(), client=client))


def steered_to(worker, workers):
    """A Call-ID whose messages that worker serves: FNV-1a of it, modulo the number of workers."""
    while True:
        call_id = uuid.uuid4().hex + "@steered"
        hashed = 2166136261
        for octet in call_id.encode():
            hashed = (hashed ^ octet) * 16777619 & 0xFFFFFFFF
        if hashed % workers == worker:
            return call_id


def test_a_token_that_comes_to_another_worker_is_refused_too():
    with Inbound(workers=2, verification='replay = "fail";') as inbound:
        for first, second in ((0, 1), (1, 0)):
            identity = inbound.identity()
            check_passed(inbound.call(identity, call_id=steered_to(first, 2)))
            for worker in (second, first):
                answer = inbound.call(identity, call_id=steered_to(worker, 2))
                check_failing(answer, "replayed", 438, FAILED)


def test_tokens_that_were_seen_outlive_the_workers():
    with Inbound(workers=2, verification='replay = "fail";') as inbound:
        identity = inbound.identity()
        check_passed(inbound.call(identity, call_id=steered_to(0, 2)))
        for name in ("worker 0", "worker 1"):
            os.kill(inbound.stirrup.child(name), signal.SIGKILL)
            inbound.stirrup.wait_for_log(f"{name} serves again")
        for worker in (0, 1):
            check_failing(inbound.call(identity, call_id=steered_to(worker, 2)), "replayed", 438, FAILED)


# ---- the words ----

# What no caller can bring about: a state that no call leaves.
NOT_REACHED = {"pending"}


def test_each_reason_word_was_seen():
    """The last test of this file: the tests of test_fetch.py and those above have noted what they saw."""
    path = os.environ.get("STIRRUP_REASONS")
    if not path:
        raise Skip("only some of the tests run")
    names = re.findall(r"(?m)^\tVERDICT_(\w+),", (ROOT / "include/stirrup/verdict.h").read_text())
    words = {name.lower() for name in names[names.index("PASSED"):]}
    assert len(words) >= 30, words
    missing = words - set(Path(path).read_text().split()) - NOT_REACHED
    print("reasons that no test reached:", " ".join(sorted(missing)) or "none")
    assert not missing


test_each_reason_word_was_seen.alone = True
