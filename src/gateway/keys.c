/*
 * keys.c: see keys.h.
 */
#include "gateway/keys.h"

#include "core/buf.h"

void
keys_press(struct keys *k, char digit, uint64_t now_us)
{
	if (k->count < KEYS_MAX)
		k->digits[k->count++] = digit;
	k->due_us = digit == '#' || k->count == KEYS_MAX ? now_us : now_us + KEYS_JOIN_US;
}

bool
keys_due(const struct keys *k, uint64_t now_us)
{
	return k->count > 0 && now_us >= k->due_us;
}

void
keys_take(struct keys *k, char *sentence, char *bare)
{
	struct buf list;
	struct buf text;

	buf_init(&list, bare, KEYS_SENTENCE_SIZE);
	for (unsigned i = 0; i < k->count; i++)
	{
		if (i > 0)
			buf_char(&list, ' ');
		buf_char(&list, k->digits[i]);
	}
	buf_init(&text, sentence, KEYS_SENTENCE_SIZE);
	buf_printf(&text, "The caller pressed %s %s.", k->count == 1 ? "key" : "keys", bare);
	k->count = 0;
}
