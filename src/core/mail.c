/*
 * mail.c: see mail.h.
 *
 * Texts that people wrote (subjects, names, file names) are made harmless, since losing a tab there
 * harms nobody. Texts that machines go by (addresses, header names and values) are refused when they
 * are not what they should be: a repaired address would be somebody else's.
 */
#include "core/mail.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "core/buf.h"
#include "core/ics.h"
#include "core/json.h"

#define ICS_SIZE (64 * 1024)
#define ADDRESS_MAX 254 /* RFC 5321, 4.5.3.1.3: a path of 256 with its brackets */
#define FILENAME_MAX_BYTES 120

bool
mail_address_good(const char *email)
{
	static const char atoms[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
								"!#$%&'*+-/=?^_`{|}~.";
	static const char domain_chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	size_t local = strspn(email, atoms);
	const char *domain = email + local + 1;

	if (local == 0 || local > 64 || email[local] != '@' || strlen(email) > ADDRESS_MAX)
		return false;
	if (email[0] == '.' || email[local - 1] == '.' || email[0] == '-')
		return false;
	return domain[0] != '\0' && domain[0] != '.' && domain[0] != '-' &&
		   domain[strspn(domain, domain_chars)] == '\0' && domain[strlen(domain) - 1] != '.' &&
		   strstr(email, "..") == NULL;
}

void
mail_clean_text(char *text)
{
	char *to = text;
	bool gap = false;

	for (const char *from = text; *from != '\0'; from++)
	{
		unsigned char c = (unsigned char) *from;

		/* U+0080 to U+009F are controls too; their first byte is 0xC2. */
		if (c == 0xC2 && (unsigned char) from[1] >= 0x80 && (unsigned char) from[1] < 0xA0)
		{
			from++;
			gap = true;
		}
		else if (c < 0x20 || c == 0x7F)
			gap = true;
		else
		{
			if (gap && to != text)
				*to++ = ' ';
			gap = false;
			*to++ = (char) c;
		}
	}
	*to = '\0';
}

/* Memory that lives as long as the mail. */
static void *
keep(struct mail *mail, void *memory, struct va_error *err)
{
	if (memory == NULL || mail->owned_count == sizeof(mail->owned) / sizeof(mail->owned[0]))
	{
		free(memory);
		va_fail(err, "out of memory");
		return NULL;
	}
	mail->owned[mail->owned_count++] = memory;
	return memory;
}

/* A clean copy of a text, or NULL with *err when there is no memory. */
static const char *
clean_copy(struct mail *mail, const char *text, struct va_error *err)
{
	char *copy = keep(mail, strdup(text), err);

	if (copy != NULL)
		mail_clean_text(copy);
	return copy;
}

static bool
read_address(struct mail *mail, struct json_object *from, const char *what,
			 struct mail_address *address, struct va_error *err)
{
	const char *name = json_text(from, "name", "");

	address->email = json_text(from, "email", "");
	if (!mail_address_good(address->email))
		return va_fail(err, "\"%.100s\" cannot be used as the address %s", address->email, what);
	if (name[0] != '\0')
	{
		address->name = clean_copy(mail, name, err);
		if (address->name == NULL)
			return false;
		if (address->name[0] == '\0')
			address->name = NULL;
	}
	return true;
}

static bool
read_recipients(struct mail *mail, struct json_object *message, struct va_error *err)
{
	struct json_object *list = json_member(message, "to");
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (count == 0 || count > MAIL_MAX_TO)
		return va_fail(err, "a mail has 1 to %d recipients, not %zu", MAIL_MAX_TO, count);
	for (; mail->to_count < count; mail->to_count++)
	{
		if (!read_address(mail, json_object_array_get_idx(list, mail->to_count), "to send to",
						  &mail->to[mail->to_count], err))
			return false;
	}
	return true;
}

/* Those that the printers write, and those that SendGrid refuses. */
static bool
header_reserved(const char *name)
{
	static const char *const reserved[] = {
		"bcc",		  "cc",			  "date",	  "dkim-signature", "from",
		"message-id", "mime-version", "received", "sender",			"subject",
		"to",		  "reply-to",	  "x-sg-id",  "x-sg-eid"};

	if (strncasecmp(name, "content-", 8) == 0)
		return true;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
	{
		if (strcasecmp(name, reserved[i]) == 0)
			return true;
	}
	return false;
}

static bool
header_good(const char *name, const char *value)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t len = strlen(name);

	if (len == 0 || len > 64 || name[strspn(name, token)] != '\0' || strlen(value) > 900)
		return false;
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c > 0x7E)
			return false;
	}
	return true;
}

static bool
read_headers(struct mail *mail, struct json_object *message, struct va_error *err)
{
	struct json_object *headers = json_member(message, "headers");

	if (headers == NULL)
		return true;
	if (!json_object_is_type(headers, json_type_object))
		return va_fail(err, "the headers are no object");
	json_object_object_foreach(headers, name, value)
	{
		if (mail->header_count == MAIL_MAX_HEADERS)
			return va_fail(err, "more than %d headers", MAIL_MAX_HEADERS);
		if (!json_object_is_type(value, json_type_string) || header_reserved(name) ||
			!header_good(name, json_object_get_string(value)))
			return va_fail(err, "the header \"%.60s\" cannot be set so", name);
		mail->headers[mail->header_count++] =
			(struct mail_header){name, json_object_get_string(value)};
	}
	return true;
}

/* type "/" subtype and nothing else: parameters would be ours to escape. */
static bool
type_good(const char *type)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-";
	size_t main_type = strspn(type, token);
	const char *subtype = type + main_type + 1;

	return main_type > 0 && type[main_type] == '/' && subtype[0] != '\0' &&
		   subtype[strspn(subtype, token)] == '\0' && strlen(type) <= 100;
}

/* Keeps what fits of a name, and its ending, which decides what opens it. */
static void
shorten_filename(char *name)
{
	size_t len = strlen(name);
	const char *dot = strrchr(name, '.');
	size_t ending =
		dot != NULL && len - (size_t) (dot - name) <= 10 ? len - (size_t) (dot - name) : 0;
	size_t kept = FILENAME_MAX_BYTES - ending;

	for (char *c = name; *c != '\0'; c++)
	{
		if (*c == '/' || *c == '\\')
			*c = '_';
	}
	if (len <= FILENAME_MAX_BYTES)
		return;
	while (kept > 0 && ((unsigned char) name[kept] & 0xC0) == 0x80)
		kept--;
	memmove(name + kept, name + len - ending, ending + 1);
}

static bool
read_attachment(struct mail *mail, struct json_object *from, size_t *total, struct va_error *err)
{
	struct mail_attachment *a = &mail->attachments[mail->attachment_count];
	const char *content = json_text(from, "content", "");
	size_t text_len = strlen(content);
	const char *content_id = json_text(from, "content_id", NULL);
	ssize_t len;
	char *name;
	uint8_t *data;

	a->type = json_text(from, "type", "application/octet-stream");
	if (!type_good(a->type))
		return va_fail(err, "an attachment's type is malformed");
	if (content_id != NULL && !mail_address_good(content_id) && !header_good(content_id, ""))
		return va_fail(err, "an attachment's content id is malformed");
	a->content_id = content_id;
	name = keep(mail, strdup(json_text(from, "filename", "attachment")), err);
	if (name == NULL)
		return false;
	mail_clean_text(name);
	shorten_filename(name);
	a->filename = name[0] != '\0' ? name : "attachment";
	data = keep(mail, malloc(text_len / 4 * 3 + 1), err);
	if (data == NULL)
		return false;
	len = base64_decode(content, text_len, data, text_len / 4 * 3 + 1);
	if (len < 0)
		return va_fail(err, "the attachment \"%.60s\" is not base64", a->filename);
	a->data = data;
	a->len = (size_t) len;
	*total += a->len;
	mail->attachment_count++;
	return true;
}

static bool
read_attachments(struct mail *mail, struct json_object *message, struct va_error *err)
{
	struct json_object *list = json_member(message, "attachments");
	size_t total = (mail->text != NULL ? strlen(mail->text) : 0) +
				   (mail->html != NULL ? strlen(mail->html) : 0);
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (count > MAIL_MAX_ATTACHMENTS)
		return va_fail(err, "more than %d attachments", MAIL_MAX_ATTACHMENTS);
	for (size_t i = 0; i < count; i++)
	{
		if (!read_attachment(mail, json_object_array_get_idx(list, i), &total, err))
			return false;
	}
	if (total > MAIL_MAX_BYTES)
		return va_fail(err, "a mail of more than %d MB", MAIL_MAX_BYTES / 1024 / 1024);
	return true;
}

static bool
read_calendar(struct mail *mail, struct json_object *message, struct va_error *err)
{
	struct json_object *calendar = json_member(message, "calendar");
	const char *style = json_text(message, "calendar_style", "alternative");
	struct ics_event event;
	struct buf out;
	char *text;

	if (calendar == NULL)
		return true;
	if (!ics_read(calendar, &event, err))
		return false;
	text = keep(mail, malloc(ICS_SIZE), err);
	if (text == NULL)
		return false;
	buf_init(&out, text, ICS_SIZE);
	if (!ics_print(&out, &event, err))
		return false;
	mail->calendar = text;
	mail->calendar_method = event.method;
	mail->calendar_style = strcmp(style, "attachment") == 0 ? MAIL_CALENDAR_ATTACHMENT
						   : strcmp(style, "both") == 0		? MAIL_CALENDAR_BOTH
															: MAIL_CALENDAR_ALTERNATIVE;
	return true;
}

static struct json_object *
typed(struct json_object *message, const char *key, enum json_type type)
{
	struct json_object *value = json_member(message, key);

	return json_object_is_type(value, type) ? value : NULL;
}

/* What is read as it stands. */
static bool
read_plain(struct mail *mail, struct json_object *message, struct va_error *err)
{
	const char *subject = json_text(message, "subject", "");

	mail->subject = clean_copy(mail, subject, err);
	mail->text = json_text(message, "text", NULL);
	mail->html = json_text(message, "html", NULL);
	mail->message_id = json_text(message, "message_id", NULL);
	mail->template_id = json_text(message, "template_id", NULL);
	mail->template_data = typed(message, "template_data", json_type_object);
	mail->categories = typed(message, "categories", json_type_array);
	mail->custom_args = typed(message, "custom_args", json_type_object);
	mail->sandbox = json_flag(message, "sandbox", false);
	json_integer(message, "date", &mail->date);
	if (mail->subject == NULL)
		return false;
	if (mail->message_id != NULL && !mail_address_good(mail->message_id))
		return va_fail(err, "the message id is malformed");
	if (mail->text == NULL && mail->html == NULL && mail->template_id == NULL)
		return va_fail(err, "a mail without text");
	return true;
}

bool
mail_read(struct json_object *message, struct mail *mail, struct va_error *err)
{
	memset(mail, 0, sizeof(*mail));
	if (!json_object_is_type(message, json_type_object))
		return va_fail(err, "the request has no message");
	mail->source = json_object_get(message);
	if (read_address(mail, json_member(message, "from"), "to send from", &mail->from, err) &&
		(json_member(message, "reply_to") == NULL ||
		 read_address(mail, json_member(message, "reply_to"), "for replies", &mail->reply_to,
					  err)) &&
		read_recipients(mail, message, err) && read_plain(mail, message, err) &&
		read_headers(mail, message, err) && read_attachments(mail, message, err) &&
		read_calendar(mail, message, err))
		return true;
	mail_free(mail);
	return false;
}

void
mail_free(struct mail *mail)
{
	for (size_t i = 0; i < mail->owned_count; i++)
		free(mail->owned[i]);
	json_object_put(mail->source);
	memset(mail, 0, sizeof(*mail));
}
