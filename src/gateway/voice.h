/*
 * voice.h: the voice webhooks, once their signature was found right.
 */
#ifndef VA_GATEWAY_VOICE_H
#define VA_GATEWAY_VOICE_H

#include "gateway/gateway.h"
#include "gateway/sql.h"
#include "net/http_server.h"

/* What Twilio does with our answer, and so what we say when the database has none. */
enum voice_kind
{
	VOICE_CALLBACK, /* the body is ignored: 503 */
	VOICE_TWIML /* the caller is on the line: words, never silence */
};

struct voice_request
{
	struct http_exchange *exchange;
	enum sql_id sql;
	enum voice_kind kind;
	const char *account_sid;
	const char *call_sid;
	const char *params; /* JSON object of strings */
	const char *idempotency; /* "" for none */
	uint64_t received_us;
};

/* Asks the database and answers, now or later. All texts are copied. */
void voice_request(struct gateway *g, const struct voice_request *request);

#endif
