#include "unquoted.h"

size_t quoted_length(struct span text)
{
	for (size_t i = 1; i < text.length; i++) {
		if (text.at[i] == '"')
			return i + 1;
		if (text.at[i] == '\\')
			i++;
	}
	return text.length;
}

static size_t bracketed_length(struct span text)
{
	const char *end = memchr(text.at, '>', text.length);

	return end == NULL ? text.length : (size_t)(end - text.at) + 1;
}

size_t unquoted_length(struct span text, char stop)
{
	size_t i = 0;

	if (text.length == 0 || memchr(text.at, stop, text.length) == NULL)
		return text.length;
	while (i < text.length && text.at[i] != stop) {
		struct span rest = { text.at + i, text.length - i };

		i += text.at[i] == '"' ? quoted_length(rest) : text.at[i] == '<' ? bracketed_length(rest) : 1;
	}
	return i;
}
