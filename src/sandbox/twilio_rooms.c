/*
 * twilio_rooms.c: see twilio_api.h.
 *
 * A conference has one call that entered by <Dial><Conference>, one person who was called into it,
 * and one who coaches: more the product does not ask for. Source: twilio.com/docs/voice/api/conference-participant-
 * resource, twilio.com/docs/voice/twiml/conference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"
#include "sandbox/twilio_api.h"

struct twilio_room *
twilio_room_find(struct twilio_api *api, const char *name_or_sid)
{
	for (struct twilio_room *r = api->rooms; r != NULL; r = r->next)
		if (!r->over && (strcmp(r->name, name_or_sid) == 0 || strcmp(r->sid, name_or_sid) == 0))
			return r;
	return NULL;
}

static struct twilio_room *
room_for(struct twilio_api *api, const char *account, const char *name)
{
	struct twilio_room *r = twilio_room_find(api, name);

	if (r != NULL)
		return r;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	codec_random_sid(r->sid, sizeof(r->sid), "CF");
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->account, sizeof(r->account), "%s", account);
	r->next = api->rooms;
	api->rooms = r;
	return r;
}

static void
tell(struct twilio_api *api, struct twilio_room *r, const char *event, const char *call_sid)
{
	struct webhook_form form = {0};
	char now[64];

	twilio_now(now);
	webhook_add(&form, "ConferenceSid", r->sid);
	webhook_add(&form, "FriendlyName", r->name);
	webhook_add(&form, "AccountSid", r->account);
	webhook_add(&form, "Timestamp", now);
	webhook_add_number(&form, "SequenceNumber", ++r->sequence);
	webhook_add(&form, "StatusCallbackEvent", event);
	if (call_sid != NULL)
		webhook_add(&form, "CallSid", call_sid);
	twilio_post(api, r->callback, &form);
}

/* Both are there: they can talk. */
static void
begin(struct twilio_api *api, struct twilio_room *r)
{
	if (r->host == NULL || r->guest == NULL || r->guest->stage != LINE_TALKING)
		return;
	tell(api, r, "conference-start", NULL);
	ledger_note(api->host->ledger, r->sid, "conference_started", "room", r->name);
}

void
twilio_room_entered(struct caller *c, const struct twiml_node *conference)
{
	struct twilio_line *line = c->cmd->owner;
	struct twilio_room *r = room_for(line->api, line->account, conference->text);

	r->host = line;
	snprintf(r->host_label, sizeof(r->host_label), "%s",
			 twiml_attr(conference, "participantLabel", ""));
	line->room = r;
	snprintf(r->callback, sizeof(r->callback), "%s", twiml_attr(conference, "statusCallback", ""));
	tell(line->api, r, "participant-join", line->sid);
	begin(line->api, r);
}

struct json_object *
twilio_room_json(const struct twilio_room *r)
{
	struct json_object *o = json_object_new_object();

	json_put_text(o, "sid", r->sid);
	json_put_text(o, "friendly_name", r->name);
	json_put_text(o, "account_sid", r->account);
	json_put_text(o, "status",
				  r->over				? "completed"
				  : r->host && r->guest ? "in-progress"
										: "init");
	return o;
}

struct json_object *
twilio_guest_json(const struct twilio_line *guest)
{
	struct json_object *o = json_object_new_object();

	json_put_text(o, "call_sid", guest->sid);
	json_put_text(o, "conference_sid", guest->room->sid);
	json_put_text(o, "account_sid", guest->account);
	json_put_text(o, "label", webhook_value(&guest->form, "Label"));
	json_put_text(o, "status",
				  guest->stage == LINE_TALKING ? "connected"
				  : guest->stage == LINE_OVER  ? "complete"
											   : "queued");
	json_put_bool(o, "muted", guest->muted);
	json_put_bool(o, "hold", guest->held);
	json_put_bool(o, "coaching", guest == guest->room->coach);
	json_put_text(o, "call_sid_to_coach", webhook_value(&guest->form, "CallSidToCoach"));
	return o;
}

struct twilio_line *
twilio_room_member(const struct twilio_room *r, const char *name)
{
	struct twilio_line *members[] = {r->host, r->guest, r->coach};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		struct twilio_line *m = members[i];
		const char *label;

		if (m == NULL || m->stage == LINE_OVER)
			continue;
		label = m == r->host ? r->host_label : webhook_value(&m->form, "Label");
		if (strcmp(m->sid, name) == 0 || (label[0] != '\0' && strcmp(label, name) == 0))
			return m;
	}
	return NULL;
}

bool
twilio_member_update(struct twilio_line *m, const struct webhook_form *form)
{
	const char *muted = webhook_value(form, "Muted"), *held = webhook_value(form, "Hold");
	const char *url = webhook_value(form, "HoldUrl");
	struct json_object *line;

	if (url[0] != '\0' && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return false;
	/* Whatever is not "true" means no. */
	if (muted[0] != '\0')
		m->muted = strcmp(muted, "true") == 0;
	if (held[0] != '\0')
		m->held = strcmp(held, "true") == 0;
	line = ledger_line(m->api->host->ledger, m->sid, "participant_updated");
	json_put_bool(line, "muted", m->muted);
	json_put_bool(line, "hold", m->held);
	json_put_text(line, "hold_url", url);
	ledger_write(m->api->host->ledger, line);
	return true;
}

struct twilio_line *
twilio_room_call(struct twilio_api *api, const char *account, const char *name,
				 struct webhook_form *form)
{
	struct twilio_room *r = room_for(api, account, name);
	struct twilio_line *guest = twilio_line_new(api, account, form);

	guest->room = r;
	if (strcmp(webhook_value(&guest->form, "Coaching"), "true") == 0)
		r->coach = guest;
	else
		r->guest = guest;
	return guest;
}

void
twilio_room_joined(struct twilio_line *guest)
{
	tell(guest->api, guest->room, "participant-join", guest->sid);
	begin(guest->api, guest->room);
}

void
twilio_room_end(struct twilio_room *r, const char *why)
{
	struct twilio_line *host = r->host, *guest = r->guest, *coach = r->coach;

	if (r->over)
		return;
	r->over = true;
	if (host != NULL)
		tell(host->api, r, "conference-end", NULL);
	r->host = r->guest = r->coach = NULL;
	if (coach != NULL)
	{
		coach->room = NULL;
		if (coach->stage != LINE_OVER)
			twilio_line_end(coach, why);
	}
	if (guest != NULL)
		guest->room = NULL;
	if (host != NULL)
		host->room = NULL;
	if (guest != NULL && guest->stage != LINE_OVER)
		twilio_line_end(guest, why);
	if (host != NULL && host->caller != NULL)
		caller_leave_conference(host->caller);
}

void
twilio_room_left(struct twilio_line *line)
{
	struct twilio_room *r = line->room;
	bool ends =
		line->answered_us != 0 &&
		(line == r->host || strcmp(webhook_value(&line->form, "EndConferenceOnExit"), "true") == 0);

	if (r->host != NULL)
		tell(line->api, r, "participant-leave", line->sid);
	if (r->guest == line)
		r->guest = NULL;
	if (r->coach == line)
		r->coach = NULL;
	if (r->host == line)
		r->host = NULL;
	line->room = NULL;
	if (ends)
		twilio_room_end(r, "the conference is over");
}
