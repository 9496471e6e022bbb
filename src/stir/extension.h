/* extension.h: certificate extensions that OpenSSL does not know, by their object identifiers. */
#ifndef STIRRUP_STIR_EXTENSION_H
#define STIRRUP_STIR_EXTENSION_H

#include <stddef.h>

#include <openssl/x509.h>

#define CLAIM_CONSTRAINTS_OID "1.3.6.1.5.5.7.1.27"          /* RFC 8226 section 8 */
#define ENHANCED_CLAIM_CONSTRAINTS_OID "1.3.6.1.5.5.7.1.33" /* RFC 9118 section 3 */
#define TN_LIST_ACCESS_OID "1.3.6.1.5.5.7.48.14"            /* id-ad-stirTNList, RFC 8226 section 10.1 */

/* How often the certificate has it; *value is the first one's, borrowed, or NULL. */
size_t extension_find(const X509 *certificate, const char *oid, const ASN1_OCTET_STRING **value);

#endif
