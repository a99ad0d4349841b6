/* json: what is taken is UTF-8, prints, and parses again as the same; buf makes strings of it. */
#include "core/json.h"

#include "core/buf.h"
#include "core/utf8.h"
#include "fuzz.h"

static void
check_string(const uint8_t *data, size_t size)
{
	size_t room = size * 6 + 3;
	char *memory = malloc(room);
	struct buf b;
	struct json_object *value;

	buf_init(&b, memory, room);
	buf_json_string(&b, (const char *) data, size);
	must(!b.overflow);
	value = json_parse(b.data, b.len, NULL);
	must(json_object_is_type(value, json_type_string));
	if (utf8_valid((const char *) data, size) && memchr(data, 0, size) == NULL)
		must((size_t) json_object_get_string_len(value) == size &&
			 memcmp(json_object_get_string(value), data, size) == 0);
	json_object_put(value);
	free(memory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct va_error err = {""};
	bool good = json_check((const char *) data, size, NULL);
	struct json_object *value = json_parse((const char *) data, size, &err);

	must(value == NULL || good);
	must(value != NULL || err.text[0] != '\0');
	must(utf8_valid(err.text, strlen(err.text)));
	/* json-c may refuse nothing that we take, but for a bare null and numbers without end. */
	if (good && value == NULL)
	{
		char *text = fuzz_text(data, size);

		must(strstr(text, "null") != NULL || strpbrk(text, "eE") != NULL || size > 300);
		free(text);
	}
	if (value != NULL)
	{
		const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
		struct json_object *again = json_parse(text, strlen(text), NULL);

		must(utf8_valid((const char *) data, size));
		must(json_object_equal(value, again) == 1);
		json_object_put(again);
		json_object_put(value);
	}
	if (size > 0)
		check_string(data, size);
	return 0;
}
