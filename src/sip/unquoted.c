#include "unquoted.h"

size_t quoted_length(struct span text)
{
	for (size_t i = 1; i < text.length; i++) {
		if (text.at[i] == '"')
			return i + 1;
		if (text.at[i] == '\\')
			i++;
	}
	return 0;
}

size_t bracketed_length(struct span text)
{
	const char *end = memchr(text.at, '>', text.length);

	return end == NULL ? 0 : (size_t)(end - text.at) + 1;
}

size_t unquoted_length(struct span text, char stop)
{
	size_t i = 0;

	if (text.length == 0 || memchr(text.at, stop, text.length) == NULL)
		return text.length;
	while (i < text.length && text.at[i] != stop) {
		struct span rest = { text.at + i, text.length - i };
		size_t length = 1;

		if (text.at[i] == '"')
			length = quoted_length(rest);
		else if (text.at[i] == '<')
			length = bracketed_length(rest);
		if (length == 0)
			return text.length;
		i += length;
	}
	return i;
}
