/* error: cut to fit, on a character's edge, and NULL is no error. */
#include "core/error.h"

#include "core/utf8.h"
#include "tap.h"

int
main(void)
{
	struct va_error err;
	char text[400];

	plan(0);
	ok(!va_fail(&err, "%s is %d", "it", 3), "always false");
	is_str(err.text, "it is 3", "the message");
	ok(!va_fail(NULL, "nobody listens %d", 1), "without a place for the message");

	/* Two-byte characters behind 0 or 1 ASCII characters: one of the cuts falls inside one. */
	for (size_t lead = 0; lead < 4; lead++)
	{
		memset(text, 'x', lead);
		for (size_t i = lead; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xF0\x9F\x98\x80", 5);
		va_fail(&err, "%s", text);
		ok(utf8_valid(err.text, strlen(err.text)), "cut between characters, lead %zu", lead);
		ok(strlen(err.text) >= VA_ERROR_SIZE - 4, "and not shorter than needed");
		ok(strncmp(err.text, text, strlen(err.text)) == 0, "the beginning of the message");
	}
	return done();
}
