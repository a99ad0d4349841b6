/*
 * faults.c: reads fault specifications and remembers how often each has struck.
 */
#include "sandbox/faults.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SPEC 512

struct entry
{
	struct entry *next;
	char spec[MAX_SPEC];
	struct faults faults;
};

struct fault_book
{
	struct entry *entries;
};

static const struct
{
	const char *name;
	size_t offset;
	bool flag;
} members[] = {
	{"create_429", offsetof(struct faults, create_429), false},
	{"retry_after", offsetof(struct faults, retry_after), false},
	{"create_500", offsetof(struct faults, create_500), false},
	{"slow_create_ms", offsetof(struct faults, slow_create_ms), false},
	{"drop_after_ms", offsetof(struct faults, drop_after_ms), false},
	{"drops", offsetof(struct faults, drops), false},
	{"never_ready", offsetof(struct faults, never_ready), true},
	{"garbage", offsetof(struct faults, garbage), true},
	{"silence", offsetof(struct faults, silence), true},
};

struct fault_book *
fault_book_new(void)
{
	return calloc(1, sizeof(struct fault_book));
}

void
fault_book_free(struct fault_book *book)
{
	while (book && book->entries)
	{
		struct entry *e = book->entries;

		book->entries = e->next;
		free(e);
	}
	free(book);
}

/* One "name" or "name=number"; "id=anything" only tells one specification from another. */
static bool
read_one(struct faults *f, const char *item, size_t len)
{
	const char *equals = memchr(item, '=', len);
	size_t name_len = equals ? (size_t) (equals - item) : len;

	if (name_len == 2 && memcmp(item, "id", 2) == 0)
		return true;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		char *at = (char *) f + members[i].offset;
		char *end = NULL;
		unsigned long v;

		if (strlen(members[i].name) != name_len || memcmp(item, members[i].name, name_len) != 0)
			continue;
		v = equals ? strtoul(equals + 1, &end, 10) : 1;
		if (equals && (end != item + len || v > 3600000))
			return false;
		if (members[i].flag)
			*(bool *) at = v != 0;
		else
			*(unsigned *) at = (unsigned) v;
		return true;
	}
	return false;
}

struct faults *
fault_book_get(struct fault_book *book, const char *spec, char *error, size_t size)
{
	struct entry *e;

	for (e = book->entries; e; e = e->next)
		if (strcmp(e->spec, spec) == 0)
			return &e->faults;
	if (strlen(spec) >= MAX_SPEC || !(e = calloc(1, sizeof(*e))))
	{
		snprintf(error, size, "the fault specification is too long");
		return NULL;
	}
	snprintf(e->spec, sizeof(e->spec), "%s", spec);
	e->faults.drops = 1;
	e->faults.retry_after = 1;
	for (const char *at = spec; *at;)
	{
		size_t len = strcspn(at, ",");

		if (len && !read_one(&e->faults, at, len))
		{
			snprintf(error, size, "unknown or wrong fault \"%.*s\"", (int) len, at);
			free(e);
			return NULL;
		}
		at += len + (at[len] == ',');
	}
	e->next = book->entries;
	book->entries = e;
	return &e->faults;
}
