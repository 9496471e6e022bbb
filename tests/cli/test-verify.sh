#!/bin/sh
# test-verify.sh [STIRRUPCTL]: what "stirrupctl verify" says of calls that are good, forged, late or incomplete. Makes its
# own PKI and signs its own tokens; needs neither network nor root, and no clock: all is judged at one moment of 2026.

ctl=${1:-./stirrupctl}
case $ctl in
/*) ;;
*) ctl=$PWD/$ctl ;;
esac
tests=$(cd "$(dirname "$0")/.." && pwd)
directory=$(mktemp -d) || exit 2
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 2
passed=0
failed=0

now=2026-06-01T12:00:00Z
iat=1780315200
x5u=https://certs.example.net/alpha.pem

ok()
{
	passed=$((passed + 1))
}

not_ok()
{
	failed=$((failed + 1))
	echo "FAILED: $1"
	sed 's/^/    /' out err
}

# check BEHAVIOUR CODE [ARGUMENT]...: the verb, at the moment now unless the arguments say another one.
check()
{
	behaviour=$1
	wanted=$2
	shift 2
	"$ctl" verify --config stirrup.conf --time "$now" "$@" >out 2>err
	code=$?
	if [ "$code" -eq "$wanted" ]; then
		ok
	else
		not_ok "$behaviour: exit code $code, not $wanted"
	fi
}

# Whether a whole line of the output is this.
prints()
{
	if grep -qxF -e "$1" out; then ok; else not_ok "$behaviour: no line \"$1\""; fi
}

prints_not()
{
	if grep -qF -e "$1" out; then not_ok "$behaviour: has \"$1\""; else ok; fi
}

complains()
{
	if grep -qF -e "$1" err; then ok; else not_ok "$behaviour: no complaint \"$1\""; fi
}

# --- Tokens ---

base64url()
{
	base64 -w 0 | tr '+/' '-_' | tr -d '='
}

# The two INTEGERs of an ECDSA signature in DER as the 64 octets of RFC 7518 section 3.4.
raw_signature()
{
	openssl asn1parse -inform DER | sed -n 's/.*INTEGER *://p' | while read -r number; do
		while [ ${#number} -lt 64 ]; do
			number=0$number
		done
		while [ -n "$number" ]; do
			rest=${number#??}
			# shellcheck disable=SC2059
			printf "\\$(printf %03o "0x${number%"$rest"}")"
			number=$rest
		done
	done
}

# token CLAIMS [KEY]: a "shaken" PASSporT.
token()
{
	header=$(printf '{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"%s"}' "$x5u" | base64url)
	input=$header.$(printf '%s' "$1" | base64url)
	signature=$(printf '%s' "$input" | openssl dgst -sha256 -sign "${2:-pki/alpha.key}" | raw_signature | base64url)
	printf '%s.%s' "$input" "$signature"
}

# claims ORIG DEST IAT [ATTEST]
claims()
{
	printf '{"attest":"%s","dest":{"tn":["%s"]},"iat":%s,"orig":{"tn":"%s"},"origid":"%s"}' "${4:-A}" "$2" "$3" "$1" \
		9f1d3a52-7c1b-4f0e-8a3d-2b6c5d4e3f21
}

# message IDENTITY-LINE...
message()
{
	cat <<END
INVITE sip:+12155551213@example.net SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1
f: "A" <sip:+12155550199@example.net>;tag=1
To: <sip:+12155551213@example.net>
P-Asserted-Identity: <tel:+12155551212>
Date: Mon, 01 Jun 2026 12:00:00 GMT
END
	for line in "$@"; do
		echo "$line"
	done
	printf 'Content-Length: 0\n\nIdentity: of the body\n'
}

# identity TOKEN: as a header line.
identity()
{
	printf 'Identity: %s;info=<%s>;alg=ES256;ppt=shaken' "$1" "$x5u"
}

for name in pki other; do
	"$tests/pki/make-pki.sh" --name alpha --not-before 20260101000000Z --not-after 20261231235959Z $name || exit 2
done
cat >stirrup.conf <<'END'
sip: { listen = [ "udp:127.0.0.1:5060" ]; };
peers = (
	{ name = "switch"; addresses = [ "192.0.2.1" ]; unknown_customer = "unsigned"; },
	{ name = "inbound"; addresses = [ "192.0.2.2" ]; service = "verify";
	  treatment = (
		{ reason = "bad_signature"; action = "reject"; status = 438; phrase = "Forged"; },
		{ result = "passed"; attestation = "C"; spc = "1234"; x5u_host = "*.example.net"; action = "continue";
		  header = "X-Trust: low"; next_hop = "sip:198.51.100.9:5060"; }
	  ); },
	{ name = "strict"; addresses = [ "192.0.2.3" ]; service = "verify"; identity_from = "from"; country_code = "1";
	  on_failure = "reject"; identity_required = true; verstat = "with-attestation"; },
	{ name = "watched"; addresses = [ "192.0.2.4" ]; service = "verify"; on_failure = "reject"; shadow = true; }
);
trust = ( { name = "test"; anchors = "pki/root.pem"; } );
END

good=$(token "$(claims 12155551212 12155551213 $iat)")
message "$(identity "$good")" >good.sip

# --- A good call ---

check "a good call" 0 --certificate pki/alpha.pem good.sip
cat >wanted <<'END'
call
  peer      inbound
  time      2026-06-01T12:00:00Z
  orig      12155551212
  dest      12155551213
certificate
  subject   /C=US/O=Stirrup test/CN=SHAKEN 1234
  spc       1234
END
head -n 8 out >first
if cmp -s first wanted; then ok; else not_ok "the first lines"; fi
prints "  profile   rules of ATIS-1000080 broken: 1"
prints "  passed    no CRL configured; trusted by /C=US/O=Stirrup test/CN=STI-CA root"
cat >wanted <<'END'
identity 1
  orig      12155551212
  dest      12155551213
  iat       1780315200 (2026-06-01T12:00:00Z), 0 s old
  attest    A (full)
  x5u       https://certs.example.net/alpha.pem
  passed    all checks
conclusion
  result    passed
  reason    passed
  verstat   TN-Validation-Passed
  rule      verified
  answer    302 with verstat
END
sed -n '/^identity/,$p' out >rest
if cmp -s rest wanted; then ok; else not_ok "identity and conclusion"; fi
check "standard input" 0 --certificate pki/alpha.pem <good.sip
prints "  passed    all checks"
sed 's/$/\r/' good.sip >crlf.sip
check "lines that end with CR LF" 0 --certificate pki/alpha.pem crlf.sip
prints "  passed    all checks"
check "verstat with attestation" 0 --peer strict --orig +12155551212 --certificate pki/alpha.pem good.sip
prints "  verstat   TN-Validation-Passed-A"

identity "$good" | sed 's/^Identity: //' >value
check "an Identity value" 0 --orig '+1 (215) 555-1212' --dest +12155551213 --certificate pki/alpha.pem value
prints "  passed    all checks"
identity "$good" >line
check "an Identity line" 0 --orig sip:+12155551212@example.net --dest tel:+12155551213 --certificate pki/alpha.pem line
prints "  passed    all checks"
check "numbers by the peer's dial plan" 0 --peer strict --orig 2155551212 --dest 2155551213 --certificate pki/alpha.pem value
prints "  orig      12155551212"
check "nobody who calls" 2 --dest +12155551213 value
complains "neither From nor P-Asserted-Identity in it: say who calls with --orig"
check "nobody who is called" 2 --orig +12155551212 value
complains "no To in it: say who is called with --dest"
check "a number that is none" 2 --orig 2155551212 --dest +12155551213 value
complains '--orig 2155551212: no telephone number to peer "inbound"; begin it with "+" and the country code'
check "a number that ends the URI" 2 --orig '+12155551212>,<tel:+12155551299' --dest +12155551213 value
complains "no telephone number"

# --- What differs from the call ---

check "another caller" 1 --orig +12155551299 --certificate pki/alpha.pem good.sip
prints "  failed    orig_mismatch: orig 12155551212, the caller is 12155551299"
prints '  Reason    STIR;cause=438;text="Invalid Identity Header"'
prints "  result    no_validation"
prints "  verstat   No-TN-Validation"
prints "  rule      on_failure = continue"
check "the peer's identity_from, and what it rejects" 1 --peer strict --certificate pki/alpha.pem good.sip
prints "  failed    orig_mismatch: orig 12155551212, the caller is 12155550199"
prints "  rule      on_failure = reject"
prints "  answer    438 Invalid Identity Header"
check "another callee" 1 --dest +12155551299 --certificate pki/alpha.pem good.sip
prints "  failed    dest_mismatch: dest 12155551213, To is 12155551299"
check "a late call" 1 --time 2026-06-01T12:01:01Z --certificate pki/alpha.pem good.sip
prints "  iat       1780315200 (2026-06-01T12:00:00Z), 61 s old"
prints "  failed    stale_iat: iat is 61 s old, 60 s are allowed"
prints "  Date      stale, or no date; iat decides"
check "a shadowed peer" 1 --peer watched --time 2026-06-01T12:01:01Z good.sip
prints "  answer    403 Stale Date"
prints "  shadow    all this is only recorded: the call goes on as it came"
check "an emergency call" 1 --peer strict --dest 911 good.sip
prints "  dest      911"
prints "  rule      emergency call, not refused"
prints "  answer    302 with verstat"

# --- The moment ---

check "seconds" 0 --time 1780315259 --certificate pki/alpha.pem good.sip
prints "  iat       1780315200 (2026-06-01T12:00:00Z), 59 s old"
check "another time zone, with a fraction" 0 --time 2026-06-01T14:29:59.5+02:30 --certificate pki/alpha.pem good.sip
prints "  iat       1780315200 (2026-06-01T12:00:00Z), 1 s ahead"
for time in yesterday 2026-02-31T12:00:00Z 2026-06-01T12:00:00 2026-06-01T24:00:00Z "2026-06-01T12:00:00Z " -1 99999999999999; do
	check "no time: $time" 2 "--time=$time" good.sip
	complains "--time $time: neither a date such as 2026-11-24T12:00:00Z nor seconds since 1970"
done

# --- Certificate and signature ---

check "no certificate" 1 good.sip
prints "  failed    certificate_unreachable: not fetched, which is the daemon's work: give it with --certificate; all checks before it passed"
prints_not "subject"
message "$(identity "$(token "$(claims 12155551212 12155551213 $iat)" other/alpha.key)")" >forged.sip
check "a forged call" 1 --certificate pki/alpha.pem forged.sip
prints "  failed    bad_signature: the signature does not verify with the certificate's key"
prints "  result    failed"
prints "  verstat   TN-Validation-Failed"
prints "  rule      treatment of line 6"
prints "  answer    438 Forged"
check "the certificate of a stranger" 1 --certificate other/alpha.pem forged.sip
prints "  reason    certificate_untrusted"
prints "  verstat   TN-Validation-Failed"
prints_not "passed"
late=$(date -u -d 2027-01-01T00:00:30Z +%s)
message "$(identity "$(token "$(claims 12155551212 12155551213 "$late")")")" >late.sip
check "a certificate that has expired" 1 --time "$late" --certificate pki/alpha.pem late.sip
prints "  reason    certificate_outside_validity"
echo '<html>Not found</html>' >page
check "a web page" 1 --certificate page good.sip
prints "  failed    certificate_malformed: is a web page; want certificates in PEM"
message "$(identity "$(token "$(claims 12155551212 12155551213 $iat C)")")" >gateway.sip
check "a treatment of good calls" 0 --certificate pki/alpha.pem gateway.sip
prints "  attest    C (gateway)"
prints "  rule      treatment of line 7"
prints "  header    X-Trust: low"
prints "  next hop  sip:198.51.100.9:5060"

# --- What is received ---

message "Identity: $good;info=<$x5u>;ppt=div" "y: $good;info=<$x5u>;alg=ES256;ppt=shaken" >two.sip
check "two, of which one is of another type" 0 --certificate pki/alpha.pem two.sip
prints "  ignored   unsupported_ppt: ppt div"
prints "identity 2"
message >none.sip
check "no Identity" 1 --certificate pki/alpha.pem none.sip
prints "  reason    no_identity"
prints "  rule      identity_required = false"
check "no Identity where there has to be one" 1 --peer strict none.sip
prints "  answer    428 Use Identity Header"
message "Identity: $good" >malformed.sip
check "a malformed Identity" 1 --certificate pki/alpha.pem malformed.sip
prints "  failed    malformed_identity: not token;info=<URI>;alg=ES256;ppt=type"
message "$(identity "$(token "$(claims '\u001b[2J' 12155551213 $iat)")")" >escape.sip
check "escape codes" 1 --certificate pki/alpha.pem escape.sip
prints '  orig      \x1b[2J'
check "nothing" 1 --orig +12155551212 --dest +12155551213 </dev/null
complains "no Identity header field and no SIP message in it"

# --- JSON ---

check "JSON" 0 --json --certificate pki/alpha.pem good.sip
prints '  "peer": "inbound",'
prints '  "time": "2026-06-01T12:00:00Z",'
prints '      "verdict": "passed",'
prints '      "attest": "A",'
prints '  "result": "passed",'
prints '  "verstat": "TN-Validation-Passed",'
prints '    "status": 302,'
check "JSON of a forged call" 1 --json --certificate pki/alpha.pem forged.sip
prints '      "detail": "the signature does not verify with the certificate'"'"'s key",'
prints '    "rule": "treatment of line 6",'
prints '    "phrase": "Forged",'
message | sed "s/^To:.*/To: <urn:service:sos.$(printf '\377')>/" >octets.sip
check "JSON of what is no UTF-8" 1 --json octets.sip
prints '  "dest": "urn:service:sos.?",'
check "JSON of no Identity and no certificate" 1 --json none.sip
prints '  "certificate": null,'
prints '  "identities": [],'

# --- Usage and environment ---

check "help" 0 --help
prints "  verify   [OPTION]... [FILE]  judge the Identity header fields of a call as the server would"
check "an unknown option" 2 --frobnicate good.sip
complains "usage:"
check "two files" 2 good.sip good.sip
check "a peer that is not there" 2 --peer nobody good.sip
complains 'stirrup.conf: no peer "nobody"'
check "a peer that signs" 2 --peer switch good.sip
complains 'stirrup.conf: peer "switch" does not have service = "verify"'
check "no configuration" 2 --config absent.conf good.sip
complains "absent.conf"
echo 'peers = 1;' >bad.conf
check "a bad configuration" 2 --config bad.conf good.sip
complains "bad.conf:1: peers"
sed 's/pki\/root.pem/absent.pem/' stirrup.conf >anchors.conf
check "no anchors" 2 --config anchors.conf --certificate pki/alpha.pem good.sip
complains "absent.pem: No such file"
check "no file with the certificate" 2 --certificate absent.pem good.sip
complains "absent.pem: No such file"
check "no file with the call" 2 absent.sip
complains "absent.sip: No such file"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
