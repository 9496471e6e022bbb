/* fuzz.h: what a fuzzer of one of the parsers is made of: a file fuzz-NAME.c with this one function, and a line for it in
 * Makefile.am; its seeds are tests/data/fuzz/NAME/. It calls the server's own functions, and checks what must hold of
 * their results whatever comes in. */
#ifndef STIRRUP_TESTS_FUZZ_H
#define STIRRUP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "stirrup/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As assert(), and never compiled out. */
#define MUST(condition)                                                                             \
	do {                                                                                        \
		if (!(condition)) {                                                                 \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                    \
		}                                                                                   \
	} while (0)

static inline struct span fuzz_span(const uint8_t *data, size_t size)
{
	return (struct span){ (const char *)data, size };
}

/* Borrowed from all, wherever it is. */
#define MUST_LIE_WITHIN(part, all)                                             \
	MUST((part).length == 0 || ((part).at >= (all).at &&                   \
					   (part).at + (part).length <= (all).at + (all).length))

#endif
