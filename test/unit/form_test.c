/* form: decoding as Twilio encodes, refusal of what is ambiguous, and a round trip. */
#include "core/form.h"

#include "core/utf8.h"
#include "tap.h"

/* The body with its one spare byte, in memory of exactly that size. */
static char *
body_of(const char *text, size_t len)
{
	char *body = malloc(len + 1);

	memcpy(body, text, len);
	body[len] = '&'; /* not a NUL: the decoder has to write it */
	return body;
}

static void
good_forms(void)
{
	static const struct
	{
		const char *body;
		const char *wanted; /* name=value; … */
	} cases[] = {
		{"", ""},
		{"a=1", "a=1;"},
		{"a=1&b=2", "a=1;b=2;"},
		{"a", "a=;"},
		{"a=", "a=;"},
		{"=x", "=x;"},
		{"=", "=;"},
		{"a=b=c", "a=b=c;"},
		{"&&a=1&&", "a=1;"},
		{"a=1&a=2&a=1", "a=1;a=2;a=1;"},
		{"From=%2B15551230001&x+y=a+b%20c", "From=+15551230001;x y=a b c;"},
		{"%41%3d=%26%3D", "A==&=;"},
		{"B=+Ol%C3%A1+%26%0A", "B= Ol\xC3\xA1 &\n;"},
		{"e=%F0%9F%98%80", "e=\xF0\x9F\x98\x80;"},
		{"raw=\xC3\xA1", "raw=\xC3\xA1;"},
		{"a;b=1", "a;b=1;"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct form form;
		struct va_error err = {""};
		size_t len = strlen(cases[i].body);
		char *body = body_of(cases[i].body, len);
		char seen[128] = "";
		size_t at = 0;

		ok(form_decode(body, len, &form, &err), "good: %s %s", cases[i].body, err.text);
		for (size_t f = 0; f < form.count; f++)
		{
			check_that(strlen(form.fields[f].name) == form.fields[f].name_len);
			check_that(strlen(form.fields[f].value) == form.fields[f].value_len);
			at += (size_t) snprintf(seen + at, sizeof(seen) - at, "%s=%s;", form.fields[f].name,
									form.fields[f].value);
		}
		is_str(seen, cases[i].wanted, "decoded: %s", cases[i].body);
		free(body);
	}
	checked("lengths fit the texts");
}

static void
bad_forms(void)
{
	static const struct
	{
		const char *body;
		size_t len;
	} cases[] = {
		{"a=%", 3},	  {"a=%1", 4},		   {"a=%1x", 5},	{"a=%x1", 5},  {"%=1", 3},
		{"a=%00", 5}, {"a\0b=1", 5},	   {"%00=1", 5},	{"a=\xC3", 3}, {"a=%C3", 5},
		{"%ff=1", 5}, {"a=%ED%A0%80", 11}, {"a=%4&b=1", 8}, {"a=%4", 4},   {"b=1&a=%", 7},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct form form;
		struct va_error err = {""};
		char *body = body_of(cases[i].body, cases[i].len);

		ok(!form_decode(body, cases[i].len, &form, &err), "bad form %zu", i);
		ok(err.text[0] != '\0', "says why: %s", err.text);
		free(body);
	}
}

static void
many_fields(void)
{
	char text[2 * (FORM_MAX_FIELDS + 1)];
	struct form form;
	char *body;

	for (size_t i = 0; i < FORM_MAX_FIELDS + 1; i++)
		memcpy(text + 2 * i, "a&", 2);
	body = body_of(text, 2 * FORM_MAX_FIELDS);
	ok(form_decode(body, 2 * FORM_MAX_FIELDS, &form, NULL), "the largest number of fields");
	is_int((int64_t) form.count, FORM_MAX_FIELDS, "all there");
	free(body);
	body = body_of(text, sizeof(text));
	ok(!form_decode(body, sizeof(text), &form, NULL), "one more is refused");
	free(body);
}

static void
values(void)
{
	char body[] = "A=1&B=&A=2";
	struct form form;

	form_decode(body, strlen(body), &form, NULL);
	is_str(form_value(&form, "A", "none"), "1", "the first value wins");
	is_str(form_value(&form, "B", "none"), "", "an empty value is a value");
	is_str(form_value(&form, "a", "none"), "none", "names are case-sensitive");
	is_str(form_value(&form, "C", NULL), NULL, "no fallback");
}

/* Random names and values, escaped at random, come back. */
static void
round_trip(void)
{
	for (int round = 0; round < 3000; round++)
	{
		char plain[4][2][16];
		char text[1024];
		size_t len = 0;
		size_t count = tap_below(5);
		struct form form;

		for (size_t f = 0; f < count; f++)
			for (int part = 0; part < 2; part++)
			{
				size_t size = tap_below(12) + (part == 0);
				char *to = plain[f][part];

				for (size_t i = 0; i < size; i++)
				{
					to[i] = (char) (1 + tap_below(0x7E));

					bool safe = (to[i] >= 'a' && to[i] <= 'z') && tap_below(2) == 0;

					len += (size_t) snprintf(text + len, sizeof(text) - len,
											 safe			? "%c"
											 : to[i] == ' ' ? "+"
															: "%%%02x",
											 to[i]);
				}
				to[size] = '\0';
				text[len++] = part == 0 ? '=' : '&';
			}

		char *body = body_of(text, len);

		check_that(form_decode(body, len, &form, NULL) && form.count == count);
		for (size_t f = 0; f < count; f++)
			check_that(strcmp(form.fields[f].name, plain[f][0]) == 0 &&
					   strcmp(form.fields[f].value, plain[f][1]) == 0);
		free(body);
	}
	checked("what was encoded comes back");
}

int
main(void)
{
	plan(0);
	good_forms();
	bad_forms();
	many_fields();
	values();
	round_trip();
	return done();
}
