/*
 * journal.c: see journal.h.
 *
 * Numbers are given when a batch is built, not when an event is added: a partial that was replaced
 * or dropped then leaves no gap. A batch that the server refuses is lost and counted, since it would
 * be refused again; a batch that found the queue of the database full is built again later.
 */
#include "gateway/journal.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/gateway.h"
#include "gateway/text.h"
#include "net/db.h"
#include "net/loop.h"

#define BATCH_MAX_BYTES (128 * 1024)
#define RETRY_US 500000

struct entry
{
	struct entry *next;
	int64_t at;
	const char *kind; /* constant text */
	size_t len;
	char data[];
};

struct journal
{
	struct gateway *gateway;
	uint64_t affinity;
	uint64_t call_id;
	journal_answered answered;
	char call_uuid[40];
	char stream_sid[64];
	struct entry *first;
	struct entry **last;
	struct entry *partials[2]; /* by role */
	size_t bytes;
	uint64_t next_seq;
	uint64_t partial_after_us; /* partials wait until then */
	uint64_t retry_after_us;
	unsigned in_flight;
	unsigned lost;
	bool closed;
	struct journal *next_closed; /* the gateway's list of those still to be emptied */
};

struct batch
{
	struct journal *journal;
	struct entry *first; /* kept until the answer, for the case that the queue was full */
	struct entry *end;
	uint64_t first_seq;
	unsigned count;
	unsigned attempts;
};

struct journal *
journal_new(struct gateway *gateway, const char *call_sid, uint64_t call_id,
			journal_answered answered)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->gateway = gateway;
	j->affinity = db_affinity(call_sid);
	j->call_id = call_id;
	j->answered = answered;
	j->last = &j->first;
	j->next_seq = 1;
	return j;
}

void
journal_set_source(struct journal *j, const char *call_uuid, const char *stream_sid)
{
	if (strlen(call_uuid) < sizeof(j->call_uuid) && strlen(stream_sid) < sizeof(j->stream_sid))
	{
		memcpy(j->call_uuid, call_uuid, strlen(call_uuid) + 1);
		memcpy(j->stream_sid, stream_sid, strlen(stream_sid) + 1);
	}
}

static struct entry *
entry_new(struct journal *j, int64_t at, const char *kind, const char *data)
{
	size_t len = strlen(data);
	struct entry *entry = NULL;

	if (j->bytes + len > JOURNAL_MAX_BYTES)
	{
		journal_drop_partial(j, ENGINE_ROLE_USER);
		journal_drop_partial(j, ENGINE_ROLE_AGENT);
	}
	if (j->bytes + len <= JOURNAL_MAX_BYTES)
		entry = malloc(sizeof(*entry) + len + 1);
	if (entry == NULL)
	{
		j->lost++;
		j->gateway->counters.events_lost++;
		return NULL;
	}
	entry->next = NULL;
	entry->at = at;
	entry->kind = kind;
	entry->len = len;
	memcpy(entry->data, data, len + 1);
	j->bytes += len;
	return entry;
}

static void
entry_free(struct journal *j, struct entry *entry)
{
	j->bytes -= entry->len;
	free(entry);
}

void
journal_add(struct journal *j, int64_t at, const char *kind, const char *data)
{
	struct entry *entry = entry_new(j, at, kind, data);

	if (entry == NULL)
		return;
	*j->last = entry;
	j->last = &entry->next;
}

void
journal_drop_partial(struct journal *j, enum engine_role role)
{
	if (j->partials[role] != NULL)
		entry_free(j, j->partials[role]);
	j->partials[role] = NULL;
}

void
journal_partial(struct journal *j, int64_t at, enum engine_role role, const char *data)
{
	journal_drop_partial(j, role);
	j->partials[role] = entry_new(j, at, "partial", data);
}

static void
take_partials(struct journal *j, uint64_t now_us)
{
	if (now_us < j->partial_after_us)
		return;
	for (int role = 0; role < 2; role++)
	{
		if (j->partials[role] == NULL)
			continue;
		*j->last = j->partials[role];
		j->last = &j->partials[role]->next;
		j->partials[role] = NULL;
		j->partial_after_us = now_us + JOURNAL_PARTIAL_US;
	}
}

static void
journal_free(struct journal *j)
{
	journal_drop_partial(j, ENGINE_ROLE_USER);
	journal_drop_partial(j, ENGINE_ROLE_AGENT);
	while (j->first != NULL)
	{
		struct entry *entry = j->first;

		j->first = entry->next;
		entry_free(j, entry);
	}
	for (struct journal **at = &j->gateway->closed_journals; *at != NULL; at = &(*at)->next_closed)
		if (*at == j)
		{
			*at = j->next_closed;
			break;
		}
	free(j);
}

static void
batch_free(struct batch *b)
{
	while (b->first != NULL)
	{
		struct entry *entry = b->first;

		b->first = entry->next;
		entry_free(b->journal, entry);
	}
	free(b);
}

static void
take_answer(struct journal *j, const struct db_reply *reply)
{
	if (reply->outcome == DB_OK && PQntuples(reply->result) == 1 &&
		!PQgetisnull(reply->result, 0, 0) && !j->closed)
		j->answered(j->gateway, j->call_id, PQgetvalue(reply->result, 0, 0));
}

static void
batch_done(void *arg, const struct db_reply *reply)
{
	struct batch *b = arg;
	struct journal *j = b->journal;
	bool again = reply->outcome == DB_FULL || strncmp(reply->sqlstate, "40", 2) == 0;

	take_answer(j, reply); /* while this batch still keeps the journal alive */
	j->in_flight--;
	if (again && !j->gateway->stopped && b->attempts < 600)
	{
		/* Back to the head: what follows was numbered behind it and waits for it. */
		b->end->next = j->first;
		if (j->first == NULL)
			j->last = &b->end->next;
		j->first = b->first;
		if (j->next_seq == b->first_seq + b->count)
			j->next_seq = b->first_seq;
		b->first = NULL;
		j->retry_after_us = loop_now_us() + RETRY_US;
	}
	else if (reply->outcome != DB_OK)
	{
		struct log_context ctx = {.call = j->call_uuid, .detail = reply->message};

		j->lost += b->count;
		j->gateway->counters.events_lost += b->count;
		log_write(LOG_LEVEL_ERROR, &ctx, "%u events of a call could not be stored", b->count);
	}
	batch_free(b);
	if (j->closed && j->first == NULL && j->in_flight == 0)
		journal_free(j);
}

static void
send_batch(struct journal *j, struct batch *b)
{
	struct text t = {0};
	struct entry *entry;

	b->first_seq = j->next_seq;
	text_str(&t, "[");
	for (entry = b->first; entry != NULL; entry = entry->next)
	{
		text_printf(&t, "%s{\"seq\":%llu,\"at\":%lld,\"kind\":\"%s\",\"data\":",
					entry == b->first ? "" : ",", (unsigned long long) j->next_seq++,
					(long long) entry->at, entry->kind);
		text_add(&t, entry->data, entry->len);
		text_str(&t, "}");
	}
	text_str(&t, "]");

	const char *values[] = {j->call_uuid, j->stream_sid, t.failed ? "[]" : t.data};

	j->in_flight++;
	db_query(j->gateway->db, j->affinity, j->gateway->sql.texts[SQL_EVENTS], 3, values, 0,
			 batch_done, b);
	text_free(&t);
}

/* Takes up to BATCH_MAX_BYTES off the queue and sends them. */
static void
send_some(struct journal *j)
{
	struct batch *b = calloc(1, sizeof(*b));
	size_t bytes = 0;

	if (b == NULL)
		return;
	b->journal = j;
	b->first = j->first;
	while (j->first != NULL && (bytes == 0 || bytes + j->first->len < BATCH_MAX_BYTES))
	{
		bytes += j->first->len;
		b->end = j->first;
		b->count++;
		j->first = j->first->next;
	}
	b->end->next = NULL;
	if (j->first == NULL)
		j->last = &j->first;
	send_batch(j, b);
}

static bool
may_send(const struct journal *j)
{
	return j->call_uuid[0] != '\0' && j->stream_sid[0] != '\0' && !j->gateway->stopped;
}

void
journal_tick(struct journal *j, uint64_t now_us)
{
	if (!may_send(j) || j->in_flight > 0 || now_us < j->retry_after_us)
		return;
	take_partials(j, now_us);
	if (j->first != NULL)
		send_some(j);
}

void
journal_flush(struct journal *j)
{
	if (!may_send(j))
		return;
	while (j->first != NULL)
		send_some(j);
}

void
journal_close(struct journal *j)
{
	j->closed = true;
	journal_drop_partial(j, ENGINE_ROLE_USER);
	journal_drop_partial(j, ENGINE_ROLE_AGENT);
	j->next_closed = j->gateway->closed_journals;
	j->gateway->closed_journals = j;
	journal_flush(j);
	if (j->in_flight == 0)
		journal_free(j);
}

void
journal_tick_closed(struct gateway *gateway, uint64_t now_us)
{
	struct journal *j = gateway->closed_journals;

	while (j != NULL)
	{
		struct journal *next = j->next_closed;

		journal_tick(j, now_us);
		j = next;
	}
}

unsigned
journal_lost(const struct journal *j)
{
	return j->lost;
}
