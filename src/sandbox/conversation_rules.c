/*
 * conversation_rules.c: matches words and keys against the rules of a scenario.
 *
 * How a program words "the caller pressed 5" is its own affair, so only the keys in it count: all
 * of 0-9 * # that the text has.
 */
#include "sandbox/conversation_rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_KEYS 64

bool
rule_book_init(struct rule_book *book, const struct scenario *scenario)
{
	book->scenario = scenario;
	book->used = calloc(scenario->rule_count + 1, sizeof(*book->used));
	return book->used != NULL;
}

void
rule_book_free(struct rule_book *book)
{
	free(book->used);
	book->used = NULL;
}

static void
keys_of(const char *text, char keys[MAX_KEYS])
{
	size_t n = 0;

	for (; *text && n + 1 < MAX_KEYS; text++)
		if (isdigit((unsigned char) *text) || *text == '*' || *text == '#')
			keys[n++] = *text;
	keys[n] = '\0';
}

bool
rule_is_keys_text(const char *text)
{
	char keys[MAX_KEYS];

	keys_of(text, keys);
	if (keys[0] == '\0')
		return false;
	return strcasestr(text, "press") || strcasestr(text, "key") || strcasestr(text, "dtmf") ||
		   strspn(text, "0123456789*# ,") == strlen(text);
}

static bool
fits(const struct scenario_rule *rule, const char *text, bool spoken, const char *keys)
{
	if (rule->keys)
		return !spoken && strcmp(rule->keys, keys) == 0;
	if (spoken)
		return strcasecmp(rule->hears, text) == 0;
	return strcasestr(text, rule->hears) != NULL;
}

const struct scenario_rule *
rule_book_find(struct rule_book *book, const char *text, bool spoken)
{
	const struct scenario *s = book->scenario;
	char keys[MAX_KEYS];
	const struct scenario_rule *again = NULL;

	keys_of(text, keys);
	for (size_t i = 0; i < s->rule_count; i++)
	{
		if (!fits(&s->rules[i], text, spoken, keys))
			continue;
		if (!book->used[i])
		{
			book->used[i] = true;
			return &s->rules[i];
		}
		if (!again)
			again = &s->rules[i];
	}
	return again;
}
