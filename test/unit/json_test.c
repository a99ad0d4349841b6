/* json: what RFC 8259 allows and we allow, what is refused, and that printing and parsing agree. */
#include "core/json.h"

#include "tap.h"

static struct json_object *
parse(const char *text, size_t len, struct va_error *err)
{
	char *exact = tap_exact(text, len);
	struct json_object *value = json_parse(exact, len, err);

	free(exact);
	return value;
}

static void
accepted(void)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"0",
		"-0",
		"1.5",
		"-1e5",
		"1E+2",
		"1e-999",
		"true",
		"false",
		"\"\"",
		" {} ",
		"\t\r\n[ ]\n",
		"{\"a\":null}",
		"{\"a\":1,\"b\":[1,2,{\"c\":\"d\"}]}",
		"\"\\u0041\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"\\ud83d\\ude00\"",
		"\"\xF0\x9F\x98\x80\"",
		"9223372036854775807",
		"-9223372036854775808",
		"{\"\":1}",
		"{\"a\":1,\"a\":2}",
		"12345678901234567890.0",
		"\"\x7F\"",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct va_error err = {""};
		struct json_object *value = parse(cases[i], strlen(cases[i]), &err);

		ok(value != NULL, "accepted: %s %s", cases[i], err.text);
		json_object_put(value);
	}
}

static void
refused(void)
{
	static const char *const cases[] = {
		"",
		" ",
		"{",
		"}",
		"[",
		"[1",
		"[1,",
		"[1,]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"{\"a\" 1}",
		"[1 2]",
		"{1:2}",
		"nul",
		"null",
		"nulll",
		"True",
		"TRUE",
		"tru",
		"NaN",
		"nan",
		"Infinity",
		"-Infinity",
		"inf",
		"[NaN]",
		"[Infinity]",
		"[-Infinity]",
		"01",
		"-",
		"-a",
		"+1",
		".5",
		"1.",
		"1.e5",
		"1e",
		"1e+",
		"0x10",
		"1_000",
		"--1",
		"[00]",
		"1e999",
		"[-1e400]",
		"{\"a\":{\"b\":[1e309]}}",
		"9223372036854775808",
		"-9223372036854775809",
		"99999999999999999999999",
		"[18446744073709551616]",
		"\"",
		"\"a",
		"\"\\\"",
		"\"\\x41\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"\"\\u0000\"",
		"{\"a\\u0000b\":1}",
		"\"\\ud83d\"",
		"\"\\ude00\"",
		"\"\\ud83d\\u0041\"",
		"\"\\ud83dx\"",
		"\"\\ud83d\\ud83d\"",
		"\"a\nb\"",
		"\"a\tb\"",
		"\"\x01\"",
		"\"\xC3\"",
		"\"\xFF\"",
		"\"\xED\xA0\x80\"",
		"{\"\xC3\":1}",
		"'a'",
		"{} {}",
		"{}x",
		"1 2",
		"[]]",
		"42abc",
		"// c\n1",
		"/* c */ 1",
		"[1 /* c */]",
		"{}\f",
		"\xEF\xBB\xBF{}",
		"\xA0{}",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct va_error err = {""};
		struct json_object *value = parse(cases[i], strlen(cases[i]), &err);

		ok(value == NULL, "refused: %s", cases[i]);
		ok(err.text[0] != '\0', "says why: %s", err.text);
		json_object_put(value);
	}
	ok(parse("{}\0", 3, NULL) == NULL, "refused: NUL behind the value");
	ok(parse("\"a\0b\"", 5, NULL) == NULL, "refused: NUL in a string");
	ok(parse("\0", 1, NULL) == NULL, "refused: only a NUL");
	ok(json_check("null", 4, NULL), "json_check takes a bare null");
}

static void
depth(void)
{
	for (int deep = JSON_MAX_DEPTH - 1; deep <= JSON_MAX_DEPTH + 1; deep++)
		for (int kind = 0; kind < 2; kind++)
		{
			char text[8 * (JSON_MAX_DEPTH + 2)] = "";
			size_t len = 0;

			for (int i = 0; i < deep; i++)
				len += (size_t) snprintf(text + len, sizeof(text) - len, "%s",
										 kind == 0		? "["
										 : i + 1 < deep ? "{\"a\":"
														: "{\"a\":1");
			for (int i = 0; i < deep; i++)
				text[len++] = kind == 0 ? ']' : '}';

			struct json_object *value = parse(text, len, NULL);

			is_int(value != NULL, deep <= JSON_MAX_DEPTH, "%d %s deep", deep,
				   kind == 0 ? "arrays" : "objects");
			json_object_put(value);
		}
}

static void
members(void)
{
	static const char text[] =
		"{\"s\":\"x\",\"i\":7,\"d\":1.5,\"t\":true,\"n\":null,\"a\":[],\"o\":{},\"neg\":-3}";
	struct json_object *o = parse(text, strlen(text), NULL);
	int64_t i = 99;
	double d = 99;

	is_str(json_text(o, "s", "f"), "x", "a string");
	is_str(json_text(o, "i", "f"), "f", "a number is no string");
	is_str(json_text(o, "n", "f"), "f", "null is no string");
	is_str(json_text(o, "absent", NULL), NULL, "absent");
	is_str(json_text(NULL, "s", "f"), "f", "no object");
	is_str(json_text(json_member(o, "a"), "s", "f"), "f", "an array is no object");
	ok(!json_integer(o, "s", &i) && i == 99, "a string is no integer");
	ok(!json_integer(o, "d", &i) && i == 99, "a fraction is no integer");
	ok(!json_integer(o, "t", &i) && i == 99, "true is no integer");
	ok(json_integer(o, "neg", &i) && i == -3, "an integer");
	ok(json_number(o, "d", &d) && d > 1.4 && d < 1.6, "a number");
	ok(json_number(o, "i", &d) && d > 6.9 && d < 7.1, "an integer is a number");
	ok(!json_number(o, "s", &d), "a string is no number");
	ok(json_flag(o, "t", false), "true");
	ok(json_flag(o, "n", true) && json_flag(o, "i", true), "the fallback of a flag");
	ok(json_member(o, "n") == NULL, "null is absent");
	json_object_put(o);
}

/* A random value, printed with random space; depth bounds it. */
static void
print_random(char *out, size_t size, size_t *len, int depth)
{
	static const char *const scalars[] = {"1",
										  "-20",
										  "0.5",
										  "1e3",
										  "true",
										  "false",
										  "null",
										  "\"\"",
										  "\"a b\"",
										  "\"\\n\\u00e1\"",
										  "\"\xC3\xA1/\\/\""};
	size_t kind = tap_below(depth > 0 ? 3 : 1);
	size_t count = tap_below(4);

	if (*len + 64 > size)
		kind = 0;
	if (kind == 0)
	{
		*len += (size_t) snprintf(out + *len, size - *len, "%s", scalars[tap_below(11)]);
		return;
	}
	out[(*len)++] = kind == 1 ? '[' : '{';
	for (size_t i = 0; i < count && *len + 128 < size; i++)
	{
		if (i > 0)
			out[(*len)++] = ',';
		if (tap_below(3) == 0)
			out[(*len)++] = " \t\n\r"[tap_below(4)];
		if (kind == 2)
			*len += (size_t) snprintf(out + *len, size - *len, "\"k%zu\":", i);
		print_random(out, size, len, depth - 1);
	}
	out[(*len)++] = kind == 1 ? ']' : '}';
}

static void
properties(void)
{
	for (int round = 0; round < 4000; round++)
	{
		char text[1024];
		size_t len = 0;

		text[len++] = '[';
		print_random(text, sizeof(text) - 2, &len, 4);
		text[len++] = ']';

		struct json_object *value = parse(text, len, NULL);

		if (!check_that(value != NULL))
			continue;

		const char *printed = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
		struct json_object *again = parse(printed, strlen(printed), NULL);

		check_that(json_object_equal(value, again) == 1);
		json_object_put(again);
		json_object_put(value);

		/* Every beginning of a text in brackets is incomplete. */
		size_t cut = tap_below(len);

		check_that(parse(text, cut, NULL) == NULL);
		/* One changed byte: any answer, but what json_check takes json-c takes too. */
		text[tap_below(len)] = (char) tap_random();

		char *exact = tap_exact(text, len);
		bool good = json_check(exact, len, NULL);

		value = json_parse(exact, len, NULL);
		check_that(value == NULL || good);
		check_that(value != NULL || !good || memchr(text, 'e', len) != NULL);
		json_object_put(value);
		free(exact);
	}
	checked("random values, their beginnings, and changed bytes");
}

int
main(void)
{
	plan(0);
	accepted();
	refused();
	depth();
	members();
	properties();
	return done();
}
