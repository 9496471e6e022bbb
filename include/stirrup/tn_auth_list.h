/* tn_auth_list.h: the TNAuthList extension of a certificate (RFC 8226, section 9), 1.3.6.1.5.5.7.1.26. */
#ifndef STIRRUP_TN_AUTH_LIST_H
#define STIRRUP_TN_AUTH_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/tn.h"

#define TN_AUTH_LIST_OID "1.3.6.1.5.5.7.1.26"

struct tn_auth_list;

/* Strict DER of the extension's value. NULL when it is not well-formed; *why (static) then says what is wrong. */
struct tn_auth_list *tn_auth_list_decode(const unsigned char *der, size_t length, const char **why);
void tn_auth_list_free(struct tn_auth_list *list); /* NULL is fine */

size_t tn_auth_list_spc_count(const struct tn_auth_list *list);
const char *tn_auth_list_spc(const struct tn_auth_list *list, size_t index); /* borrowed */
size_t tn_auth_list_number_count(const struct tn_auth_list *list);           /* single numbers and ranges */
/* The first number of an entry and how many it has: 1 for a single number. Borrowed. */
const char *tn_auth_list_number(const struct tn_auth_list *list, size_t index, uint64_t *count);
bool tn_auth_list_has_spc(const struct tn_auth_list *list, const char *spc);
/* Whether a single number or a range of the list has it. */
bool tn_auth_list_covers(const struct tn_auth_list *list, const struct tn *tn);
/* Whether what an issuer's list has limits a certificate to may be said of inner, the list below it (RFC 9060 section 4.1).
 * Nobody can tell from certificates which numbers belong to a service provider code: an issuer with a code may name
 * any number. */
bool tn_auth_list_encompasses(const struct tn_auth_list *list, const struct tn_auth_list *inner);

#endif
