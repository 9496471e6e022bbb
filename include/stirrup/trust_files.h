/* trust_files.h: the files that the trust entries of a configuration name. What was good once stays until something
 * good replaces it: a file that is being written, cut, or gone takes nobody's trust away. */
#ifndef STIRRUP_TRUST_FILES_H
#define STIRRUP_TRUST_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "stirrup/config.h"
#include "stirrup/trust.h"

struct trust_files;

/* Reads all anchors and revocation lists. What cannot be used becomes an error in the report, or, where that is NULL, in
 * the log; the rest is used. The configuration must outlive it. before is what an older configuration had, or NULL: its
 * good lists of the same paths go on to count. NULL: out of memory. */
struct trust_files *trust_files_load(const struct config *config, const struct trust_files *before, int64_t now,
	struct config_report *report);
void trust_files_free(struct trust_files *files); /* NULL is fine */

/* To judge with. Borrowed until the next refresh. */
const struct trust *trust_files_trust(const struct trust_files *files);

/* Reads the files again when one of them changed. True: there is another trust now, and what was judged by the old one is
 * void. What cannot be used is logged once, not at every refresh. */
bool trust_files_refresh(struct trust_files *files, int64_t now);

/* For "stirrupd -t": reports what cannot be used of these files and of verification.fetch.tls_ca. */
void trust_check_files(const struct config *config, struct config_report *report);

#endif
