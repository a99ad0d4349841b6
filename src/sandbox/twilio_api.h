/*
 * twilio_api.h: the stand-in for Twilio's REST API.
 *
 *	 twilio_api.c	    requests: credentials, which resource, answers, lists, errors
 *	 twilio_lines.c	    calls and what their numbers do: ring, answer, be busy, be a machine
 *	 twilio_rooms.c	    conferences and the people who are called into them
 *	 twilio_messages.c  messages and what becomes of them
 *	 twilio_callbacks.c signed requests to the product that belong to no call of a caller
 *
 * What a number does can be set while it runs, POST {prefix}/sandbox/numbers:
 *	 {"number": "+15551230009", "answers": "human", "scenario": "house-buyer", "ring_ms": 100,
 *	  "talk_ms": 1000, "amd_ms": 300, "delivers": "delivered", "code": 30003}
 * answers: human (follows the scenario), quick (picks up, listens to nothing, leaves after talk_ms),
 * machine, busy, no-answer, failed; delivers: sent, delivered, read, undelivered, failed, or nothing.
 * "status": 400 with a code refuses at once. Some numbers are as Twilio's test credentials have
 * them (twilio.com/docs/iam/test-credentials): +15005550001 is no number, and so on.
 */
#ifndef VA_SANDBOX_TWILIO_API_H
#define VA_SANDBOX_TWILIO_API_H

#include <uv.h>

#include "sandbox/caller.h"
#include "sandbox/providers.h"
#include "sandbox/webhook.h"

#define TWILIO_PAGE 50

struct twilio_api;

/* What is known about a number; zeroed members: the default. */
struct twilio_number
{
	struct twilio_number *next;
	char number[40]; /* without "whatsapp:" */
	char answers[16];
	char scenario[80];
	char delivers[16];
	unsigned ring_ms, talk_ms, amd_ms;
	int code, status;
};

enum line_stage
{
	LINE_QUEUED,
	LINE_RINGING,
	LINE_TALKING,
	LINE_OVER
};

/* A call: of a caller of ours (`caller`), or the leg of a person in a conference (`room`). */
struct twilio_line
{
	struct twilio_line *next;
	struct twilio_api *api;
	struct webhook_form form; /* of its creation */
	char sid[40], account[40], status[24];
	char date[64];
	enum line_stage stage;
	uint64_t due_us; /* the next thing happens then */
	uint64_t amd_us; /* the verdict on who has answered; 0 = none to come */
	uint64_t answered_us;
	unsigned duration_s;
	unsigned sequence;
	const struct twilio_number *number;
	struct caller_command command;
	struct caller *caller;
	struct twilio_room *room;
	bool duplicate; /* callbacks come twice */
	bool muted, held; /* in its conference */
	char recording[40];
};

struct twilio_room
{
	struct twilio_room *next;
	char sid[40], name[120], account[40];
	struct twilio_line *host; /* the call that entered */
	char callback[CALLER_URL];
	char host_label[120];
	struct twilio_line *guest;
	struct twilio_line *coach; /* hears both, heard by whom it coaches */
	unsigned sequence;
	bool over;
};

struct twilio_message
{
	struct twilio_message *next;
	struct twilio_api *api;
	struct webhook_form form;
	char sid[40], account[40], status[24], date[64];
	const struct twilio_number *number;
	uint64_t due_us;
	unsigned step;
	bool duplicate, reorder;
};

struct twilio_api
{
	const struct stand_in_host *host;
	char account[40],
		token[80]; /* of the last request by an account's own token: signs callbacks */
	struct speech_store *speech;
	struct twilio_number *numbers;
	struct twilio_line *lines;
	struct twilio_message *messages;
	struct twilio_room *rooms;
	uv_timer_t clock;
	unsigned under_way; /* callbacks */
	bool closing;
};

/* twilio_api.c */
void twilio_error(struct stand_in_exchange *ex, int status, int code, const char *message);
const struct twilio_number *twilio_number(struct twilio_api *api, const char *number);
/* Refuses what the numbers are refused for; true when it has answered. */
bool twilio_refused(struct twilio_api *api, struct stand_in_exchange *ex,
					const struct webhook_form *form, bool call);
void twilio_now(char out[64]);

/* twilio_lines.c */
struct twilio_line *twilio_line_new(struct twilio_api *api, const char *account,
									struct webhook_form *form);
struct twilio_line *twilio_line_find(struct twilio_api *api, const char *sid);
struct json_object *twilio_line_json(const struct twilio_line *line);
/* A live call is ended, or does something else. */
void twilio_line_end(struct twilio_line *line, const char *why);
void twilio_line_status(struct twilio_line *line, const char *status);
void twilio_lines_tick(struct twilio_api *api, uint64_t now_us);
void twilio_line_free(struct twilio_line *line);

/* twilio_rooms.c */
void twilio_room_entered(struct caller *c, const struct twiml_node *conference);
struct twilio_room *twilio_room_find(struct twilio_api *api, const char *name_or_sid);
struct json_object *twilio_room_json(const struct twilio_room *room);
struct json_object *twilio_guest_json(const struct twilio_line *guest);
/* Calls a person into the room, which is made when there is none. */
struct twilio_line *twilio_room_call(struct twilio_api *api, const char *account, const char *name,
									 struct webhook_form *form);
/* Who is in the room under this SID or label; NULL: nobody. */
struct twilio_line *twilio_room_member(const struct twilio_room *room, const char *name);
/* Mutes, holds or lets go, as a participant's update says. False: it contradicts itself. */
bool twilio_member_update(struct twilio_line *member, const struct webhook_form *form);
void twilio_room_joined(struct twilio_line *guest);
/* A call is over: so may be the room it was in. */
void twilio_room_left(struct twilio_line *line);
void twilio_room_end(struct twilio_room *room, const char *why);

/* twilio_messages.c */
struct twilio_message *twilio_message_new(struct twilio_api *api, const char *account,
										  struct webhook_form *form);
struct json_object *twilio_message_json(const struct twilio_message *message);
void twilio_messages_tick(struct twilio_api *api, uint64_t now_us);

/* twilio_callbacks.c: posts form (taken over), signed, and forgets it. Not when url is "". */
void twilio_post(struct twilio_api *api, const char *url, struct webhook_form *form);

#endif
