/*
 * sendgrid_api.c: the stand-in for SendGrid's v3 API, its Event Webhook and its Inbound Parse.
 *
 * Sources: SendGrid's docs "Mail Send", "Event Webhook reference", "Inbound Parse webhook". Accepted
 * mails go to the ledger, with the custom arguments that came along, as do the answers to what the
 * stand-in posts itself. For tests:
 *
 *	GET  /sandbox/key      the key, in base64, that its webhooks are signed by
 *	POST /sandbox/webhook  {"url", "events": ["processed", "delivered"]}: posted after each mail
 *	POST /sandbox/events   {"url", "events": [{…}], "tamper": true, "late_s": n}: posted as they are
 *	POST /sandbox/inbound  {"url", "from", "to", "subject", "text", "headers", "charset", "ics"}
 *
 * API keys: "SG." and anything. One with "revoked" is answered with 401, with "noscope" with 403, as is
 * a sender of the domain unverified.test.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_client.h"
#include "net/loop.h"
#include "sandbox/codec.h"
#include "sandbox/json_text.h"
#include "sandbox/providers.h"

#define POST_TIMEOUT_MS 10000
#define REPLY_MAX 65536
#define NAME_SIZE 80

struct sendgrid
{
	const struct stand_in_host *host;
	EVP_PKEY *key;
	char public_key[256];
	char *url; /* where events go by themselves; NULL: nowhere */
	struct json_object *events; /* which */
};

/* A post to the product under way. */
struct outgoing
{
	struct sendgrid *sendgrid;
	char id[NAME_SIZE];
};

/* ---- what it posts ---- */

static void
on_posted(void *arg, const struct http_reply *reply)
{
	struct outgoing *out = arg;
	struct json_object *line = ledger_line(out->sendgrid->host->ledger, out->id, "posted");

	json_put_int(line, "status", reply->status);
	if (reply->error != NULL)
		json_put_text(line, "error", reply->error);
	ledger_write(out->sendgrid->host->ledger, line);
	free(out);
}

static void
sign(struct sendgrid *s, const char *timestamp, const char *body, size_t len, char *text,
	 size_t size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char der[128];
	size_t der_len = sizeof(der);

	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key) != 1 ||
		EVP_DigestSignUpdate(ctx, timestamp, strlen(timestamp)) != 1 ||
		EVP_DigestSignUpdate(ctx, body, len) != 1 || EVP_DigestSignFinal(ctx, der, &der_len) != 1)
		abort();
	codec_base64_encode(text, size, der, der_len);
	EVP_MD_CTX_free(ctx);
}

/* Signed as SendGrid signs: the timestamp, then the bytes of the body. tamper: one of them is another
 * by the time it is sent. */
static void
post(struct sendgrid *s, const char *url, const char *id, const char *content_type, char *body,
	 size_t len, bool tamper, long long late_s)
{
	struct outgoing *out = calloc(1, sizeof(*out));
	char timestamp[32], signature[256], stamp_header[96], signature_header[320], type_header[160];
	const char *headers[] = {type_header, stamp_header, signature_header, NULL};
	struct http_options options = {.method = "POST",
								   .url = url,
								   .headers = headers,
								   .body = body,
								   .body_len = len,
								   .connect_timeout_ms = POST_TIMEOUT_MS,
								   .timeout_ms = POST_TIMEOUT_MS,
								   .max_reply = REPLY_MAX};

	if (out == NULL)
		abort();
	out->sendgrid = s;
	snprintf(out->id, sizeof(out->id), "%s", id);
	snprintf(timestamp, sizeof(timestamp), "%lld", (long long) (loop_wall_ms() / 1000) - late_s);
	sign(s, timestamp, body, len, signature, sizeof(signature));
	if (tamper && len > 10)
		body[len / 2] ^= 1;
	snprintf(type_header, sizeof(type_header), "Content-Type: %s", content_type);
	snprintf(stamp_header, sizeof(stamp_header), "X-Twilio-Email-Event-Webhook-Timestamp: %s",
			 timestamp);
	snprintf(signature_header, sizeof(signature_header),
			 "X-Twilio-Email-Event-Webhook-Signature: %s", signature);
	if (http_client_send(s->host->http, &options, on_posted, out) == NULL)
	{
		ledger_note(s->host->ledger, id, "posted", "error", "bad URL");
		free(out);
	}
}

/* The array as SendGrid writes it: events apart by a comma and a line end, and one at the end. */
static void
post_events(struct sendgrid *s, const char *url, struct json_object *events, bool tamper,
			long long late_s)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		abort();
	fputc('[', out);
	for (size_t i = 0; i < json_object_array_length(events); i++)
		fprintf(out, "%s%s", i > 0 ? ",\r\n" : "",
				json_object_to_json_string_ext(json_object_array_get_idx(events, i),
											   JSON_C_TO_STRING_PLAIN |
												   JSON_C_TO_STRING_NOSLASHESCAPE));
	fputs("]\r\n", out);
	fclose(out);
	post(s, url, "events", "application/json; charset=utf-8", text, len, tamper, late_s);
	free(text);
}

/* An event about a mail: its custom arguments stand beside the rest. */
static struct json_object *
event_of(struct json_object *mail, const char *name, const char *message_id)
{
	struct json_object *event = json_object_new_object();
	struct json_object *people = json_text_child(mail, "personalizations", json_type_array);
	struct json_object *to =
		json_text_child(json_object_array_get_idx(people, 0), "to", json_type_array);
	struct json_object *args = json_text_child(mail, "custom_args", json_type_object);
	char id[37], sg_message_id[NAME_SIZE + 16];

	codec_random_uuid(id);
	snprintf(sg_message_id, sizeof(sg_message_id), "%s.filter-1", message_id);
	if (args != NULL)
	{
		json_object_object_foreach(args, key, value)
			json_object_object_add(event, key, json_object_get(value));
	}
	json_put_text(event, "email", json_text_member(json_object_array_get_idx(to, 0), "email"));
	json_put_text(event, "event", name);
	json_put_int(event, "timestamp", loop_wall_ms() / 1000);
	json_put_text(event, "sg_event_id", id);
	json_put_text(event, "sg_message_id", sg_message_id);
	if (strcmp(name, "bounce") == 0)
	{
		json_put_text(event, "reason", "550 5.1.1 no such user");
		json_put_text(event, "status", "5.1.1");
		json_put_text(event, "type", "bounce");
	}
	return event;
}

static void
follow(struct sendgrid *s, struct json_object *mail, const char *message_id)
{
	struct json_object *events;

	if (s->url == NULL || s->events == NULL)
		return;
	events = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(s->events); i++)
		json_object_array_add(
			events, event_of(mail, json_object_get_string(json_object_array_get_idx(s->events, i)),
							 message_id));
	post_events(s, s->url, events, false, 0);
	json_object_put(events);
}

/* ---- mail/send ---- */

static void
answer_error(struct stand_in_exchange *ex, int status, const char *message, const char *field)
{
	struct json_object *body = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *error = json_object_new_object();

	json_put_text(error, "message", message);
	json_object_object_add(error, "field", field != NULL ? json_object_new_string(field) : NULL);
	json_object_object_add(error, "help", NULL);
	json_object_array_add(list, error);
	json_object_object_add(body, "errors", list);
	stand_in_answer_json(ex, status, body);
}

/* The rules that a mail breaks; NULL when it keeps all. */
static const char *
broken_rule(struct json_object *mail, const char **field)
{
	struct json_object *people = json_text_child(mail, "personalizations", json_type_array);
	struct json_object *from = json_text_child(mail, "from", json_type_object);
	struct json_object *content = json_text_child(mail, "content", json_type_array);

	*field = "personalizations";
	if (people == NULL || json_object_array_length(people) < 1 ||
		json_object_array_length(people) > 1000)
		return "The personalizations field is required and must have at least one personalization.";
	for (size_t i = 0; i < json_object_array_length(people); i++)
	{
		struct json_object *to =
			json_text_child(json_object_array_get_idx(people, i), "to", json_type_array);

		*field = "personalizations.to";
		if (to == NULL || json_object_array_length(to) < 1)
			return "The to array is required for all personalization objects, and must have at "
				   "least one email object with a valid email address.";
	}
	*field = "from.email";
	if (strchr(json_text_member(from, "email"), '@') == NULL)
		return "The from object must be provided for every email send. It is an object that "
			   "requires the email parameter, but may also contain a name parameter.";
	*field = "subject";
	if (json_text_member(mail, "template_id")[0] == '\0' &&
		json_text_member(mail, "subject")[0] == '\0')
		return "The subject is required.";
	*field = "content";
	if (json_text_member(mail, "template_id")[0] == '\0' &&
		(content == NULL || json_object_array_length(content) < 1))
		return "Unless a valid template_id is provided, the content parameter is required.";
	for (size_t i = 0; content != NULL && i < json_object_array_length(content); i++)
	{
		struct json_object *part = json_object_array_get_idx(content, i);

		*field = "content.value";
		if (json_text_member(part, "value")[0] == '\0')
			return "The content value must be a string at least one character in length.";
		*field = "content";
		if (strcmp(json_text_member(part, "type"), "text/plain") == 0 && i > 0)
			return "If present, text/plain must be first, followed by text/html, followed by any "
				   "other content.";
	}
	return NULL;
}

static void
note_mail(struct sendgrid *s, struct json_object *mail, const char *message_id)
{
	struct json_object *args = json_text_child(mail, "custom_args", json_type_object);
	const char *key = json_text_member(args, "va_key");
	struct json_object *line = ledger_line(s->host->ledger, key, "mail");

	json_put_text(line, "message_id", message_id);
	json_object_object_add(line, "mail", json_object_get(mail));
	ledger_write(s->host->ledger, line);
}

static void
send_mail(struct sendgrid *s, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	const char *authorization = stand_in_header(ex, "authorization");
	char error[160] = "", message_id[NAME_SIZE], header[NAME_SIZE + 32];
	struct json_object *mail, *settings, *mode;
	const char *rule, *field = NULL;

	if (strncmp(authorization, "Bearer SG.", 10) != 0 || strstr(authorization, "revoked") != NULL)
	{
		answer_error(ex, 401, "The provided authorization grant is invalid, expired, or revoked",
					 NULL);
		return;
	}
	if (strncmp(request->content_type, "application/json", 16) != 0)
	{
		answer_error(ex, 415, "Content-Type should be application/json.", NULL);
		return;
	}
	mail = json_text_object(request->body, request->body_len, error, sizeof(error));
	rule = mail != NULL ? broken_rule(mail, &field) : "Bad Request";
	if (rule != NULL)
		answer_error(ex, 400, rule, field);
	else if (strstr(authorization, "noscope") != NULL)
		answer_error(ex, 403, "access forbidden", NULL);
	else if (strstr(json_text_member(json_text_child(mail, "from", json_type_object), "email"),
					"@unverified.test") != NULL)
		answer_error(ex, 403, "The from address does not match a verified Sender Identity.",
					 "from");
	else
	{
		settings = json_text_child(mail, "mail_settings", json_type_object);
		mode = json_text_child(settings, "sandbox_mode", json_type_object);
		if (mode != NULL && json_object_get_boolean(json_object_object_get(mode, "enable")))
			stand_in_answer(ex, 200, NULL, "", 0, NULL);
		else
		{
			codec_random_sid(message_id, sizeof(message_id), "m-");
			note_mail(s, mail, message_id);
			snprintf(header, sizeof(header), "X-Message-Id: %s\r\n", message_id);
			stand_in_answer(ex, 202, NULL, "", 0, header);
			follow(s, mail, message_id);
		}
	}
	json_object_put(mail);
}

/* ---- for tests ---- */

static void
part(FILE *out, const char *name, const char *value)
{
	if (value[0] != '\0')
		fprintf(out, "--xYzZY\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name,
				value);
}

/* In the charset told the text stands in base64, so that any bytes can be given. */
static void
post_inbound(struct sendgrid *s, struct json_object *spec)
{
	char *text = NULL, envelope[1024], charsets[256], body[4096];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	const char *charset = json_text_member(spec, "charset");
	const char *encoded = json_text_member(spec, "text_base64");
	const char *ics = json_text_member(spec, "ics");
	ssize_t n = codec_base64_decode(body, sizeof(body) - 1, encoded, strlen(encoded));

	if (out == NULL)
		abort();
	body[n > 0 ? n : 0] = '\0';
	snprintf(envelope, sizeof(envelope), "{\"to\":[\"%s\"],\"from\":\"%s\"}",
			 json_text_member(spec, "to"), json_text_member(spec, "envelope_from"));
	snprintf(charsets, sizeof(charsets), "{\"to\":\"UTF-8\",\"subject\":\"UTF-8\",\"text\":\"%s\"}",
			 charset[0] != '\0' ? charset : "UTF-8");
	part(out, "headers", json_text_member(spec, "headers"));
	part(out, "from", json_text_member(spec, "from"));
	part(out, "subject", json_text_member(spec, "subject"));
	part(out, "envelope", envelope);
	part(out, "charsets", charsets);
	part(out, "text", n > 0 ? body : json_text_member(spec, "text"));
	part(out, "SPF", "pass");
	if (ics[0] != '\0')
		fprintf(out,
				"--xYzZY\r\nContent-Disposition: form-data; name=\"attachment1\"; "
				"filename=\"invite.ics\"\r\nContent-Type: text/calendar\r\n\r\n%s\r\n",
				ics);
	fputs("--xYzZY--\r\n", out);
	fclose(out);
	post(s, json_text_member(spec, "url"), "inbound", "multipart/form-data; boundary=xYzZY", text,
		 len, false, 0);
	free(text);
}

static void
serve_test(struct sendgrid *s, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	char error[160] = "";
	struct json_object *spec, *events, *answer = json_object_new_object();
	const char *what = request->path + strlen("/sandbox/");

	if (strcmp(what, "key") == 0)
	{
		json_put_text(answer, "public_key", s->public_key);
		stand_in_answer_json(ex, 200, answer);
		return;
	}
	spec = json_text_object(request->body, request->body_len, error, sizeof(error));
	events = json_text_child(spec, "events", json_type_array);
	if (spec == NULL)
		json_put_text(answer, "error", error);
	else if (strcmp(what, "webhook") == 0)
	{
		free(s->url);
		json_object_put(s->events);
		s->url = strdup(json_text_member(spec, "url"));
		s->events = json_object_get(events);
	}
	else if (strcmp(what, "events") == 0 && events != NULL)
		post_events(s, json_text_member(spec, "url"), events,
					json_object_get_boolean(json_object_object_get(spec, "tamper")),
					json_object_get_int64(json_object_object_get(spec, "late_s")));
	else if (strcmp(what, "inbound") == 0)
		post_inbound(s, spec);
	else
		json_put_text(answer, "error", "there is no such thing");
	stand_in_answer_json(ex, json_object_object_length(answer) == 0 ? 200 : 400, answer);
	json_object_put(spec);
}

static void
sendgrid_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	struct sendgrid *s = self;

	if (strncmp(request->path, "/sandbox/", 9) == 0)
		serve_test(s, ex, request);
	else if (strcmp(request->path, "/v3/mail/send") != 0)
		answer_error(ex, 404, "not found", NULL);
	else if (strcmp(request->method, "POST") != 0)
		answer_error(ex, 405, "method not allowed", NULL);
	else
		send_mail(s, ex, request);
}

static void *
sendgrid_open(const struct stand_in_host *host)
{
	struct sendgrid *s = calloc(1, sizeof(*s));
	unsigned char *der = NULL;
	int len;

	if (s == NULL)
		abort();
	s->host = host;
	s->key = EVP_EC_gen("P-256");
	len = s->key != NULL ? i2d_PUBKEY(s->key, &der) : -1;
	if (len <= 0 ||
		codec_base64_encode(s->public_key, sizeof(s->public_key), der, (size_t) len) < 0)
		abort();
	OPENSSL_free(der);
	return s;
}

static void
sendgrid_close(void *self)
{
	struct sendgrid *s = self;

	EVP_PKEY_free(s->key);
	free(s->url);
	json_object_put(s->events);
	free(s);
}

const struct stand_in sendgrid_stand_in = {"/sendgrid", sendgrid_open, sendgrid_request,
										   sendgrid_close};
