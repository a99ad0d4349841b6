/*
 * keys.h: pressed keys become one sentence for the engine.
 *
 * Engines take text, not tones, and a person who types a number presses several keys in a row. Keys
 * that follow each other within 1.5 s are joined; '#' ends a number by custom and is not waited
 * after.
 */
#ifndef VA_GATEWAY_KEYS_H
#define VA_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX 32
#define KEYS_JOIN_US 1500000
#define KEYS_SENTENCE_SIZE (2 * KEYS_MAX + 32)

struct keys
{
	char digits[KEYS_MAX];
	unsigned count;
	uint64_t due_us; /* when the waiting keys go out */
};

void keys_press(struct keys *k, char digit, uint64_t now_us);
bool keys_due(const struct keys *k, uint64_t now_us);
/* Writes the sentence ("The caller pressed key 5.") and the bare keys ("1 2 3 #"), each NUL-terminated
 * within KEYS_SENTENCE_SIZE, and forgets the keys. */
void keys_take(struct keys *k, char *sentence, char *bare);

#endif
