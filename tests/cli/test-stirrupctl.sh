#!/bin/sh
# test-stirrupctl.sh [STIRRUPCTL]: what the tool prints and which exit code it gives. Needs neither network nor root.

ctl=${1:-./stirrupctl}
directory=$(mktemp -d) || exit 2
trap 'rm -rf "$directory"' EXIT
passed=0
failed=0

# The example in RFC 8946, section 5 (a base PASSporT), and its div PASSporT of section 3.
signature=1bEzkzcNbKvgz4QoMx0_DJ2T8qFMDC1sPqHPXl1WvbauzRJRvYlZqQ0qgGTlS8tJ_wXjVe07Z3wvDrdApHhhYw
base=eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly93d3cuZXhhbXBsZS5jb20vY2VydC5jZXIifQ
base=$base.eyJkZXN0Ijp7InRuIjpbIjEyMTU1NTUxMjEzIl19LCJpYXQiOjE0NDMyMDgzNDUsIm9yaWciOnsidG4iOiIxMjE1NTU1MTIxMiJ9fQ
base=$base.$signature
div=eyJhbGciOiJFUzI1NiIsInBwdCI6ImRpdiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly93d3cuZXhhbXBsZS5jb20vY2VydC5jZXIifQ
div=$div.eyJkZXN0Ijp7InRuIjpbIjEyMTU1NTUxMjE0Il19LCJkaXYiOnsidG4iOiIxMjE1NTU1NTEyMTMifSwiaWF0IjoxNDQzMjA4MzQ1LCJv
div=${div}cmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0
div=$div.xBHWipDEEJ8a6TsdX6xUXAnblsFiGUiAxwLiv0HLC9IICj6eG9jQd6WzeSSjHRBwxmChHhVIiMTSqIlk3yCNkg
parameters=';info=<https://www.example.com/cert.cer>;ppt="div"'

# RFC 4648 section 5, without padding, of standard input.
base64url()
{
	base64 -w 0 | tr '+/' '-_' | tr -d '='
}

ok()
{
	passed=$((passed + 1))
}

not_ok()
{
	failed=$((failed + 1))
	echo "FAILED: $1"
	sed 's/^/    /' "$directory/out" "$directory/err"
}

# check BEHAVIOUR CODE [ARGUMENT]...: standard input to the tool; its output stays for the checks that follow.
check()
{
	behaviour=$1
	wanted=$2
	shift 2
	"$ctl" "$@" >"$directory/out" 2>"$directory/err"
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
	if grep -qxF -e "$1" "$directory/out"; then ok; else not_ok "$behaviour: no line \"$1\""; fi
}

prints_not()
{
	if grep -qF -e "$1" "$directory/out"; then not_ok "$behaviour: has \"$1\""; else ok; fi
}

complains()
{
	if grep -qF -e "$1" "$directory/err"; then ok; else not_ok "$behaviour: no complaint \"$1\""; fi
}

check "help" 0 --help </dev/null
prints "  decode   [--json] [FILE]     show what an Identity header, a token or a SIP message carries"
prints "  version  [--json]            show the version of the tool and of its libraries"
check "help of a verb" 0 decode --help </dev/null
prints "usage: stirrupctl VERB [ARGUMENTS]"
check "no verb" 2 </dev/null
complains "usage:"
check "unknown verb" 2 frobnicate </dev/null
complains 'no verb "frobnicate"'
check "unknown option" 2 decode --frobnicate </dev/null
complains "usage:"
check "two files" 2 decode a b </dev/null
complains "usage:"
check "version with an argument" 2 version now </dev/null
check "version" 0 version </dev/null
if grep -q '^stirrupctl [0-9]' "$directory/out" && grep -q '^OpenSSL [0-9]' "$directory/out"; then
	ok
else
	not_ok "version"
fi

printf 'Identity: %s%s\r\n' "$div" "$parameters" >"$directory/line"
check "a header line in a file" 0 decode "$directory/line" </dev/null
cat >"$directory/wanted" <<'END'
parameters
  info      https://www.example.com/cert.cer
  ppt       div
header
  alg       ES256
  ppt       div
  typ       passport
  x5u       https://www.example.com/cert.cer
claims
  dest      {"tn":["12155551214"]}
  div       {"tn":"121555551213"}
  iat       1443208345 (2015-09-25T19:12:25Z)
  orig      {"tn":"12155551212"}
signature
  64 octets
END
if cmp -s "$directory/out" "$directory/wanted"; then ok; else not_ok "the whole layout"; fi
check "a header line on standard input" 0 decode <"$directory/line"
if cmp -s "$directory/out" "$directory/wanted"; then ok; else not_ok "standard input as from a file"; fi
check "a dash for standard input" 0 decode - <"$directory/line"
if cmp -s "$directory/out" "$directory/wanted"; then ok; else not_ok "a dash as from a file"; fi

printf 'y:%s\r\n ;info=<https://www.example.com/cert.cer>\r\n\t;ppt=div\r\n' "$div" >"$directory/folded"
check "the compact name, folded" 0 decode "$directory/folded"
if cmp -s "$directory/out" "$directory/wanted"; then ok; else not_ok "a folded line as from one"; fi
echo "$div$parameters" >"$directory/value"
check "a value without its name" 0 decode "$directory/value"
if cmp -s "$directory/out" "$directory/wanted"; then ok; else not_ok "a value as from a line"; fi
echo "$base" >"$directory/token"
check "a bare token" 0 decode "$directory/token"
prints '  dest      {"tn":["12155551213"]}'
prints_not "parameters"
prints_not "malformed"

cat >"$directory/message" <<END
INVITE sip:+12155551213@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1
Identity : $base;info=<https://www.example.com/cert.cer>, $div$parameters
X-Identity: nothing
IDENTITY: $base;info=<https://www.example.com/third.cer>
Content-Length: 100

y: $base
Identity: in the body
END
check "a message with three in two lines" 0 decode "$directory/message"
prints "  info      https://www.example.com/third.cer"
prints '  div       {"tn":"121555551213"}'
prints_not "malformed"
if [ "$(grep -c '^header$' "$directory/out")" -eq 3 ]; then ok; else not_ok "three Identity header fields"; fi
printf '\r\n\r\nSIP/2.0 200 OK\r\nVia: x\r\n\r\n y: body\r\n' >"$directory/none"
check "a message without any" 1 decode "$directory/none"
complains "no Identity header field"
check "nothing" 1 decode </dev/null
complains "no Identity header field"

echo "Identity: $base" >"$directory/bare"
check "a header field without parameters" 1 decode "$directory/bare"
prints "  Identity header field: not token;info=<URI>;alg=ES256;ppt=type (RFC 8224 section 4)"
prints '  orig      {"tn":"12155551212"}'
echo "Identity: $base;info=<u>;ppt=\"" >"$directory/quote"
check "an open quote" 1 decode "$directory/quote"
prints '  orig      {"tn":"12155551212"}'
echo "Identity:" >"$directory/empty"
check "an empty header field" 1 decode "$directory/empty"
prints "malformed"
echo "..$signature;info=<https://www.example.com/cert.cer>" >"$directory/compact"
check "the compact form" 1 decode "$directory/compact"
prints "  header and payload: compact form, which lacks them (RFC 8225 section 7)"
prints "  64 octets"
echo "${base%??????}" >"$directory/short"
check "a short signature" 1 decode "$directory/short"
prints "  60 octets"
prints "  signature: not the 64 octets of ES256 (RFC 7518 section 3.4)"
echo "hello" >"$directory/word"
check "a word" 1 decode "$directory/word"
prints "  token: not header.payload.signature"

header=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url)
payload=$(printf '{"iat":"1443208345","sub":"\\u001b[2J\\u009b\302\233"}' | base64url)
echo "$header.$payload.$signature" >"$directory/jwt"
check "another JWT, with escape codes" 1 decode "$directory/jwt"
prints "  alg       HS256"
prints '  iat       "1443208345"'
prints '  sub       \x1b[2J\xc2\x9b\xc2\x9b'
prints "  x5u: missing in the header (RFC 8225 section 4)"
payload=$(printf 'not JSON\033[2J' | base64url)
echo "$header.$payload.$signature" >"$directory/text"
check "no JSON" 1 decode "$directory/text"
prints '  text      not JSON\x1b[2J'

check "JSON" 0 decode --json "$directory/message"
prints '  "identities": ['
prints '        "info": "https://www.example.com/third.cer",'
prints '      "date": "2015-09-25T19:12:25Z",'
prints '      "signature_octets": 64,'
prints '      "malformed": []'
check "JSON of what is malformed" 1 decode --json "$directory/bare"
prints '      "parameters": null,'
prints '        "Identity header field: not token;info=<URI>;alg=ES256;ppt=type (RFC 8224 section 4)"'
check "JSON of nothing" 1 decode --json "$directory/none"
prints '  "identities": []'

check "a file that is not there" 2 decode "$directory/absent" </dev/null
complains "absent: No such file"
check "a directory" 2 decode "$directory" </dev/null
complains "Is a directory"
head -c 262145 /dev/zero >"$directory/large"
check "a file too long" 2 decode "$directory/large"
complains "too long"
if [ -w /dev/full ]; then
	"$ctl" decode "$directory/line" >/dev/full 2>"$directory/err"
	if [ $? -eq 2 ]; then ok; else not_ok "a full device for output"; fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
