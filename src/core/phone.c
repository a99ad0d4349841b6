/*
 * phone.c: telephone numbers in E.164.
 *
 * A wrong guess calls a stranger, so nothing is guessed: what is not an international number, or
 * could be read in two ways, is refused with the reason.
 */
#include "core/phone.h"

#include <string.h>
#include <strings.h>

enum
{
	MIN_DIGITS = 7,
	MAX_DIGITS = 15
};

/* Separators that people write between the digits. */
static bool
is_separator(char c)
{
	return c != '\0' && strchr(" .-/()\t", c) != NULL;
}

static const char *
skip_separators(const char *text)
{
	while (is_separator(*text))
		text++;
	return text;
}

/* Behind "whatsapp:" or "tel:", if one of them is there. */
static const char *
skip_prefix(const char *text)
{
	static const char *const prefixes[] = {"whatsapp:", "tel:"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncasecmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			return text + strlen(prefixes[i]);
	return text;
}

/* Collects the digits of text into out; false for anything else in it, or too many. */
static bool
collect_digits(const char *text, char *out, size_t *count, struct va_error *err)
{
	*count = 0;
	for (; *text != '\0'; text++)
	{
		/* "+49 (0) 30 ...": the zero is dialled inside the country only; it is meant to be left
		 * out, but not by everybody who writes it. */
		if (strncmp(text, "(0)", 3) == 0)
			return va_fail(err, "phone number contains (0)");
		if (is_separator(*text))
			continue;
		if (*text < '0' || *text > '9')
			return va_fail(err, "not a phone number");
		if (*count == MAX_DIGITS)
			return va_fail(err, "phone number has more than %d digits", MAX_DIGITS);
		out[(*count)++] = *text;
	}
	out[*count] = '\0';
	return true;
}

bool
phone_normalize(const char *text, char out[PHONE_SIZE], struct va_error *err)
{
	char digits[MAX_DIGITS + 1];
	size_t count;

	out[0] = '\0';
	text = skip_separators(skip_prefix(skip_separators(text)));
	if (*text == '\0')
		return va_fail(err, "phone number is empty");
	if (*text == '+')
		text++;
	else if (strncmp(text, "00", 2) == 0)
		text += 2;
	else if (*text >= '0' && *text <= '9')
		return va_fail(err, "phone number lacks its country code (+...)");
	else
		return va_fail(err, "not a phone number");

	if (!collect_digits(text, digits, &count, err))
		return false;
	if (count < MIN_DIGITS)
		return va_fail(err, "phone number has fewer than %d digits", MIN_DIGITS);
	if (digits[0] == '0')
		return va_fail(err, "no country code begins with 0");
	out[0] = '+';
	memcpy(out + 1, digits, count + 1);
	return true;
}
