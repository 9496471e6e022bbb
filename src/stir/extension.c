#include "extension.h"

#include <openssl/objects.h>

size_t extension_find(const X509 *certificate, const char *oid, const ASN1_OCTET_STRING **value)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	size_t count = 0;

	*value = NULL;
	for (int at = -1; object != NULL && (at = X509_get_ext_by_OBJ(certificate, object, at)) >= 0; count++)
		if (count == 0)
			*value = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
	ASN1_OBJECT_free(object);
	return count;
}
