/*
 * conversation_rules.h: finds the rule that answers what the caller said.
 */
#ifndef VA_SANDBOX_CONVERSATION_RULES_H
#define VA_SANDBOX_CONVERSATION_RULES_H

#include <stdbool.h>

#include "sandbox/scenario.h"

struct rule_book
{
	const struct scenario *scenario;
	bool *used;
};

bool rule_book_init(struct rule_book *book, const struct scenario *scenario);
void rule_book_free(struct rule_book *book);

/* The first unused rule that fits, else the first used one that fits, else NULL; marks it used.
 * spoken: text is what was recognised; else it is a message such as "the caller pressed 5", whose
 * keys decide. */
const struct scenario_rule *rule_book_find(struct rule_book *book, const char *text, bool spoken);

/* Whether text reads like a note about pressed keys. */
bool rule_is_keys_text(const char *text);

#endif
