/*
 * mail.h: one e-mail as the database describes it, before any service's wire format.
 *
 * The prepare functions of sql/77_email.sql write it as JSON; mime.c prints it for SMTP and
 * sendgrid.c for SendGrid's API. Whatever could break a header is refused or made harmless here, so
 * that neither printer has to think of it.
 */
#ifndef VA_CORE_MAIL_H
#define VA_CORE_MAIL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define MAIL_MAX_TO 20
#define MAIL_MAX_HEADERS 16
#define MAIL_MAX_ATTACHMENTS 20
#define MAIL_MAX_BYTES (20 * 1024 * 1024) /* of bodies and attachments, before any encoding */

struct mail_address
{
	const char *email; /* ASCII, one @, nothing that needs quoting */
	const char *name; /* UTF-8 without control characters; NULL for none */
};

struct mail_header
{
	const char *name; /* a token; never one that the printers write themselves */
	const char *value; /* printable ASCII */
};

struct mail_attachment
{
	const char *filename; /* UTF-8 without control characters and slashes */
	const char *type; /* "application/pdf" */
	const char *content_id; /* inline under this id; NULL: an attachment */
	const uint8_t *data;
	size_t len;
};

/* Where the invitation goes: a part that clients show beside the text, a file, or both. */
enum mail_calendar_style
{
	MAIL_CALENDAR_ALTERNATIVE,
	MAIL_CALENDAR_ATTACHMENT,
	MAIL_CALENDAR_BOTH
};

struct mail
{
	struct mail_address from;
	struct mail_address reply_to; /* email NULL: none */
	struct mail_address to[MAIL_MAX_TO];
	size_t to_count;
	const char *subject; /* UTF-8 without control characters */
	const char *text; /* UTF-8; NULL for none */
	const char *html;
	const char *calendar; /* an iCalendar object with CRLF; NULL for none */
	const char *calendar_method; /* REQUEST or CANCEL */
	enum mail_calendar_style calendar_style;
	struct mail_header headers[MAIL_MAX_HEADERS];
	size_t header_count;
	struct mail_attachment attachments[MAIL_MAX_ATTACHMENTS];
	size_t attachment_count;
	const char *message_id; /* without angle brackets; NULL for none */
	int64_t date; /* seconds since 1970 */
	/* For SendGrid alone. */
	const char *template_id; /* NULL: subject and bodies say it all */
	struct json_object *template_data;
	struct json_object *categories; /* array of texts */
	struct json_object *custom_args; /* object of texts */
	bool sandbox; /* checked by the service and not sent */
	/* The reader's own. */
	struct json_object *source;
	void *owned[MAIL_MAX_ATTACHMENTS + MAIL_MAX_HEADERS + MAIL_MAX_TO + 8];
	size_t owned_count;
};

/* Reads the JSON object `message` of a request: from, reply_to ({email, name}), to (array of
 * these), subject, text, html, headers (object of texts), message_id, date, attachments ({filename,
 * type, content in base64, content_id}), calendar (see ics.h), calendar_style, template_id,
 * template_data, categories, custom_args, sandbox. On success mail_free must be called; on failure
 * *err says what is wrong and nothing is held. The mail keeps a reference to the object. */
bool mail_read(struct json_object *message, struct mail *mail, struct va_error *err);
void mail_free(struct mail *mail);

/* An address that can stand in a header and in an SMTP command as it is. Quoted local parts,
 * domain literals and addresses beyond ASCII are not. */
bool mail_address_good(const char *email);

/* Takes out what a header must not hold: each run of control characters becomes one blank. */
void mail_clean_text(char *text);

#endif
