/*
 * scrub.c: see scrub.h.
 *
 * Services like to repeat in an error what they were sent. What counts as a secret is known by the
 * name that the request's prepare function gave it.
 */
#include "dispatcher/scrub.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/utf8.h"

#define SHORTEST_SECRET 4 /* shorter ones occur by chance */
#define MAX_DEPTH 8
#define LONGEST_TEXT 65536 /* what is behind it is not looked at and not kept */

static bool
names_secret(const char *name)
{
	static const char *const endings[] = {"token",		"key",		   "secret",	 "password",
										  "credential", "credentials", "private_key"};
	size_t len = strlen(name);

	if (strcasecmp(name, "authorization") == 0)
		return true;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
	{
		size_t end = strlen(endings[i]);

		if (len >= end && strcasecmp(name + len - end, endings[i]) == 0)
			return true;
	}
	return false;
}

static void
replace(char *text, const char *secret)
{
	size_t len = strlen(secret);
	char *at = text;

	if (len < SHORTEST_SECRET)
		return;
	while ((at = strstr(at, secret)) != NULL)
	{
		memcpy(at, "***", 3);
		memmove(at + 3, at + len, strlen(at + len) + 1);
		at += 3;
	}
}

/* inside: what stands in a member with a secret's name is secret altogether. */
static void
replace_all(char *text, struct json_object *value, bool inside, unsigned depth)
{
	if (value == NULL || depth > MAX_DEPTH)
		return;
	if (json_object_is_type(value, json_type_object))
	{
		json_object_object_foreach(value, name, member)
			replace_all(text, member, inside || names_secret(name), depth + 1);
	}
	else if (json_object_is_type(value, json_type_array))
	{
		for (size_t i = 0; i < json_object_array_length(value); i++)
			replace_all(text, json_object_array_get_idx(value, i), inside, depth + 1);
	}
	else if (inside && json_object_is_type(value, json_type_string))
		replace(text, json_object_get_string(value));
}

/* Copies what jsonb and a terminal take. */
static void
copy_clean(char *to, size_t size, const char *text)
{
	size_t len = strlen(text);
	size_t out = 0;

	for (size_t i = 0; i < len && out + 5 < size;)
	{
		size_t n = utf8_sequence(text + i, len - i);

		if (n == 0 || ((unsigned char) text[i] < 0x20 && strchr("\n\r\t", text[i]) == NULL))
		{
			to[out++] = n == 0 ? '?' : ' ';
			i++;
			continue;
		}
		memcpy(to + out, text + i, n);
		out += n;
		i += n;
	}
	to[out] = '\0';
}

void
scrub_text(char *to, size_t size, const char *text, struct json_object *request)
{
	/* Secrets go before the cut, which might leave half of one. */
	char *whole = malloc(LONGEST_TEXT);

	if (whole == NULL)
		abort(); /* out of memory: there is none to tell of it either */
	copy_clean(whole, LONGEST_TEXT, text);
	replace_all(whole, request, false, 0);
	snprintf(to, size, "%s", whole);
	to[utf8_cut(to, strlen(to))] = '\0';
	free(whole);
}
