/*
 * nearest.c: "did you mean …": the word of a list that is most like one that is not in it.
 *
 * The server has this for columns and settings of its own, but not where SQL could call it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "worker/compat.h"

/* More than this nobody mistypes, and the server's function refuses words of more than 255. */
#define LONGEST_WORD 100

PG_FUNCTION_INFO_V1(va_nearest);

/*
 * Edits that make one word of the other. A letter left out or added too much counts less than a wrong
 * one, so that "max_calls" is nearer to "max_concurrent_calls" than to a short word.
 */
static int
distance(text *a, text *b)
{
	int a_len = VARSIZE_ANY_EXHDR(a);
	int b_len = VARSIZE_ANY_EXHDR(b);

	if (b_len == 0 || b_len > LONGEST_WORD)
		return -1;
	return varstr_levenshtein(VARDATA_ANY(a), a_len, VARDATA_ANY(b), b_len, 1, 1, 2, true);
}

/*
 * va_nearest(word text, words text[]): the most similar of the words; of equals the first. NULL when more
 * than half of both would have to change.
 */
Datum
va_nearest(PG_FUNCTION_ARGS)
{
	text *word = PG_GETARG_TEXT_PP(0);
	int len = VARSIZE_ANY_EXHDR(word);
	text *best = NULL;
	int least = 0;
	Datum *words;
	bool *nulls;
	int n;

	if (len == 0 || len > LONGEST_WORD)
		PG_RETURN_NULL();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &words, &nulls,
					  &n);
	for (int i = 0; i < n; i++)
	{
		text *candidate = nulls[i] ? NULL : DatumGetTextPP(words[i]);
		int d = candidate ? distance(word, candidate) : -1;

		if (d >= 0 && 2 * d <= len + (int) VARSIZE_ANY_EXHDR(candidate) &&
			(best == NULL || d < least))
		{
			best = candidate;
			least = d;
		}
	}
	if (best == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(best);
}
