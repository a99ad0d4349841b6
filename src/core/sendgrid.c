/*
 * sendgrid.c: see sendgrid.h.
 *
 * The API has no key that would make a request safe to repeat. So every mail carries ours in its
 * custom arguments, which come back, at the top level, in every event about it. What comes back is
 * cut down here to the members that the database knows, with bounded texts: an event's other members
 * are whatever somebody set.
 */
#include "core/sendgrid.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/json.h"
#include "core/utf8.h"

#define CUSTOM_ARGS_MAX 10000
#define CATEGORIES_MAX 10
#define CATEGORY_MAX 255
#define KEY_MAX 256 /* bytes of DER; a P-256 key has 91 */
#define SIGNATURE_MAX 80 /* bytes of DER: at most 72 */
#define EVENT_TEXT_MAX 500

/* ---- mail/send ---- */

static void
put(struct json_object *object, const char *name, const char *value)
{
	if (value != NULL)
		json_object_object_add(object, name, json_object_new_string(value));
}

static struct json_object *
address_object(const struct mail_address *address)
{
	struct json_object *object = json_object_new_object();

	put(object, "email", address->email);
	put(object, "name", address->name);
	return object;
}

static struct json_object *
personalization(const struct mail *mail, size_t i)
{
	struct json_object *object = json_object_new_object();
	struct json_object *to = json_object_new_array();

	json_object_array_add(to, address_object(&mail->to[i]));
	json_object_object_add(object, "to", to);
	if (mail->template_id != NULL && mail->template_data != NULL)
		json_object_object_add(object, "dynamic_template_data",
							   json_object_get(mail->template_data));
	return object;
}

static void
add_content(struct json_object *list, const char *type, const char *value)
{
	struct json_object *part;

	/* The API refuses empty values. */
	if (value == NULL || value[0] == '\0')
		return;
	part = json_object_new_object();
	put(part, "type", type);
	put(part, "value", value);
	json_object_array_add(list, part);
}

static struct json_object *
contents(const struct mail *mail)
{
	struct json_object *list = json_object_new_array();
	char type[64];

	/* The order is prescribed: text, HTML, others. */
	add_content(list, "text/plain", mail->text);
	add_content(list, "text/html", mail->html);
	if (mail->calendar != NULL && mail->calendar_style != MAIL_CALENDAR_ATTACHMENT)
	{
		snprintf(type, sizeof(type), "text/calendar; method=%s", mail->calendar_method);
		add_content(list, type, mail->calendar);
	}
	return list;
}

static bool
add_attachment(struct json_object *list, const struct mail_attachment *a)
{
	struct json_object *object;
	char *text = malloc(BASE64_LENGTH(a->len) + 1);

	if (text == NULL)
		return false;
	text[base64_encode(a->data, a->len, text)] = '\0';
	object = json_object_new_object();
	put(object, "content", text);
	put(object, "type", a->type);
	put(object, "filename", a->filename);
	put(object, "disposition", a->content_id != NULL ? "inline" : "attachment");
	put(object, "content_id", a->content_id);
	json_object_array_add(list, object);
	free(text);
	return true;
}

static bool
add_attachments(struct json_object *body, const struct mail *mail)
{
	struct json_object *list = json_object_new_array();
	bool good = true;

	for (size_t i = 0; i < mail->attachment_count && good; i++)
		good = add_attachment(list, &mail->attachments[i]);
	/* With a template the bodies are the template's, and only a file can carry the invitation. */
	if (good && mail->calendar != NULL &&
		(mail->calendar_style != MAIL_CALENDAR_ALTERNATIVE || mail->template_id != NULL))
	{
		char type[80];

		snprintf(type, sizeof(type), "text/calendar; method=%s; charset=UTF-8",
				 mail->calendar_method);
		good = add_attachment(list, &(struct mail_attachment){
										.filename = "invite.ics",
										.type = type,
										.data = (const uint8_t *) mail->calendar,
										.len = strlen(mail->calendar),
									});
	}
	if (json_object_array_length(list) > 0)
		json_object_object_add(body, "attachments", list);
	else
		json_object_put(list);
	return good;
}

static void
add_headers(struct json_object *body, const struct mail *mail)
{
	struct json_object *headers = json_object_new_object();
	char id[260];

	for (size_t i = 0; i < mail->header_count; i++)
		put(headers, mail->headers[i].name, mail->headers[i].value);
	if (mail->message_id != NULL)
	{
		/* So that an answer names it in In-Reply-To. */
		snprintf(id, sizeof(id), "<%s>", mail->message_id);
		put(headers, "Message-ID", id);
	}
	if (json_object_object_length(headers) > 0)
		json_object_object_add(body, "headers", headers);
	else
		json_object_put(headers);
}

static bool
add_marks(struct json_object *body, const struct mail *mail, struct va_error *err)
{
	size_t count = mail->categories != NULL ? json_object_array_length(mail->categories) : 0;
	size_t bytes = 0;

	if (count > CATEGORIES_MAX)
		return va_fail(err, "more than %d categories", CATEGORIES_MAX);
	for (size_t i = 0; i < count; i++)
	{
		struct json_object *category = json_object_array_get_idx(mail->categories, i);

		if (!json_object_is_type(category, json_type_string) ||
			json_object_get_string_len(category) > CATEGORY_MAX)
			return va_fail(err, "a category is a text of at most %d bytes", CATEGORY_MAX);
	}
	if (count > 0)
		json_object_object_add(body, "categories", json_object_get(mail->categories));
	if (mail->custom_args == NULL)
		return true;
	json_object_object_foreach(mail->custom_args, name, value)
	{
		if (!json_object_is_type(value, json_type_string))
			return va_fail(err, "the custom argument \"%.60s\" is no text", name);
		bytes += strlen(name) + (size_t) json_object_get_string_len(value);
	}
	if (bytes > CUSTOM_ARGS_MAX)
		return va_fail(err, "custom arguments of more than %d bytes", CUSTOM_ARGS_MAX);
	json_object_object_add(body, "custom_args", json_object_get(mail->custom_args));
	return true;
}

static void
add_settings(struct json_object *body, const struct mail *mail)
{
	struct json_object *tracking = json_object_new_object();
	struct json_object *clicks = json_object_new_object();

	/* The links carry tokens of one person: nobody else's server is to see them first. */
	json_object_object_add(clicks, "enable", json_object_new_boolean(false));
	json_object_object_add(clicks, "enable_text", json_object_new_boolean(false));
	json_object_object_add(tracking, "click_tracking", clicks);
	json_object_object_add(body, "tracking_settings", tracking);
	if (mail->sandbox)
	{
		struct json_object *settings = json_object_new_object();
		struct json_object *mode = json_object_new_object();

		json_object_object_add(mode, "enable", json_object_new_boolean(true));
		json_object_object_add(settings, "sandbox_mode", mode);
		json_object_object_add(body, "mail_settings", settings);
	}
}

struct json_object *
sendgrid_body(const struct mail *mail, struct va_error *err)
{
	struct json_object *body = json_object_new_object();
	struct json_object *people = json_object_new_array();
	bool good;

	for (size_t i = 0; i < mail->to_count; i++)
		json_object_array_add(people, personalization(mail, i));
	json_object_object_add(body, "personalizations", people);
	json_object_object_add(body, "from", address_object(&mail->from));
	if (mail->reply_to.email != NULL)
		json_object_object_add(body, "reply_to", address_object(&mail->reply_to));
	if (mail->subject[0] != '\0')
		put(body, "subject", mail->subject);
	if (mail->template_id != NULL)
		put(body, "template_id", mail->template_id);
	else
		json_object_object_add(body, "content", contents(mail));
	add_headers(body, mail);
	add_settings(body, mail);
	good = add_marks(body, mail, err);
	if (good && !add_attachments(body, mail))
		good = va_fail(err, "out of memory");
	if (!good)
	{
		json_object_put(body);
		return NULL;
	}
	return body;
}

void
sendgrid_read_error(const char *body, size_t len, char *text, size_t size)
{
	struct json_object *document = json_parse(body, len, NULL);
	struct json_object *errors = json_member(document, "errors");
	struct json_object *first =
		json_object_is_type(errors, json_type_array) ? json_object_array_get_idx(errors, 0) : NULL;
	const char *message = json_text(first, "message", "");
	const char *field = json_text(first, "field", "");

	snprintf(text, size, field[0] != '\0' && message[0] != '\0' ? "%s (%s)" : "%s", message, field);
	text[utf8_cut(text, strlen(text))] = '\0';
	json_object_put(document);
}

/* ---- the signature of webhooks ---- */

static EVP_PKEY *
read_key(const char *public_key)
{
	uint8_t der[KEY_MAX];
	ssize_t len = base64_decode(public_key, strlen(public_key), der, sizeof(der));
	const uint8_t *at = der;
	EVP_PKEY *key = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;
	char group[32];
	size_t group_len;

	if (key != NULL && (at != der + len || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
						EVP_PKEY_get_group_name(key, group, sizeof(group), &group_len) != 1 ||
						strcmp(group, "prime256v1") != 0))
	{
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

bool
sendgrid_key_good(const char *public_key)
{
	EVP_PKEY *key = read_key(public_key);

	EVP_PKEY_free(key);
	return key != NULL;
}

bool
sendgrid_verify(const char *public_key, const char *timestamp, const char *body, size_t body_len,
				const char *signature)
{
	uint8_t der[SIGNATURE_MAX];
	ssize_t der_len = base64_decode(signature, strlen(signature), der, sizeof(der));
	EVP_PKEY *key = der_len > 0 ? read_key(public_key) : NULL;
	EVP_MD_CTX *ctx = key != NULL ? EVP_MD_CTX_new() : NULL;
	bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
				EVP_DigestVerifyUpdate(ctx, timestamp, strlen(timestamp)) == 1 &&
				EVP_DigestVerifyUpdate(ctx, body, body_len) == 1 &&
				EVP_DigestVerifyFinal(ctx, der, (size_t) der_len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}

bool
sendgrid_timestamp_fresh(const char *timestamp, int64_t now_s, int64_t tolerance_s)
{
	size_t len = strlen(timestamp);
	int64_t at;

	if (len == 0 || len > 12 || timestamp[strspn(timestamp, "0123456789")] != '\0')
		return false;
	at = strtoll(timestamp, NULL, 10);
	return at >= now_s - tolerance_s && at <= now_s + tolerance_s;
}

/* ---- events ---- */

/* Copies a text, cut to what the database is ready to keep. */
static void
take(struct json_object *to, const char *name, struct json_object *from, const char *key)
{
	const char *text = json_text(from, key, NULL);
	size_t len;

	if (text == NULL || text[0] == '\0')
		return;
	len = strlen(text);
	if (len > EVENT_TEXT_MAX)
		len = utf8_cut(text, EVENT_TEXT_MAX);
	json_object_object_add(to, name, json_object_new_string_len(text, (int) len));
}

static struct json_object *
read_event(struct json_object *from)
{
	static const char *const members[][2] = {
		{"event", "event"},	  {"to", "email"},
		{"reason", "reason"}, {"response", "response"},
		{"status", "status"}, {"type", "type"},
		{"url", "url"},		  {"tenant", "va_tenant"},
		{"key", "va_key"},	  {"notification", "va_notification"},
	};
	const char *id = json_text(from, "sg_event_id", "");
	const char *message = json_text(from, "sg_message_id", "");
	size_t message_len = strcspn(message, ".");
	struct json_object *event;
	int64_t at, group;

	if (id[0] == '\0' || strlen(id) > 200 || json_text(from, "event", "")[0] == '\0' ||
		!json_integer(from, "timestamp", &at) || at < 0 || at > INT64_C(253402300799))
		return NULL;
	event = json_object_new_object();
	json_object_object_add(event, "event_id", json_object_new_string(id));
	json_object_object_add(event, "at", json_object_new_int64(at));
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		take(event, members[i][0], from, members[i][1]);
	/* What follows the first dot is SendGrid's own. */
	if (message_len > 0 && message_len < SENDGRID_MESSAGE_ID_SIZE)
		json_object_object_add(event, "message_id",
							   json_object_new_string_len(message, (int) message_len));
	if (json_integer(from, "asm_group_id", &group))
		json_object_object_add(event, "group", json_object_new_int64(group));
	if (json_flag(from, "sg_machine_open", false))
		json_object_object_add(event, "machine", json_object_new_boolean(true));
	return event;
}

struct json_object *
sendgrid_read_events(const char *body, size_t len, size_t *skipped, struct va_error *err)
{
	struct json_object *document = json_parse(body, len, err);
	struct json_object *events;
	size_t count;

	*skipped = 0;
	if (document == NULL)
		return NULL;
	count = json_object_is_type(document, json_type_array) ? json_object_array_length(document) : 0;
	if (!json_object_is_type(document, json_type_array) || count > SENDGRID_MAX_EVENTS)
	{
		json_object_put(document);
		va_fail(err, "the events are no array of at most %d objects", SENDGRID_MAX_EVENTS);
		return NULL;
	}
	events = json_object_new_array();
	for (size_t i = 0; i < count; i++)
	{
		struct json_object *event = read_event(json_object_array_get_idx(document, i));

		if (event != NULL)
			json_object_array_add(events, event);
		else
			(*skipped)++;
	}
	json_object_put(document);
	return events;
}
