/* syntax.h: a text is looked at before libconfig gets it.
 *
 * libconfig 1.5 calls every mistake "syntax error", lets integers wrap silently, ends a string at \x00, follows
 * @include, and loses a string's memory when a mistake comes right behind it. So its grammar is checked here first,
 * with hints, and it sees only what it will accept. */
#ifndef STIRRUP_CONFIG_SYNTAX_H
#define STIRRUP_CONFIG_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#include "stirrup/config.h"

/* Reports the first mistake and returns false; what follows a mistake would be guesswork. Changes the text in place:
 * @include lines, which are reported, become blank, and integers beyond what libconfig can hold become the largest
 * that it can, which is out of every setting's range. */
bool syntax_check(char *text, size_t length, const char *file, struct config_report *report);

#endif
