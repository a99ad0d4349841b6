/* buf: never past the end, nothing after the first overflow, JSON strings always valid. */
#include "core/buf.h"

#include "core/json.h"
#include "core/utf8.h"
#include "tap.h"

static void
basics(void)
{
	char data[16];
	struct buf b;

	buf_init(&b, data, sizeof(data));
	is_str(data, "", "empty at first");
	buf_str(&b, "abc");
	buf_char(&b, 'd');
	buf_printf(&b, "%d", 42);
	buf_add(&b, "xyz", 2);
	is_str(data, "abcd42xy", "what was written");
	is_int((int64_t) b.len, 8, "length");
	buf_str(&b, "1234567");
	ok(!b.overflow, "filled to the last byte but the NUL");
	is_int((int64_t) b.len, 15, "full");
	buf_add(&b, "", 0);
	ok(!b.overflow, "nothing always fits");
	buf_char(&b, 'z');
	ok(b.overflow, "one more does not fit");
	is_str(data, "abcd42xy1234567", "and is not written");
}

static void
overflow_is_final(void)
{
	char data[8];
	struct buf b;

	buf_init(&b, data, sizeof(data));
	buf_str(&b, "abc");
	buf_str(&b, "defgh");
	ok(b.overflow, "eight characters need nine bytes");
	buf_char(&b, 'x');
	buf_printf(&b, "%s", "y");
	is_str(data, "abc", "nothing is written after an overflow");

	buf_init(&b, data, sizeof(data));
	buf_str(&b, "abc");
	buf_printf(&b, "%05d", 7);
	ok(b.overflow, "printf overflows too");
	is_str(data, "abc", "and leaves no part of it");

	buf_init(&b, data, 1);
	ok(!b.overflow, "one byte is enough for nothing");
	buf_char(&b, 'x');
	ok(b.overflow, "but for nothing else");
}

static void
json_strings(void)
{
	static const struct
	{
		const char *text;
		size_t len;
		const char *wanted;
	} cases[] = {
		{"", 0, "\"\""},
		{"plain", 5, "\"plain\""},
		{"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
		{"\n\r\t\x01\x1f", 5, "\"\\n\\r\\t\\u0001\\u001f\""},
		{"\x7f", 1, "\"\x7f\""},
		{"Ol\xC3\xA1 \xF0\x9F\x98\x80", 9, "\"Ol\xC3\xA1 \xF0\x9F\x98\x80\""},
		{"a\0b", 3,
		 "\"a\xEF\xBF\xBD"
		 "b\""},
		{"\xC3", 1, "\"\xEF\xBF\xBD\""},
		{"\xC3(", 2, "\"\xEF\xBF\xBD(\""},
		{"\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char data[64];
		struct buf b;
		char *text = tap_exact(cases[i].text, cases[i].len);

		buf_init(&b, data, sizeof(data));
		buf_json_string(&b, text, cases[i].len);
		is_str(data, cases[i].wanted, "JSON string %zu", i);
		free(text);
	}
}

static void
any_bytes_become_json(void)
{
	for (int round = 0; round < 5000; round++)
	{
		size_t len = tap_below(24);
		size_t size = 1 + tap_below(100);
		char bytes[24];
		struct buf b;
		char *data = tap_exact("", 0);

		data = realloc(data, size);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char) (tap_below(3) == 0 ? tap_random() : 0x20 + tap_below(0x60));

		char *text = tap_exact(bytes, len);

		buf_init(&b, data, size);
		buf_json_string(&b, text, len);
		check_that(b.len < size && data[b.len] == '\0');
		if (!b.overflow)
		{
			struct json_object *value = json_parse(data, b.len, NULL);

			check_that(value != NULL);
			if (utf8_valid(text, len) && memchr(text, '\0', len) == NULL)
				check_that(json_object_get_string_len(value) == (int) len &&
						   memcmp(json_object_get_string(value), text, len) == 0);
			json_object_put(value);
		}
		free(data);
		free(text);
	}
	checked("any bytes become one JSON string, unchanged where they are UTF-8");
}

int
main(void)
{
	plan(0);
	basics();
	overflow_is_final();
	json_strings();
	any_bytes_become_json();
	return done();
}
