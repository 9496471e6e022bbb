/* quantity.h: durations and sizes as configuration files write them. */
#ifndef STIRRUP_CONFIG_QUANTITY_H
#define STIRRUP_CONFIG_QUANTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "250ms" "60s" "5m" "24h" "1d", in milliseconds. False when it is not one, or too long for an int64_t. */
bool duration_from_text(int64_t *milliseconds, const char *text);

/* "512" "64K" "16M" "1G", in bytes. */
bool size_from_text(int64_t *bytes, const char *text);

/* The other way, in the largest unit that leaves no rest. */
#define QUANTITY_SIZE 32
const char *duration_text(char out[QUANTITY_SIZE], int64_t milliseconds);
const char *size_text(char out[QUANTITY_SIZE], int64_t bytes);

#endif
