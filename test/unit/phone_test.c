/* phone: what is normalised, what is refused, and that a normal form stays as it is. */
#include "core/phone.h"

#include "tap.h"

static void
good(void)
{
	static const char *const cases[][2] = {
		{"+15551230001", "+15551230001"},
		{"+1 (555) 123-0001", "+15551230001"},
		{" +1.555.123.0001 ", "+15551230001"},
		{"0015551230001", "+15551230001"},
		{"00 49 30 / 123456", "+4930123456"},
		{"whatsapp:+15551230001", "+15551230001"},
		{"WhatsApp: +1 555 123 0001", "+15551230001"},
		{"tel:+1-555-123-0001", "+15551230001"},
		{"(+49) 30 123456", "+4930123456"},
		{"+1234567", "+1234567"},
		{"+123456789012345", "+123456789012345"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char out[PHONE_SIZE];
		struct va_error err = {""};
		char *text = tap_exact(cases[i][0], strlen(cases[i][0]) + 1);

		ok(phone_normalize(text, out, &err), "%s %s", cases[i][0], err.text);
		is_str(out, cases[i][1], "normal form");
		free(text);
	}
}

static void
bad(void)
{
	static const char *const cases[] = {
		"",
		" ",
		"+",
		"00",
		"5551230001",
		"0305551234",
		"+123456",
		"+1234567890123456",
		"+0123456789",
		"000123456789",
		"anonymous",
		"client:alice",
		"sip:a@example.com",
		"+1555123x001",
		"+1555+1230001",
		"++15551230001",
		"+49 (0) 30 123456",
		"tel:5551230001",
		"tel:+15551230001;ext=7",
		"whatsapp:",
		"whatsapp:tel:+15551230001",
		"+1555\n1230001",
		"+\xD9\xA1\xD9\xA2\xD9\xA3\xD9\xA4\xD9\xA5\xD9\xA6\xD9\xA7\xD9\xA8",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char out[PHONE_SIZE] = "unset";
		struct va_error err = {""};

		ok(!phone_normalize(cases[i], out, &err), "refused: %s", cases[i]);
		is_str(out, "", "no number: %s", err.text);
		ok(err.text[0] != '\0', "says why");
	}
}

/* Whatever comes out is E.164 and normal; separators do not matter. */
static void
properties(void)
{
	static const char alphabet[] = "0123456789+ -()./x";

	for (int round = 0; round < 20000; round++)
	{
		char text[32];
		char out[PHONE_SIZE];
		char again[PHONE_SIZE];
		size_t len = tap_below(sizeof(text));

		for (size_t i = 0; i < len; i++)
			text[i] = alphabet[tap_below(i == 0 ? 11 : sizeof(alphabet) - 1)];
		text[len] = '\0';
		if (tap_below(2) == 0 && len > 0)
			text[0] = '+';

		char *exact = tap_exact(text, len + 1);

		if (phone_normalize(exact, out, NULL))
		{
			size_t digits = strspn(out + 1, "0123456789");

			check_that(out[0] == '+' && out[1] != '0' && out[1 + digits] == '\0');
			check_that(digits >= 7 && digits <= 15);
			check_that(phone_normalize(out, again, NULL) && strcmp(out, again) == 0);
		}
		free(exact);
	}
	checked("whatever comes out is E.164, and normal");
}

int
main(void)
{
	plan(0);
	good();
	bad();
	properties();
	return done();
}
