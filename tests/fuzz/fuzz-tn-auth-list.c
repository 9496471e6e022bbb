#include "fuzz.h"

#include <string.h>

#include "stirrup/tn_auth_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	struct tn_auth_list *list = tn_auth_list_decode(data, size, &why);
	const struct tn tn = { "12155551212" };

	MUST((list == NULL) == (why != NULL));
	if (list == NULL)
		return 0;
	for (size_t i = 0; i < tn_auth_list_spc_count(list); i++)
		MUST(tn_auth_list_has_spc(list, tn_auth_list_spc(list, i)));
	for (size_t i = 0; i < tn_auth_list_number_count(list); i++) {
		uint64_t count;
		const char *start = tn_auth_list_number(list, i, &count);

		MUST(strlen(start) >= 1 && strlen(start) <= 15 && count >= 1);
	}
	tn_auth_list_covers(list, &tn);
	MUST(tn_auth_list_encompasses(list, list));
	tn_auth_list_free(list);
	return 0;
}
