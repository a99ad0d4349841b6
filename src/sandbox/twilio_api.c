/*
 * twilio_api.c: see twilio_api.h.
 *
 * Source: twilio.com/docs/usage/twilios-request, /usage/twilios-response, and the page of each
 * resource. Unknown paths are 404 with Twilio's code 20404, as they are there.
 */
#include "sandbox/twilio_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sandbox/json_text.h"

#define CLOCK_MS 5
#define VERSION "/2010-04-01/Accounts/"

/* One request, taken apart. */
struct question
{
	struct twilio_api *api;
	struct stand_in_exchange *ex;
	const struct stand_in_request *request;
	char account[40];
	char rest[200]; /* behind the account: "Calls/CA….json" */
	struct webhook_form form; /* of the body, or of the query of a GET */
};

void
twilio_now(char out[64])
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(out, 64, "%a, %d %b %Y %H:%M:%S +0000", &tm);
}

void
twilio_error(struct stand_in_exchange *ex, int status, int code, const char *message)
{
	struct json_object *o = json_object_new_object();
	char more[80];

	json_put_int(o, "code", code);
	json_put_text(o, "message", message);
	snprintf(more, sizeof(more), "https://www.twilio.com/docs/errors/%d", code);
	json_put_text(o, "more_info", more);
	json_put_int(o, "status", status);
	stand_in_answer_json(ex, status, o);
}

/* ---- numbers ---- */

static const char *
bare(const char *number)
{
	return strncmp(number, "whatsapp:", 9) == 0 ? number + 9 : number;
}

static struct twilio_number *
number_row(struct twilio_api *api, const char *number)
{
	struct twilio_number *n;

	for (n = api->numbers; n != NULL; n = n->next)
		if (strcmp(n->number, bare(number)) == 0)
			return n;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		abort();
	snprintf(n->number, sizeof(n->number), "%s", bare(number));
	n->code = 30008;
	n->next = api->numbers;
	api->numbers = n;
	return n;
}

const struct twilio_number *
twilio_number(struct twilio_api *api, const char *number)
{
	return number_row(api, number);
}

/* What the test credentials' numbers stand for, to call and to write to. */
static const struct
{
	const char *number;
	bool from;
	int call, message;
	const char *text;
} magic[] = {
	{"+15005550001", false, 21211, 21211, "The 'To' number is not a valid phone number."},
	{"+15005550002", false, 21214, 21612, "The 'To' number cannot be reached."},
	{"+15005550003", false, 21215, 21408, "Permission to reach this region has not been enabled."},
	{"+15005550004", false, 21216, 21610, "The number is blocked or has unsubscribed."},
	{"+15005550009", false, 21219, 21614, "The 'To' number is not usable for this account."},
	{"+15005550001", true, 21212, 21212, "The 'From' number is not a valid phone number."},
	{"+15005550007", true, 21210, 21606, "The 'From' number is not owned by this account."},
	{"+15005550008", true, 21210, 21611, "The queue of the 'From' number is full."},
};

bool
twilio_refused(struct twilio_api *api, struct stand_in_exchange *ex,
			   const struct webhook_form *form, bool call)
{
	const char *to = bare(webhook_value(form, "To"));
	const char *from = bare(webhook_value(form, "From"));
	const struct twilio_number *n = twilio_number(api, to);

	if (to[0] == '\0')
	{
		twilio_error(ex, 400, call ? 21201 : 21604, "A 'To' phone number is required.");
		return true;
	}
	for (size_t i = 0; i < sizeof(magic) / sizeof(magic[0]); i++)
		if (strcmp(magic[i].number, magic[i].from ? from : to) == 0)
		{
			twilio_error(ex, 400, call ? magic[i].call : magic[i].message, magic[i].text);
			return true;
		}
	if (n->status == 0)
		return false;
	twilio_error(ex, n->status, n->code, "Refused by the sandbox's settings of this number.");
	return true;
}

static void
take(char *out, size_t size, struct json_object *spec, const char *name)
{
	if (json_object_object_get_ex(spec, name, NULL))
		snprintf(out, size, "%s", json_text_member(spec, name));
}

static void
take_number(unsigned *out, struct json_object *spec, const char *name)
{
	struct json_object *value;

	if (json_object_object_get_ex(spec, name, &value))
		*out = (unsigned) json_object_get_int(value);
}

static void
set_number(struct twilio_api *api, struct stand_in_exchange *ex,
		   const struct stand_in_request *request)
{
	char error[160] = "a number is missing";
	struct json_object *spec =
		json_text_object(request->body, request->body_len, error, sizeof(error));
	const char *number = spec ? json_text_member(spec, "number") : "";
	struct twilio_number *n;
	unsigned code = 0, status = 0;

	if (number[0] == '\0')
	{
		twilio_error(ex, 400, 20001, error);
		json_object_put(spec);
		return;
	}
	n = number_row(api, number);
	take(n->answers, sizeof(n->answers), spec, "answers");
	take(n->scenario, sizeof(n->scenario), spec, "scenario");
	take(n->delivers, sizeof(n->delivers), spec, "delivers");
	take_number(&n->ring_ms, spec, "ring_ms");
	take_number(&n->talk_ms, spec, "talk_ms");
	take_number(&n->amd_ms, spec, "amd_ms");
	take_number(&code, spec, "code");
	take_number(&status, spec, "status");
	n->code = code != 0 ? (int) code : n->code;
	n->status = (int) status;
	stand_in_answer_json(ex, 200, json_object_get(spec));
	json_object_put(spec);
}

/* ---- credentials ---- */

/* Basic credentials: the account's SID and a token of 32 hexadecimal digits, or an API key. */
static bool
is_allowed(struct question *q)
{
	const char *header = stand_in_header(q->ex, "authorization");
	char plain[200], *colon;
	ssize_t len;

	if (strncmp(header, "Basic ", 6) != 0)
		return false;
	len = codec_base64_decode(plain, sizeof(plain) - 1, header + 6, strlen(header + 6));
	if (len <= 0)
		return false;
	plain[len] = '\0';
	colon = strchr(plain, ':');
	if (colon == NULL || colon[1] == '\0')
		return false;
	*colon = '\0';
	if (strncmp(plain, "SK", 2) == 0)
		return strlen(plain) == 34;
	if (strcmp(plain, q->account) != 0 ||
		strspn(colon + 1, "0123456789abcdef") != strlen(colon + 1) || strlen(colon + 1) != 32)
		return false;
	snprintf(q->api->account, sizeof(q->api->account), "%s", q->account);
	snprintf(q->api->token, sizeof(q->api->token), "%s", colon + 1);
	return true;
}

/* ---- lists ---- */

static bool
matches(struct json_object *item, const struct webhook_form *query)
{
	static const char *const filters[][2] = {{"To", "to"}, {"From", "from"}, {"Status", "status"}};

	for (size_t i = 0; i < 3; i++)
	{
		const char *wanted = webhook_value(query, filters[i][0]);

		if (wanted[0] != '\0' && strcmp(wanted, json_text_member(item, filters[i][1])) != 0)
			return false;
	}
	return true;
}

/* Takes the items (newest first) over, and answers with the page that is asked for. */
static void
answer_list(struct question *q, const char *name, struct json_object *all)
{
	struct json_object *o = json_object_new_object(), *page = json_object_new_array();
	unsigned long size = strtoul(webhook_value(&q->form, "PageSize"), NULL, 10);
	unsigned long number = strtoul(webhook_value(&q->form, "Page"), NULL, 10);
	unsigned long seen = 0;
	bool more = false;
	char uri[600];

	size = size > 0 && size <= 1000 ? size : TWILIO_PAGE;
	for (size_t i = 0; i < json_object_array_length(all); i++)
	{
		struct json_object *item = json_object_array_get_idx(all, i);

		if (!matches(item, &q->form))
			continue;
		if (seen / size == number)
			json_object_array_add(page, json_object_get(item));
		more = seen / size > number;
		seen++;
	}
	json_object_object_add(o, name, page);
	json_put_int(o, "page", (long long) number);
	json_put_int(o, "page_size", (long long) size);
	snprintf(uri, sizeof(uri), VERSION "%s/%s?PageSize=%lu&Page=%lu", q->account, q->rest, size,
			 number + 1);
	for (size_t i = 0; i < 2; i++)
	{
		const char *filter = i == 0 ? "To" : "From";
		const char *value = webhook_value(&q->form, filter);
		struct webhook_form one = {0};
		char *coded;

		if (value[0] == '\0')
			continue;
		webhook_add(&one, filter, value);
		coded = webhook_encode(&one);
		snprintf(uri + strlen(uri), sizeof(uri) - strlen(uri), "&%s", coded);
		free(coded);
		webhook_form_free(&one);
	}
	json_object_object_add(o, "next_page_uri", more ? json_object_new_string(uri) : NULL);
	json_object_put(all);
	stand_in_answer_json(q->ex, 200, o);
}

/* ---- resources ---- */

static void
create_call(struct question *q)
{
	struct twilio_line *line;

	if (twilio_refused(q->api, q->ex, &q->form, true))
		return;
	if (webhook_value(&q->form, "Url")[0] == '\0')
	{
		twilio_error(q->ex, 400, 21205, "Url parameter is required.");
		return;
	}
	line = twilio_line_new(q->api, q->account, &q->form);
	line->duplicate = stand_in_flag(q->ex, "duplicate_callbacks");
	stand_in_answer_json(q->ex, 201, twilio_line_json(line));
}

static void
change_call(struct question *q, struct twilio_line *line)
{
	const char *status = webhook_value(&q->form, "Status");
	const char *twiml = webhook_value(&q->form, "Twiml");
	const char *url = webhook_value(&q->form, "Url");
	struct json_object *note;

	if (line->stage == LINE_OVER)
	{
		twilio_error(q->ex, 400, 21220, "Call is not in-progress. Cannot redirect.");
		return;
	}
	note = ledger_line(q->api->host->ledger, line->sid, "call_changed");
	json_put_text(note, "status", status);
	json_put_text(note, "twiml", twiml);
	ledger_write(q->api->host->ledger, note);
	if (status[0] != '\0')
		twilio_line_end(line, "the API has ended the call");
	else if (line->caller != NULL && strcmp(line->status, "in-progress") == 0 &&
			 (twiml[0] != '\0' || url[0] != '\0'))
	{
		if (line->room != NULL)
			twilio_room_left(line);
		caller_replace(line->caller, twiml[0] != '\0' ? twiml : NULL, url);
	}
	stand_in_answer_json(q->ex, 200, twilio_line_json(line));
}

static void
on_calls(struct question *q)
{
	if (strcmp(q->request->method, "POST") == 0)
		create_call(q);
	else
	{
		struct json_object *all = json_object_new_array();

		for (struct twilio_line *line = q->api->lines; line != NULL; line = line->next)
			json_object_array_add(all, twilio_line_json(line));
		answer_list(q, "calls", all);
	}
}

static void
on_call(struct question *q, const char *sid)
{
	struct twilio_line *line = twilio_line_find(q->api, sid);

	if (line == NULL)
		twilio_error(q->ex, 404, 20404, "The requested resource was not found");
	else if (strcmp(q->request->method, "POST") == 0)
		change_call(q, line);
	else
		stand_in_answer_json(q->ex, 200, twilio_line_json(line));
}

static void
on_messages(struct question *q)
{
	struct twilio_message *m;
	struct json_object *all;

	if (strcmp(q->request->method, "POST") != 0)
	{
		all = json_object_new_array();
		for (m = q->api->messages; m != NULL; m = m->next)
			json_object_array_add(all, twilio_message_json(m));
		answer_list(q, "messages", all);
		return;
	}
	if (twilio_refused(q->api, q->ex, &q->form, false))
		return;
	if (webhook_value(&q->form, "From")[0] == '\0' &&
		webhook_value(&q->form, "MessagingServiceSid")[0] == '\0')
		twilio_error(q->ex, 400, 21603, "A 'From' phone number is required.");
	else if (webhook_value(&q->form, "Body")[0] == '\0' &&
			 webhook_value(&q->form, "MediaUrl")[0] == '\0' &&
			 webhook_value(&q->form, "ContentSid")[0] == '\0')
		twilio_error(q->ex, 400, 21602, "Message body is required.");
	else if (strlen(webhook_value(&q->form, "Body")) > 4 * 1600)
		twilio_error(q->ex, 400, 21617, "The message body exceeds the 1600 character limit.");
	else
	{
		m = twilio_message_new(q->api, q->account, &q->form);
		m->duplicate = stand_in_flag(q->ex, "duplicate_callbacks");
		m->reorder = stand_in_flag(q->ex, "reorder_callbacks");
		stand_in_answer_json(q->ex, 201, twilio_message_json(m));
	}
}

static void
on_participants(struct question *q, const char *room)
{
	bool coaches = strcmp(webhook_value(&q->form, "Coaching"), "true") == 0;
	struct twilio_room *there = twilio_room_find(q->api, room);
	struct twilio_line *guest;

	if (strcmp(q->request->method, "POST") != 0)
		twilio_error(q->ex, 404, 20404, "The requested resource was not found");
	else if (coaches &&
			 (there == NULL ||
			  twilio_room_member(there, webhook_value(&q->form, "CallSidToCoach")) == NULL))
		twilio_error(q->ex, 400, 20001, "Nobody with this CallSidToCoach is in the conference");
	else if (!twilio_refused(q->api, q->ex, &q->form, true))
	{
		guest = twilio_room_call(q->api, q->account, room, &q->form);
		stand_in_answer_json(q->ex, 201, twilio_guest_json(guest));
	}
}

/* "CF1/caller": whom to mute or to hold. The conference by its SID alone, the participant by label too. */
static void
on_participant(struct question *q, const char *path)
{
	char sid[40];
	const char *slash = strstr(path, "/Participants/");
	struct twilio_room *room;
	struct twilio_line *member = NULL;

	snprintf(sid, sizeof(sid), "%.*s", (int) (slash - path), path);
	room = strncmp(sid, "CF", 2) == 0 ? twilio_room_find(q->api, sid) : NULL;
	if (room != NULL)
	{
		char name[120];

		snprintf(name, sizeof(name), "%s", slash + strlen("/Participants/"));
		name[strcspn(name, ".")] = '\0';
		member = twilio_room_member(room, name);
	}
	if (member == NULL || strcmp(q->request->method, "POST") != 0)
		twilio_error(q->ex, 404, 20404, "The requested resource was not found");
	else if (!twilio_member_update(member, &q->form))
		twilio_error(q->ex, 400, 21205, "HoldUrl is not a valid URL");
	else
		stand_in_answer_json(q->ex, 200, twilio_guest_json(member));
}

static void
on_conference(struct question *q, const char *name)
{
	struct twilio_room *room = twilio_room_find(q->api, name);
	bool end = strcmp(webhook_value(&q->form, "Status"), "completed") == 0;
	struct json_object *answer;

	if (room == NULL)
	{
		twilio_error(q->ex, 404, 20404, "The requested resource was not found");
		return;
	}
	if (strcmp(q->request->method, "POST") == 0 && end)
		twilio_room_end(room, "the API has ended the conference");
	answer = twilio_room_json(room);
	stand_in_answer_json(q->ex, 200, answer);
}

/* A second of silence: RIFF, 8000 Hz, mu-law. */
static void
answer_wav(struct question *q)
{
	unsigned char wav[58 + 8000];
	static const unsigned char head[58] = {
		'R', 'I',  'F',	 'F', 0x72, 0x1f, 0,   0,	'W', 'A',  'V',	 'E', 'f', 'm',	 't',
		' ', 18,   0,	 0,	  0,	7,	  0,   1,	0,	 0x40, 0x1f, 0,	  0,   0x40, 0x1f,
		0,	 0,	   1,	 0,	  8,	0,	  0,   0,	'f', 'a',  'c',	 't', 4,   0,	 0,
		0,	 0x40, 0x1f, 0,	  0,	'd',  'a', 't', 'a', 0x40, 0x1f, 0,	  0};

	memcpy(wav, head, sizeof(head));
	memset(wav + sizeof(head), 0xFF, sizeof(wav) - sizeof(head));
	stand_in_answer(q->ex, 200, "audio/x-wav", (const char *) wav, sizeof(wav), NULL);
}

static void
on_recording(struct question *q, const char *sid)
{
	struct twilio_line *line = q->api->lines;

	while (line != NULL && strcmp(line->recording, sid) != 0)
		line = line->next;
	if (line == NULL)
		twilio_error(q->ex, 404, 20404, "The requested resource was not found");
	else if (strcmp(q->request->method, "DELETE") == 0)
	{
		ledger_note(q->api->host->ledger, sid, "recording_deleted", NULL, NULL);
		line->recording[0] = '\0';
		stand_in_answer(q->ex, 204, NULL, "", 0, NULL);
	}
	else
		answer_wav(q);
}

/* ---- requests ---- */

/* "Calls/CA1.json" matches "Calls/" and gives "CA1"; without tail the path must end there. */
static bool
is_resource(const char *rest, const char *head, const char *tail, char name[120])
{
	size_t len = strlen(rest), before = strlen(head), after = strlen(tail);

	if (len <= before + after || len - before - after >= 120 || strncmp(rest, head, before) != 0 ||
		strcmp(rest + len - after, tail) != 0)
		return false;
	snprintf(name, 120, "%.*s", (int) (len - before - after), rest + before);
	return strchr(name, '/') == NULL;
}

static void
route(struct question *q)
{
	char name[120];

	if (strcmp(q->rest, "Calls.json") == 0)
		on_calls(q);
	else if (strcmp(q->rest, "Messages.json") == 0)
		on_messages(q);
	else if (is_resource(q->rest, "Calls/", ".json", name))
		on_call(q, name);
	else if (is_resource(q->rest, "Conferences/", "/Participants.json", name))
		on_participants(q, name);
	else if (strncmp(q->rest, "Conferences/", 12) == 0 &&
			 strstr(q->rest + 12, "/Participants/") != NULL)
		on_participant(q, q->rest + 12);
	else if (is_resource(q->rest, "Conferences/", ".json", name))
		on_conference(q, name);
	else if (is_resource(q->rest, "Recordings/", ".json", name) ||
			 is_resource(q->rest, "Recordings/", ".wav", name) ||
			 is_resource(q->rest, "Recordings/", ".mp3", name) ||
			 is_resource(q->rest, "Recordings/", "", name))
		on_recording(q, name);
	else
		twilio_error(q->ex, 404, 20404, "The requested resource was not found");
}

static void
on_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	struct question q = {.api = self, .ex = ex, .request = request};
	const char *path = request->path;
	bool get = strcmp(request->method, "GET") == 0;
	size_t account;

	if (strcmp(path, "/sandbox/numbers") == 0)
	{
		set_number(self, ex, request);
		return;
	}
	account =
		strncmp(path, VERSION, strlen(VERSION)) == 0 ? strcspn(path + strlen(VERSION), "/") : 0;
	if (account == 0 || account >= sizeof(q.account) ||
		strlen(path + strlen(VERSION) + account) < 2)
	{
		twilio_error(ex, 404, 20404, "The requested resource was not found");
		return;
	}
	snprintf(q.account, sizeof(q.account), "%.*s", (int) account, path + strlen(VERSION));
	snprintf(q.rest, sizeof(q.rest), "%s", path + strlen(VERSION) + account + 1);
	if (!is_allowed(&q))
		twilio_error(ex, 401, 20003, "Authenticate");
	else if (!webhook_decode(get ? request->query : request->body,
							 get ? strlen(request->query) : request->body_len, &q.form))
		twilio_error(ex, 400, 20001, "The form is malformed");
	else
		route(&q);
	webhook_form_free(&q.form);
}

static void
on_clock(uv_timer_t *timer)
{
	struct twilio_api *api = timer->data;
	uint64_t now_us = loop_now_us();

	twilio_lines_tick(api, now_us);
	twilio_messages_tick(api, now_us);
}

static void *
open_api(const struct stand_in_host *host)
{
	struct twilio_api *api = calloc(1, sizeof(*api));
	char dir[4096];

	if (api == NULL)
		abort();
	api->host = host;
	api->speech =
		speech_store_new(scenario_default_speech(dir, sizeof(dir)) ? dir : NULL, "espeak-ng");
	uv_timer_init(loop_uv(host->loop), &api->clock);
	api->clock.data = api;
	uv_timer_start(&api->clock, on_clock, CLOCK_MS, CLOCK_MS);
	return api;
}

/* The program ends after this: what callbacks still hold goes with it. */
static void
close_api(void *self)
{
	struct twilio_api *api = self;

	api->closing = true;
	uv_timer_stop(&api->clock);
}

const struct stand_in twilio_stand_in = {"/twilio", open_api, on_request, close_api};
