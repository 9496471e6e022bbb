/* utf8.h: UTF-8 (RFC 3629), told from what only looks like it. */
#ifndef STIRRUP_UTF8_H
#define STIRRUP_UTF8_H

#include <stddef.h>

/* The length of the sequence of several octets at p, of which there are left; 0 when there is none: ASCII, overlong forms,
 * surrogates, what lies above U+10FFFF, a sequence cut short. */
size_t utf8_length(const unsigned char *p, size_t left);

#endif
