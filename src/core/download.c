/*
 * download.c: see download.h.
 */
#include "core/download.h"

#include <string.h>
#include <strings.h>

/* The digits at *at; a number that is too large counts as the largest. False when there are none. */
static bool
take_number(const char **at, uint64_t *number)
{
	const char *start = *at;

	*number = 0;
	for (; **at >= '0' && **at <= '9'; (*at)++)
	{
		unsigned digit = (unsigned) (**at - '0');

		*number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
	}
	return *at > start;
}

enum download_range
download_range(const char *range, uint64_t size, uint64_t *from, uint64_t *count)
{
	static const char unit[] = "bytes=";
	uint64_t first, last = UINT64_MAX;
	const char *at = range + sizeof(unit) - 1;
	bool has_first, has_last;

	*from = 0;
	*count = size;
	if (strncasecmp(range, unit, sizeof(unit) - 1) != 0)
		return DOWNLOAD_WHOLE;
	has_first = take_number(&at, &first);
	if (*at++ != '-')
		return DOWNLOAD_WHOLE;
	has_last = take_number(&at, &last);
	if (*at != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
		return DOWNLOAD_WHOLE;
	if (!has_first) /* the last so many bytes */
	{
		if (last == 0 || size == 0)
			return DOWNLOAD_BEYOND;
		first = last < size ? size - last : 0;
		last = size - 1;
	}
	else if (first >= size)
		return DOWNLOAD_BEYOND;
	else if (!has_last || last >= size)
		last = size - 1;
	*from = first;
	*count = last - first + 1;
	return DOWNLOAD_PART;
}

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		   (c != '\0' && strchr("!#$&+-.^_`|~", c) != NULL);
}

void
download_disposition(struct buf *out, const char *name)
{
	static const char hex[] = "0123456789ABCDEF";

	buf_str(out, "attachment; filename=\"");
	for (const char *c = name; *c != '\0'; c++)
	{
		/* For programs that know the old form alone: one mark for each character they could not read. */
		if (is_plain(*c) || *c == ' ')
			buf_char(out, *c);
		else if (((unsigned char) *c & 0xC0) != 0x80)
			buf_char(out, '_');
	}
	buf_str(out, "\"; filename*=UTF-8''");
	for (const char *c = name; *c != '\0'; c++)
	{
		unsigned char byte = (unsigned char) *c;

		if (is_plain(*c))
			buf_char(out, *c);
		else
		{
			buf_char(out, '%');
			buf_char(out, hex[byte >> 4]);
			buf_char(out, hex[byte & 15]);
		}
	}
}
