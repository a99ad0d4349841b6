/*
 * charset.c: see charset.h. The conversions are the C library's (iconv).
 */
#include "core/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

struct output
{
	char *data;
	size_t len;
	size_t max;
};

/* Adds what is whole; false when it is full. */
static bool
put(struct output *out, const char *text, size_t len)
{
	if (len > out->max - out->len)
		return false;
	memcpy(out->data + out->len, text, len);
	out->len += len;
	return true;
}

/* UTF-8 as it should be: foreign bytes and NULs are replaced. */
static void
repair(struct output *out, const char *data, size_t len)
{
	while (len > 0)
	{
		size_t octets = data[0] == '\0' ? 0 : utf8_sequence(data, len);

		if (!(octets > 0 ? put(out, data, octets) : put(out, REPLACEMENT, 3)))
			return;
		data += octets > 0 ? octets : 1;
		len -= octets > 0 ? octets : 1;
	}
}

/* In pieces through a small buffer, so that no charset's expansion must be guessed. */
static void
convert(struct output *out, iconv_t cd, char *data, size_t len)
{
	bool more = true;

	while (more && out->len < out->max)
	{
		char piece[1024];
		char *to = piece;
		size_t room = sizeof(piece);
		size_t before = len;
		size_t done = iconv(cd, &data, &len, &to, &room);

		repair(out, piece, sizeof(piece) - room);
		if (done != (size_t) -1)
			more = false;
		else if (errno != E2BIG)
		{
			if (len == 0 || !put(out, REPLACEMENT, 3))
				return;
			data++;
			len--;
		}
		else if (before == len && room == sizeof(piece))
			return;
	}
}

/* A name goes to the C library, which looks for modules by it: no slashes, nothing strange. */
static bool
name_good(const char *charset)
{
	size_t len = strlen(charset);

	return len <= 40 &&
		   charset[strspn(charset, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								   "0123456789-_.:")] == '\0';
}

char *
charset_to_utf8(const char *charset, const char *data, size_t len, size_t max_out)
{
	size_t most = len > max_out / 3 ? max_out : len * 3 + 16;
	struct output out = {malloc(most + 1), 0, most};
	iconv_t cd;

	if (out.data == NULL)
		return NULL;
	if (charset[0] == '\0' || strcasecmp(charset, "utf-8") == 0 || strcasecmp(charset, "utf8") == 0)
		repair(&out, data, len);
	else
	{
		cd = name_good(charset) ? iconv_open("UTF-8", charset) : (iconv_t) -1;
		if (cd == (iconv_t) -1)
			cd = iconv_open("UTF-8", "ISO-8859-1");
		if (cd == (iconv_t) -1)
			repair(&out, data, len);
		else
		{
			char *copy = malloc(len > 0 ? len : 1);

			if (copy != NULL)
			{
				memcpy(copy, data, len);
				convert(&out, cd, copy, len);
			}
			free(copy);
			iconv_close(cd);
		}
	}
	out.data[out.len] = '\0';
	return out.data;
}
