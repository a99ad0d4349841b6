/*
 * inbound_mail.c: see inbound_mail.h.
 *
 * Nothing here is to be trusted: a sender's address is easily forged, SPF and DKIM are what
 * SendGrid says of them. What leads to a person is the reply address that we made (the envelope's
 * "to") and the Message-ID that the answer names. Both are handed on for the database to look up.
 */
#include "core/inbound_mail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/charset.h"
#include "core/ics_reply.h"
#include "core/json.h"
#include "core/mail.h"
#include "core/utf8.h"

#define MAX_REFERENCES 20
#define HEADER_MAX 4000

/* ---- texts ---- */

static void
put(struct json_object *object, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		json_object_object_add(object, name, json_object_new_string(value));
}

/* The field in UTF-8, by what the form says of its charset; NULL when it is absent. */
static char *
field_text(const struct multipart *form, struct json_object *charsets, const char *name, size_t max)
{
	const struct multipart_part *part = multipart_find(form, name);

	if (part == NULL)
		return NULL;
	return charset_to_utf8(json_text(charsets, name, "UTF-8"), part->data, part->len, max);
}

static void
put_field(struct json_object *mail, const char *name, const struct multipart *form,
		  struct json_object *charsets, const char *field)
{
	char *text = field_text(form, charsets, field, HEADER_MAX);

	if (text != NULL)
	{
		mail_clean_text(text);
		put(mail, name, text);
	}
	free(text);
}

/* HTML as plain text: tags go, blocks become lines, the common entities are read. Enough to be read
 * by a person; what the sender wrote as text is preferred where there is any. */
static void
strip_html(char *html)
{
	static const char *const entities[][2] = {{"&amp;", "&"},	{"&lt;", "<"},	{"&gt;", ">"},
											  {"&quot;", "\""}, {"&#39;", "'"}, {"&nbsp;", " "}};
	char *to = html;
	const char *from = html;

	while (*from != '\0')
	{
		bool replaced = false;

		if (*from == '<')
		{
			const char *skip = strncasecmp(from, "<style", 6) == 0	  ? "</style"
							   : strncasecmp(from, "<script", 7) == 0 ? "</script"
																	  : NULL;
			const char *end = skip != NULL ? strcasestr(from, skip) : from;

			if (strncasecmp(from, "<br", 3) == 0 || strncasecmp(from, "</p", 3) == 0 ||
				strncasecmp(from, "</div", 5) == 0 || strncasecmp(from, "</tr", 4) == 0)
				*to++ = '\n';
			end = end != NULL ? strchr(end, '>') : NULL;
			from = end != NULL ? end + 1 : from + strlen(from);
			continue;
		}
		for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]) && !replaced; i++)
		{
			size_t len = strlen(entities[i][0]);

			replaced = strncmp(from, entities[i][0], len) == 0;
			if (replaced)
			{
				*to++ = entities[i][1][0];
				from += len;
			}
		}
		if (!replaced)
			*to++ = *from++;
	}
	*to = '\0';
}

/* ---- what the sender wrote ---- */

static bool
line_contains(const char *line, size_t len, const char *words)
{
	return memmem(line, len, words, strlen(words)) != NULL;
}

/* "On Tue, 1 Dec 2026, Ann wrote:" in the languages that are common: the line that announces a
 * quotation ends with a colon, and may be broken once before it. */
static bool
announces(const char *line, size_t len)
{
	static const char *const forms[][2] = {
		{"On ", "wrote:"},
		{"Am ", "schrieb"},
		{"Le ", "a \xC3\xA9"
				"crit"},
		{"El ", "escribi\xC3\xB3:"},
		{"Il ", "ha scritto:"},
		{"Op ", "schreef"},
		{"Em ", "escreveu:"},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		if (len > strlen(forms[i][0]) && strncmp(line, forms[i][0], strlen(forms[i][0])) == 0 &&
			line_contains(line, len, forms[i][1]))
			return true;
	}
	return false;
}

static bool
separates(const char *line, size_t len)
{
	static const char *const lines[] = {"-----Original Message-----", "---- Original Message ----",
										"-----Urspr\xC3\xBCngliche Nachricht-----",
										"________________________________",
										"---------- Forwarded message ----------"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
	{
		if (len >= strlen(lines[i]) && strncmp(line, lines[i], strlen(lines[i])) == 0)
			return true;
	}
	return false;
}

/* Length without the blanks and line ends at the end. */
static size_t
trimmed(const char *text, size_t len)
{
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	return len;
}

size_t
inbound_own_text(const char *text)
{
	size_t whole = trimmed(text, strlen(text));
	size_t own = whole;
	const char *line = text;

	while (line < text + whole)
	{
		size_t len = strcspn(line, "\n");
		const char *next = line[len] == '\n' ? line + len + 1 : line + len;
		size_t two = line[len] == '\n' ? len + 1 + strcspn(next, "\n") : len;

		if (separates(line, len) || announces(line, len) ||
			(line[len - (len > 0)] != '.' && announces(line, two) && two < 300))
		{
			own = (size_t) (line - text);
			break;
		}
		line = next;
	}
	/* A quotation without announcement: the last lines, all with a mark. */
	own = trimmed(text, own);
	while (own > 0)
	{
		size_t start = own;

		while (start > 0 && text[start - 1] != '\n')
			start--;
		if (text[start] != '>')
			break;
		own = trimmed(text, start);
	}
	return own > 0 ? own : whole;
}

static void
put_body(struct json_object *mail, const struct multipart *form, struct json_object *charsets)
{
	char *text = field_text(form, charsets, "text", INBOUND_TEXT_MAX);
	size_t whole, own;

	if (text == NULL || trimmed(text, strlen(text)) == 0)
	{
		free(text);
		text = field_text(form, charsets, "html", INBOUND_TEXT_MAX);
		if (text != NULL)
			strip_html(text);
	}
	if (text == NULL)
		return;
	whole = trimmed(text, strlen(text));
	own = inbound_own_text(text);
	if (own > 0)
		json_object_object_add(mail, "text", json_object_new_string_len(text, (int) own));
	if (own < whole)
		json_object_object_add(mail, "full_text", json_object_new_string_len(text, (int) whole));
	free(text);
}

/* ---- addresses and headers ---- */

bool
inbound_address(const char *text, char *out, size_t size)
{
	const char *open = strrchr(text, '<');
	const char *at = open != NULL ? open + 1 : text + strspn(text, " \t");
	size_t len = strcspn(at, open != NULL ? ">" : " \t,;");

	if (len >= size)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = (char) tolower((unsigned char) at[i]);
	out[len] = '\0';
	return mail_address_good(out);
}

/* The value of a header, its folds undone, up to HEADER_MAX bytes; false when it is absent. */
static bool
header_value(const char *headers, const char *name, char *out)
{
	size_t name_len = strlen(name);
	size_t at = 0;

	while (*headers != '\0')
	{
		size_t len = strcspn(headers, "\n");

		if (strncasecmp(headers, name, name_len) == 0 && headers[name_len] == ':')
		{
			const char *from = headers + name_len + 1;

			while (*from != '\0' && at < HEADER_MAX - 1)
			{
				if (*from == '\n' && from[1] != ' ' && from[1] != '\t')
					break;
				if (*from != '\r' && *from != '\n')
					out[at++] = *from;
				from++;
			}
			out[utf8_cut(out, at)] = '\0';
			mail_clean_text(out);
			return true;
		}
		headers += len + (headers[len] == '\n');
	}
	return false;
}

/* The ids between angle brackets, each without them. */
static struct json_object *
message_ids(const char *text)
{
	struct json_object *list = json_object_new_array();

	while (json_object_array_length(list) < MAX_REFERENCES && (text = strchr(text, '<')) != NULL)
	{
		size_t len = strcspn(++text, "<> \t");

		if (text[len] == '>' && len > 0 && len <= 250)
			json_object_array_add(list, json_object_new_string_len(text, (int) len));
	}
	return list;
}

static void
put_first_id(struct json_object *mail, const char *name, const char *value)
{
	struct json_object *ids = message_ids(value);

	if (json_object_array_length(ids) > 0)
		json_object_object_add(mail, name, json_object_get(json_object_array_get_idx(ids, 0)));
	json_object_put(ids);
}

/* Out of office, a list, a delivery report: nobody to answer (RFC 3834). */
static bool
by_machine(const char *headers)
{
	char value[HEADER_MAX];

	if (header_value(headers, "Auto-Submitted", value) &&
		strncasecmp(value + strspn(value, " "), "no", 2) != 0)
		return true;
	if (header_value(headers, "Precedence", value) &&
		(strcasestr(value, "bulk") != NULL || strcasestr(value, "auto_reply") != NULL ||
		 strcasestr(value, "junk") != NULL || strcasestr(value, "list") != NULL))
		return true;
	return header_value(headers, "X-Autoreply", value) ||
		   header_value(headers, "X-Autorespond", value) || header_value(headers, "List-Id", value);
}

static void
put_headers(struct json_object *mail, const char *headers)
{
	char value[HEADER_MAX];

	if (header_value(headers, "Message-ID", value))
		put_first_id(mail, "message_id", value);
	if (header_value(headers, "In-Reply-To", value))
		put_first_id(mail, "in_reply_to", value);
	if (header_value(headers, "References", value))
		json_object_object_add(mail, "references", message_ids(value));
	if (by_machine(headers))
		json_object_object_add(mail, "auto", json_object_new_boolean(true));
}

static void
put_sender(struct json_object *mail, const struct multipart *form, struct json_object *charsets,
		   struct json_object *envelope)
{
	char *from = field_text(form, charsets, "from", HEADER_MAX);
	char address[256];

	if (from != NULL)
		mail_clean_text(from);
	if ((from != NULL && inbound_address(from, address, sizeof(address))) ||
		inbound_address(json_text(envelope, "from", ""), address, sizeof(address)))
		put(mail, "from", address);
	if (from != NULL && strchr(from, '<') != NULL)
	{
		size_t len = trimmed(from, strcspn(from, "<"));
		size_t begin = len > 1 && from[0] == '"' && from[len - 1] == '"';

		json_object_object_add(mail, "from_name",
							   json_object_new_string_len(from + begin, (int) (len - 2 * begin)));
	}
	free(from);
}

static void
put_recipients(struct json_object *mail, struct json_object *envelope)
{
	struct json_object *to = json_member(envelope, "to");
	struct json_object *list = json_object_new_array();
	size_t count = json_object_is_type(to, json_type_array) ? json_object_array_length(to) : 0;

	for (size_t i = 0; i < count && i < 50; i++)
	{
		struct json_object *one = json_object_array_get_idx(to, i);
		char address[256];

		if (json_object_is_type(one, json_type_string) &&
			inbound_address(json_object_get_string(one), address, sizeof(address)))
			json_object_array_add(list, json_object_new_string(address));
	}
	json_object_object_add(mail, "to", list);
}

/* ---- attachments ---- */

static struct json_object *
attachment(const struct multipart_part *part)
{
	struct json_object *object = json_object_new_object();
	char *name = charset_to_utf8("UTF-8", part->filename, strlen(part->filename), 255);

	if (name != NULL)
		mail_clean_text(name);
	put(object, "filename", name);
	put(object, "type", part->type);
	json_object_object_add(object, "size", json_object_new_int64((int64_t) part->len));
	free(name);
	return object;
}

static void
put_attachments(struct json_object *mail, const struct multipart *form)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < form->count; i++)
	{
		const struct multipart_part *part = &form->parts[i];
		struct ics_reply reply;

		if (part->filename[0] == '\0')
			continue;
		json_object_array_add(list, attachment(part));
		if (strcasecmp(part->type, "text/calendar") == 0 &&
			json_member(mail, "invitation") == NULL &&
			ics_read_reply(part->data, part->len, &reply))
		{
			struct json_object *answer = json_object_new_object();

			put(answer, "uid", reply.uid);
			put(answer, "partstat", reply.partstat);
			json_object_object_add(answer, "sequence", json_object_new_int64(reply.sequence));
			json_object_object_add(mail, "invitation", answer);
		}
	}
	json_object_object_add(mail, "attachments", list);
}

static struct json_object *
json_field(const struct multipart *form, const char *name)
{
	const struct multipart_part *part = multipart_find(form, name);

	return part != NULL ? json_parse(part->data, part->len, NULL) : NULL;
}

struct json_object *
inbound_mail(const struct multipart *form)
{
	struct json_object *mail = json_object_new_object();
	struct json_object *charsets = json_field(form, "charsets");
	struct json_object *envelope = json_field(form, "envelope");
	bool raw = multipart_find(form, "headers") == NULL && multipart_find(form, "email") != NULL;
	char *headers = field_text(form, NULL, raw ? "email" : "headers", INBOUND_TEXT_MAX);

	put_sender(mail, form, charsets, envelope);
	put_recipients(mail, envelope);
	put_field(mail, "subject", form, charsets, "subject");
	put_body(mail, form, charsets);
	if (headers != NULL)
	{
		char *end = strstr(headers, raw ? "\r\n\r\n" : "\n\n");

		if (end != NULL)
			*end = '\0';
		put_headers(mail, headers);
	}
	put_attachments(mail, form);
	put_field(mail, "spf", form, NULL, "SPF");
	put_field(mail, "dkim", form, NULL, "dkim");
	put_field(mail, "spam_score", form, NULL, "spam_score");
	put_field(mail, "sender_ip", form, NULL, "sender_ip");
	if (raw)
		json_object_object_add(mail, "raw", json_object_new_boolean(true));
	free(headers);
	json_object_put(charsets);
	json_object_put(envelope);
	return mail;
}
