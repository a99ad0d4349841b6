/*
 * twilio_messages.c: see twilio_api.h.
 *
 * A message is queued, sent, and then what its number says. Source:
 * twilio.com/docs/messaging/api/message-resource,
 * twilio.com/docs/messaging/guides/track-outbound-message-status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"
#include "sandbox/twilio_api.h"

#define STEP_US 30000

struct twilio_message *
twilio_message_new(struct twilio_api *api, const char *account, struct webhook_form *form)
{
	struct twilio_message *m = calloc(1, sizeof(*m));
	struct json_object *line;

	if (m == NULL)
		abort();
	m->api = api;
	m->form = *form;
	memset(form, 0, sizeof(*form));
	m->number = twilio_number(api, webhook_value(&m->form, "To"));
	codec_random_sid(m->sid, sizeof(m->sid),
					 webhook_value(&m->form, "MediaUrl")[0] != '\0' ? "MM" : "SM");
	snprintf(m->account, sizeof(m->account), "%s", account);
	snprintf(m->status, sizeof(m->status), "%s",
			 webhook_value(&m->form, "MessagingServiceSid")[0] != '\0' ? "accepted" : "queued");
	twilio_now(m->date);
	m->due_us = loop_now_us() + STEP_US;
	m->next = api->messages;
	api->messages = m;
	line = ledger_line(api->host->ledger, m->sid, "message_created");
	json_put_text(line, "to", webhook_value(&m->form, "To"));
	json_put_text(line, "from", webhook_value(&m->form, "From"));
	json_put_text(line, "body", webhook_value(&m->form, "Body"));
	json_put_text(line, "content_sid", webhook_value(&m->form, "ContentSid"));
	json_put_text(line, "callback", webhook_value(&m->form, "StatusCallback"));
	ledger_write(api->host->ledger, line);
	return m;
}

struct json_object *
twilio_message_json(const struct twilio_message *m)
{
	struct json_object *o = json_object_new_object();
	bool bad = strcmp(m->status, "failed") == 0 || strcmp(m->status, "undelivered") == 0;
	char uri[200];

	json_put_text(o, "sid", m->sid);
	json_put_text(o, "account_sid", m->account);
	json_put_text(o, "status", m->status);
	json_put_text(o, "direction", "outbound-api");
	json_put_text(o, "to", webhook_value(&m->form, "To"));
	json_put_text(o, "from", webhook_value(&m->form, "From"));
	json_put_text(o, "body", webhook_value(&m->form, "Body"));
	json_put_text(o, "num_segments", "1");
	json_put_text(o, "date_created", m->date);
	json_object_object_add(o, "date_sent", m->step == 0 ? NULL : json_object_new_string(m->date));
	json_object_object_add(o, "error_code", bad ? json_object_new_int(m->number->code) : NULL);
	json_object_object_add(o, "error_message", NULL);
	snprintf(uri, sizeof(uri), "/2010-04-01/Accounts/%s/Messages/%s.json", m->account, m->sid);
	json_put_text(o, "uri", uri);
	return o;
}

static void
tell(struct twilio_message *m, const char *status)
{
	const char *callback = webhook_value(&m->form, "StatusCallback");
	bool bad = strcmp(status, "failed") == 0 || strcmp(status, "undelivered") == 0;

	for (unsigned i = 0; i < (m->duplicate ? 2U : 1U); i++)
	{
		struct webhook_form form = {0};

		webhook_add(&form, "MessageSid", m->sid);
		webhook_add(&form, "SmsSid", m->sid);
		webhook_add(&form, "MessageStatus", status);
		webhook_add(&form, "SmsStatus", status);
		webhook_add(&form, "AccountSid", m->account);
		webhook_add(&form, "From", webhook_value(&m->form, "From"));
		webhook_add(&form, "To", webhook_value(&m->form, "To"));
		webhook_add(&form, "ApiVersion", "2010-04-01");
		if (bad)
			webhook_add_number(&form, "ErrorCode", m->number->code);
		twilio_post(m->api, callback, &form);
	}
}

/* The statuses that a message goes through after it was queued; "" ends them. */
static const char *
status_at(const struct twilio_message *m, unsigned step)
{
	const char *delivers = m->number->delivers[0] != '\0' ? m->number->delivers : "delivered";
	bool read = strcmp(delivers, "read") == 0;

	if (strcmp(delivers, "nothing") == 0 || (step > 0 && strcmp(delivers, "sent") == 0))
		return "";
	switch (step)
	{
		case 0: return "sent";
		case 1: return read ? "delivered" : delivers;
		case 2: return read ? "read" : "";
		default: return "";
	}
}

static void
advance(struct twilio_message *m, uint64_t now_us)
{
	unsigned steps = 0;

	while (status_at(m, steps)[0] != '\0')
		steps++;
	if (m->step >= steps)
	{
		m->due_us = 0;
		return;
	}
	tell(m, status_at(m, m->reorder ? steps - 1 - m->step : m->step));
	snprintf(m->status, sizeof(m->status), "%s", status_at(m, m->step));
	m->step++;
	m->due_us = now_us + STEP_US;
}

void
twilio_messages_tick(struct twilio_api *api, uint64_t now_us)
{
	for (struct twilio_message *m = api->messages; m != NULL; m = m->next)
		if (m->due_us != 0 && now_us >= m->due_us)
			advance(m, now_us);
}
