/* output.h: the layout of what people read: titles, and rows with a label below them. */
#ifndef STIRRUP_CTL_OUTPUT_H
#define STIRRUP_CTL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stirrup/span.h"

#define OUTPUT_DATE_SIZE 32

/* What came from elsewhere, with everything escaped that could move a terminal's cursor. Returns the width.
 */
int output_escaped(const char *text, size_t length);

void output_label(const char *label);
void output_row(const char *label, struct span value);
void output_format(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* RFC 3339, in UTC. False where no date can be made of it. */
bool output_date(char out[OUTPUT_DATE_SIZE], int64_t seconds);

/* " (full)" for "A" and so on; empty for what is no level. Static. */
const char *output_attestation(const char *attest);

#endif
