/*
 * voice.c: one webhook is one query, its answer is the response.
 *
 * The database decides what happens to the call and writes the TwiML. When a session comes back,
 * the voice engine is prepared in the same moment: that hides most of its set-up time behind
 * Twilio's. When the database cannot answer in time, a caller hears an apology. Twilio itself gives
 * up after 15 s, so the query has eight.
 */
#include "gateway/voice.h"

#include <stdlib.h>
#include <string.h>

#include "core/twilio_stream.h"
#include "core/twiml.h"
#include "gateway/call.h"
#include "net/db.h"
#include "net/log.h"
#include "net/loop.h"

#define TIMEOUT_MS 8000
#define APOLOGY "We are sorry, we cannot take your call at the moment. Please call again later."
#define APOLOGY_SIZE 8192
#define TWIML_TYPE "text/xml; charset=utf-8"

struct job
{
	struct gateway *gateway;
	struct http_exchange *exchange;
	enum voice_kind kind;
	uint64_t received_us;
	char call_sid[TWILIO_SID_SIZE];
	char account_sid[TWILIO_SID_SIZE];
};

/* words NULL: the caller is turned away with the busy signal, unanswered and free of charge. */
static void
answer_twiml(struct http_exchange *exchange, const char *words)
{
	char data[APOLOGY_SIZE];
	struct twiml twiml;
	struct buf out;

	buf_init(&out, data, sizeof(data));
	twiml_begin(&twiml, &out);
	if (words == NULL)
	{
		twiml_open(&twiml, "Reject");
		twiml_attribute(&twiml, "reason", "busy");
		twiml_close(&twiml);
	}
	else
	{
		twiml_open(&twiml, "Say");
		twiml_text(&twiml, words);
		twiml_close(&twiml);
		twiml_open(&twiml, "Hangup");
		twiml_close(&twiml);
	}
	if (twiml_end(&twiml))
		http_answer(exchange, 200, TWIML_TYPE, out.data, out.len, NULL);
	else if (words != NULL && strcmp(words, APOLOGY) != 0)
		answer_twiml(exchange, APOLOGY);
	else
		http_answer(exchange, 500, "text/plain", "", 0, NULL);
}

static void
answer_failure(struct job *job, const char *detail)
{
	struct log_context ctx = {
		.detail = detail,
		.hint = "Look for errors of voiceagent functions in the server's log, and at its load.",
	};
	const char *apology = call_apology(job->gateway, job->call_sid);

	job->gateway->counters.webhooks_failed++;
	log_write(LOG_LEVEL_ERROR, &ctx, "the database did not answer a webhook");
	if (job->kind == VOICE_TWIML)
		answer_twiml(job->exchange, apology != NULL && apology[0] != '\0' ? apology : APOLOGY);
	else
		http_answer(job->exchange, 503, "text/plain", "", 0, NULL);
}

static void
answer_row(struct job *job, const PGresult *result)
{
	int status = (int) strtol(PQgetvalue(result, 0, 0), NULL, 10);
	const char *body = PQgetisnull(result, 0, 1) ? NULL : PQgetvalue(result, 0, 1);

	if (status < 100 || status > 599)
	{
		answer_failure(job, "the function returned no HTTP status");
		return;
	}
	/* What the function refused it has counted. */
	if (body == NULL)
		http_answer(job->exchange, status == 200 ? 204 : status, NULL, "", 0, NULL);
	else
		http_answer(job->exchange, status, TWIML_TYPE, body, (size_t) PQgetlength(result, 0, 1),
					NULL);
	if (!PQgetisnull(result, 0, 4))
		call_prepare(job->gateway, PQgetvalue(result, 0, 4), (size_t) PQgetlength(result, 0, 4),
					 job->call_sid, job->account_sid, job->received_us);
}

static void
answered(void *arg, const struct db_reply *reply)
{
	struct job *job = arg;

	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1)
		answer_row(job, reply->result);
	else
		answer_failure(job, reply->outcome == DB_TIMEOUT ? "no answer in time"
							: reply->outcome == DB_FULL	 ? "the queue of queries is full"
							: reply->outcome == DB_OK	 ? "no row"
														 : reply->message);
	free(job);
}

static bool
copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

void
voice_request(struct gateway *g, const struct voice_request *request)
{
	struct job *job = calloc(1, sizeof(*job));
	bool over = request->sql == SQL_WEBHOOK_AFTER_STREAM;
	const char *idempotency = request->idempotency[0] != '\0' ? request->idempotency : NULL;
	char *params = NULL;
	const char *values[] = {request->account_sid, request->params, idempotency, g->name};

	g->counters.webhooks++;
	if (job == NULL || !copy_text(job->call_sid, sizeof(job->call_sid), request->call_sid) ||
		!copy_text(job->account_sid, sizeof(job->account_sid), request->account_sid))
	{
		free(job);
		gateway_reject(g, REJECT_MALFORMED);
		http_answer(request->exchange, 400, "text/plain", "", 0, NULL);
		return;
	}
	if (request->sql == SQL_WEBHOOK_ANSWER &&
		(g->stopping || g->call_count >= g->settings.max_calls))
	{
		free(job);
		gateway_reject(g, REJECT_BUSY);
		answer_twiml(request->exchange, NULL);
		return;
	}
	job->gateway = g;
	job->exchange = request->exchange;
	job->kind = request->kind;
	job->received_us = request->received_us;
	/* What the call has to say goes first, on the same connection, and is carried out in that order.
	 * Why it ended we say ourselves as well: ended.h tells when that matters. */
	call_sync(g, job->call_sid, over);
	if (over && ended_reason(&g->ended, job->call_sid) != NULL)
		params = ended_params(request->params, ended_reason(&g->ended, job->call_sid));
	if (params != NULL)
		values[1] = params;
	db_request(g->db, db_affinity(job->call_sid), g->sql.texts[request->sql], 4, values, TIMEOUT_MS,
			   answered, job);
	free(params);
}
