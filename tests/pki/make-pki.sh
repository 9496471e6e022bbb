#!/bin/sh
# Makes a throw-away SHAKEN PKI: an STI-CA root, an intermediate, and a credential to sign calls with.
#
#   make-pki.sh [--name NAME] [--spc SPC] [--days N | --not-before TIME --not-after TIME] DIR
#
# writes DIR/root.pem, DIR/intermediate.pem, DIR/NAME.pem (end entity, then intermediate), DIR/NAME.key (mode 0600)
# and DIR/NAME.pub. A second call with another NAME adds a credential under the same root. TIME is YYYYMMDDHHMMSSZ.
# Nobody trusts this root; never use the keys for real calls.
set -eu
umask 077

name=alpha
spc=1234
days=30
not_before=
not_after=

usage()
{
	sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

while [ $# -gt 1 ]; do
	case $1 in
	--name) name=$2 ;;
	--spc) spc=$2 ;;
	--days) days=$2 ;;
	--not-before) not_before=$2 ;;
	--not-after) not_after=$2 ;;
	*) usage ;;
	esac
	shift 2
done
if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
	usage
fi
dir=$1

# An hour ago, so that a clock that is a little behind does not refuse the certificate.
[ -n "$not_before" ] || not_before=$(date -u -d '1 hour ago' +%Y%m%d%H%M%SZ)
[ -n "$not_after" ] || not_after=$(date -u -d "$days days" +%Y%m%d%H%M%SZ)

mkdir -p "$dir/ca"
cd "$dir"

# What openssl prints is of interest only when it fails.
quietly()
{
	"$@" >ca/log 2>&1 || {
		cat ca/log >&2
		exit 1
	}
}

new_key()
{
	quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve -out "$1"
}

# issue ISSUER SUBJECT-KEY SUBJECT EXTENSIONS NOT-BEFORE NOT-AFTER OUT; ISSUER "self" is the root.
issue()
{
	quietly openssl req -new -config ca/conf -key "$2" -subj "$3" -out ca/request
	if [ "$1" = self ]; then
		set -- "$@" -selfsign -keyfile "$2"
	else
		set -- "$@" -cert "$1.pem" -keyfile "ca/$1.key"
	fi
	out=$7 extensions=$4 from=$5 to=$6
	shift 7
	quietly openssl ca -config ca/conf -batch -notext -md sha256 -in ca/request -out "$out" \
		-extensions "$extensions" -startdate "$from" -enddate "$to" "$@"
}

cat >ca/conf <<END
[ca]
default_ca = stica
[stica]
database = ca/index
new_certs_dir = ca
rand_serial = yes
policy = any
unique_subject = no
[any]
countryName = optional
organizationName = optional
commonName = supplied
[req]
distinguished_name = empty
[empty]
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical,CA:true,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
# The certificate profile of ATIS-1000080, with its policy; TNAuthList by RFC 8226 section 9.
[shaken]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
certificatePolicies = 2.16.840.1.114569.1.1.3
1.3.6.1.5.5.7.1.26 = ASN1:SEQUENCE:tn_auth_list
[tn_auth_list]
spc = EXPLICIT:0,IA5STRING:$spc
END

if [ ! -e root.pem ]; then
	: >ca/index
	new_key ca/root.key
	issue self ca/root.key "/C=US/O=Stirrup test/CN=STI-CA root" root 20200101000000Z 20491231235959Z root.pem
	new_key ca/intermediate.key
	issue root ca/intermediate.key "/C=US/O=Stirrup test/CN=STI-CA intermediate" intermediate \
		20200101000000Z 20491231235959Z intermediate.pem
fi

new_key "$name.key"
issue intermediate "$name.key" "/C=US/O=Stirrup test/CN=SHAKEN $spc" shaken "$not_before" "$not_after" ca/leaf.pem
cat ca/leaf.pem intermediate.pem >"$name.pem"
quietly openssl pkey -in "$name.key" -pubout -out "$name.pub"
chmod 644 root.pem intermediate.pem "$name.pem" "$name.pub"
