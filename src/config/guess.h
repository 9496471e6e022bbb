/* guess.h: which known word somebody may have meant. */
#ifndef STIRRUP_CONFIG_GUESS_H
#define STIRRUP_CONFIG_GUESS_H

struct guess {
	const char *written;
	unsigned fewest_edits;
	const char *nearest;    /* NULL: nothing is like it */
};

struct guess guess_for(const char *written);

/* A word that it could be. Words of more than 40 letters are not compared. The word must outlive the guess. */
void guess_try(struct guess *guess, const char *word);

#endif
