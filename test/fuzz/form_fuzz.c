/* form: fields lie within the body, end in NUL, are UTF-8; encoded again they decode the same. */
#include "core/form.h"

#include "core/utf8.h"
#include "fuzz.h"

static void
encode(const char *text, size_t len, char *out, size_t *at)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		out[(*at)++] = '%';
		out[(*at)++] = digits[c >> 4];
		out[(*at)++] = digits[c & 15];
	}
}

static void
check_same(const struct form *a, const struct form *b)
{
	must(a->count == b->count);
	for (size_t i = 0; i < a->count; i++)
	{
		must(strcmp(a->fields[i].name, b->fields[i].name) == 0);
		must(strcmp(a->fields[i].value, b->fields[i].value) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct va_error err = {""};
	struct form form;
	char *body = fuzz_text(data, size);

	body[size] = '&';
	if (!form_decode(body, size, &form, &err))
		must(err.text[0] != '\0');
	else
	{
		char *again = malloc(size * 3 + 2 * FORM_MAX_FIELDS + 1);
		size_t len = 0;
		struct form second;

		for (size_t i = 0; i < form.count; i++)
		{
			const struct form_field *f = &form.fields[i];

			must(f->name >= body && f->name + f->name_len <= body + size);
			must(f->value >= body && f->value + f->value_len <= body + size);
			must(strlen(f->name) == f->name_len && strlen(f->value) == f->value_len);
			must(utf8_valid(f->name, f->name_len) && utf8_valid(f->value, f->value_len));
			encode(f->name, f->name_len, again, &len);
			again[len++] = '=';
			encode(f->value, f->value_len, again, &len);
			again[len++] = '&';
		}
		must(form_decode(again, len, &second, NULL));
		check_same(&form, &second);
		free(again);
	}
	free(body);
	return 0;
}
