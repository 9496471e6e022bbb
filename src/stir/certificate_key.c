#include "stirrup/certificate_key.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/objects.h>

#include "reason.h"

/* The algorithm, and with it the curve, as written in the certificate. */
bool certificate_key_is_sound(X509 *certificate, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };
	X509_ALGOR *algorithm;
	int type;

	if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1)
		return refuse(&reason, "its public key cannot be read");
	X509_ALGOR_get0(NULL, &type, NULL, algorithm);
	if (OBJ_obj2nid(algorithm->algorithm) == NID_X9_62_id_ecPublicKey && type != V_ASN1_OBJECT)
		return refuse(&reason, "its key spells out the parameters of a curve; want a named curve "
				       "(RFC 5480 section 2.1.1)");
	if (X509_get0_pubkey(certificate) == NULL)
		return refuse(&reason, "its public key cannot be read");
	return true;
}

bool certificate_key_is_p256(X509 *certificate, char *why, size_t why_size)
{
	struct reason reason = { why, why_size };
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	char group[40] = "?";

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
		return refuse(&reason, "the end entity's key is %s; want EC on the curve P-256",
			OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
	if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 ||
		strcmp(group, SN_X9_62_prime256v1) != 0)
		return refuse(&reason, "the end entity's key is on the curve %s; want P-256", group);
	return true;
}
