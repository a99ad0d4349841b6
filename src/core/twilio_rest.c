/*
 * twilio_rest.c: see twilio_rest.h.
 *
 * A path is made of SIDs and names that came out of the database; all the same it is held to a
 * small alphabet here, because the account's password travels with the request and must reach
 * nothing but this account.
 */
#include "core/twilio_rest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

#define VERSION "/2010-04-01/Accounts/"

static bool
is_account(const char *text)
{
	return strlen(text) == 34 && strncmp(text, "AC", 2) == 0 &&
		   strspn(text + 2, "0123456789abcdefABCDEF") == 32;
}

/* Letters, digits and what paths and encoded queries are made of; no way up. */
static bool
is_path(const char *text)
{
	if (text[0] == '\0' || text[0] == '/' || strstr(text, "..") != NULL)
		return false;
	for (const char *p = text; *p != '\0'; p++)
		if (!isalnum((unsigned char) *p) && strchr("/._-~?&=%+", *p) == NULL)
			return false;
	return true;
}

static bool
put_base(struct buf *out, const char *base, struct va_error *err)
{
	size_t len = strlen(base);

	while (len > 0 && base[len - 1] == '/')
		len--;
	if (strncmp(base, "https://", 8) != 0 && strncmp(base, "http://", 7) != 0)
		return va_fail(err, "the base URL does not start with https://");
	buf_add(out, base, len);
	return true;
}

bool
twilio_rest_url(struct buf *out, const char *base, const char *account, const char *path,
				struct va_error *err)
{
	if (!is_account(account))
		return va_fail(err, "the account SID is not AC and 32 hexadecimal digits");
	if (!is_path(path))
		return va_fail(err, "the path of the request is malformed");
	if (!put_base(out, base, err))
		return false;
	buf_str(out, VERSION);
	buf_str(out, account);
	buf_char(out, '/');
	buf_str(out, path);
	return out->overflow ? va_fail(err, "the URL is too long") : true;
}

bool
twilio_rest_next_url(struct buf *out, const char *base, const char *account, const char *uri,
					 struct va_error *err)
{
	size_t version = strlen(VERSION);
	size_t sid = strlen(account);

	if (strncmp(uri, VERSION, version) != 0 || strncmp(uri + version, account, sid) != 0 ||
		uri[version + sid] != '/')
		return va_fail(err, "the next page is not the account's");
	return twilio_rest_url(out, base, account, uri + version + sid + 1, err);
}

/* ---- forms ------------------------------------------------------------------------------------ */

static void
put_encoded(struct buf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (isalnum(c) || strchr("-_.~", c) != NULL)
			buf_char(out, (char) c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void
twilio_rest_field(struct buf *out, const char *name, const char *value)
{
	if (out->len > 0 && out->data[out->len - 1] != '?')
		buf_char(out, '&');
	put_encoded(out, name);
	buf_char(out, '=');
	put_encoded(out, value);
}

static bool
put_value(struct buf *out, const char *name, struct json_object *value, struct va_error *err)
{
	switch (json_object_get_type(value))
	{
		case json_type_null: return true;
		case json_type_string:
			if (strlen(json_object_get_string(value)) != (size_t) json_object_get_string_len(value))
				return va_fail(err, "a value of the form contains a NUL byte");
			twilio_rest_field(out, name, json_object_get_string(value));
			return true;
		case json_type_boolean:
		case json_type_int:
		case json_type_double:
			twilio_rest_field(out, name,
							  json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
			return true;
		default: return va_fail(err, "a value of the form is neither a text nor a number");
	}
}

bool
twilio_rest_form(struct buf *out, struct json_object *form, struct va_error *err)
{
	if (form == NULL)
		return true;
	if (!json_object_is_type(form, json_type_object))
		return va_fail(err, "the form is not an object");
	json_object_object_foreach(form, name, value)
	{
		if (!json_object_is_type(value, json_type_array))
		{
			if (!put_value(out, name, value, err))
				return false;
			continue;
		}
		for (size_t i = 0; i < json_object_array_length(value); i++)
			if (!put_value(out, name, json_object_array_get_idx(value, i), err))
				return false;
	}
	return out->overflow ? va_fail(err, "the form is too long") : true;
}

/* ---- replies ---------------------------------------------------------------------------------- */

/* Two digits, or -1. */
static int
two_digits(const char *text)
{
	if (!isdigit((unsigned char) text[0]) || !isdigit((unsigned char) text[1]))
		return -1;
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t
days_since_1970(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The offset "+0130" in seconds; false when it is none. */
static bool
read_offset(const char *text, int64_t *seconds)
{
	int hours, minutes;

	if (strcmp(text, "GMT") == 0 || strcmp(text, "UTC") == 0 || strcmp(text, "Z") == 0)
	{
		*seconds = 0;
		return true;
	}
	if ((text[0] != '+' && text[0] != '-') || strlen(text) != 5)
		return false;
	hours = two_digits(text + 1);
	minutes = two_digits(text + 3);
	if (hours < 0 || minutes < 0 || hours > 23 || minutes > 59)
		return false;
	*seconds = (int64_t) (hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
	return true;
}

int64_t
twilio_rest_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *comma = strchr(text, ',');
	const char *p = comma != NULL ? comma + 1 : text;
	int day, month = 0, year, hour, minute, second;
	int64_t offset;

	p += strspn(p, " ");
	/* 06 Oct 2026 15:00:00 +0000: every part has its place. */
	if (strlen(p) < 23 || p[2] != ' ' || p[6] != ' ' || p[11] != ' ' || p[14] != ':' ||
		p[17] != ':' || p[20] != ' ')
		return -1;
	for (int m = 0; m < 12; m++)
		if (strncmp(p + 3, months + 3 * m, 3) == 0)
			month = m + 1;
	day = two_digits(p);
	year = two_digits(p + 7) < 0 || two_digits(p + 9) < 0
			   ? -1
			   : two_digits(p + 7) * 100 + two_digits(p + 9);
	hour = two_digits(p + 12);
	minute = two_digits(p + 15);
	second = two_digits(p + 18);
	if (month == 0 || day < 1 || day > 31 || year < 1970 || hour < 0 || hour > 23 || minute < 0 ||
		minute > 59 || second < 0 || second > 60 || !read_offset(p + 21, &offset))
		return -1;
	return days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
}

/* Copies a text that is made of printable characters and fits; "" otherwise. */
static void
take_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	out[0] = '\0';
	if (len >= size)
		return;
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 || (unsigned char) *p == 0x7f)
			return;
	memcpy(out, text, len + 1);
}

static bool
read_resource(struct json_object *o, struct twilio_rest_resource *out)
{
	const char *created = json_text(o, "date_created", NULL);
	const char *sid = json_text(o, "sid", NULL);
	int64_t code = 0;

	memset(out, 0, sizeof(*out));
	/* A participant has no SID of its own. */
	take_text(out->sid, sizeof(out->sid), sid != NULL ? sid : json_text(o, "call_sid", ""));
	take_text(out->status, sizeof(out->status), json_text(o, "status", ""));
	take_text(out->to, sizeof(out->to), json_text(o, "to", ""));
	take_text(out->from, sizeof(out->from), json_text(o, "from", ""));
	out->created = created != NULL ? twilio_rest_date(created) : -1;
	if (json_integer(o, "error_code", &code) && code > 0 && code < 1000000)
		out->error_code = (int) code;
	return strlen(out->sid) == 34;
}

bool
twilio_rest_resource(const char *body, size_t len, struct twilio_rest_resource *out,
					 struct va_error *err)
{
	struct json_object *document = json_parse(body, len, err);
	bool good = document != NULL && read_resource(document, out);

	if (!good)
		memset(out, 0, sizeof(*out));
	if (document != NULL && !good)
		va_fail(err, "the answer names no SID");
	json_object_put(document);
	return good;
}

/* Twilio's words, control characters made blanks, cut where a character ends. */
static void
take_words(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		for (len = size - 1; len > 0 && ((unsigned char) text[len] & 0xC0) == 0x80;)
			len--;
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char) text[i] < 0x20 ? ' ' : text[i];
	out[len] = '\0';
}

bool
twilio_rest_error(const char *body, size_t len, struct twilio_rest_error *out)
{
	struct json_object *document = json_parse(body, len, NULL);
	const char *message = json_text(document, "message", NULL);
	int64_t code = 0;
	bool good = message != NULL;

	memset(out, 0, sizeof(*out));
	if (good)
		take_words(out->message, sizeof(out->message), message);
	if (good && json_integer(document, "code", &code) && code > 0 && code < 1000000)
		out->code = (int) code;
	json_object_put(document);
	return good;
}

/* ---- lists ------------------------------------------------------------------------------------ */

static bool
is_known(struct json_object *known, const char *sid)
{
	if (!json_object_is_type(known, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(known); i++)
	{
		struct json_object *one = json_object_array_get_idx(known, i);

		if (json_object_is_type(one, json_type_string) &&
			strcmp(json_object_get_string(one), sid) == 0)
			return true;
	}
	return false;
}

static bool
fits(struct json_object *item, const struct twilio_rest_resource *found,
	 const struct twilio_rest_wanted *wanted)
{
	const char *direction = json_text(item, "direction", "outbound-api");
	const char *body = json_text(item, "body", "");

	return strcmp(found->to, wanted->to) == 0 &&
		   (wanted->from == NULL || strcmp(found->from, wanted->from) == 0) &&
		   (wanted->body == NULL || strcmp(body, wanted->body) == 0) &&
		   strncmp(direction, "outbound-api", 12) == 0 && found->created >= wanted->since &&
		   !is_known(wanted->known, found->sid);
}

bool
twilio_rest_find(const char *body, size_t len, const struct twilio_rest_wanted *wanted,
				 struct twilio_rest_found *found, struct va_error *err)
{
	struct json_object *document = json_parse(body, len, err);
	struct json_object *list = json_member(document, wanted->list);
	bool good = json_object_is_type(list, json_type_array);

	found->next[0] = '\0';
	for (size_t i = 0; good && i < json_object_array_length(list); i++)
	{
		struct json_object *item = json_object_array_get_idx(list, i);
		struct twilio_rest_resource one;

		/* An entry that cannot be read may be the one that is looked for: then nothing is known. */
		good = read_resource(item, &one) && one.created >= 0;
		if (!good || !fits(item, &one, wanted))
			continue;
		if (found->count++ == 0)
			found->first = one;
	}
	if (good)
		take_text(found->next, sizeof(found->next), json_text(document, "next_page_uri", ""));
	else if (document != NULL)
		va_fail(err, "the answer is not a list of %s", wanted->list);
	json_object_put(document);
	return good;
}
