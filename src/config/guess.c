#include "guess.h"

#include <limits.h>
#include <string.h>

#define WORD_LENGTH_MAX 40

static unsigned least(unsigned one, unsigned other)
{
	return one < other ? one : other;
}

/* Edits that make one word of the other: a letter more, less or changed, or two exchanged. */
static unsigned distance(const char *one, const char *other)
{
	unsigned rows[3][WORD_LENGTH_MAX + 1];
	size_t width = strlen(other);

	if (strlen(one) > WORD_LENGTH_MAX || width > WORD_LENGTH_MAX)
		return UINT_MAX;
	for (unsigned j = 0; j <= width; j++)
		rows[0][j] = j;
	for (unsigned i = 1; one[i - 1] != '\0'; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned j = 1; j <= width; j++) {
			row[j] = least(
				above[j - 1] + (one[i - 1] != other[j - 1]), least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
				row[j] = least(row[j], second[j - 2] + 1);
		}
	}
	return rows[strlen(one) % 3][width];
}

struct guess guess_for(const char *written)
{
	return (struct guess){ written, (unsigned)strlen(written) / 3 + 2, NULL };
}

void guess_try(struct guess *guess, const char *word)
{
	unsigned edits = distance(guess->written, word);

	if (edits < guess->fewest_edits) {
		guess->fewest_edits = edits;
		guess->nearest = word;
	}
}
