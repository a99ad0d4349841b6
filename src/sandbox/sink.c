/*
 * sink.c: the stand-in that takes everything: a POST makes a thing under the key of the header
 * X-Attempt-Key (and makes it again when asked again, which the ledger shows), a PUT makes it once,
 * a GET says what is there.
 *
 * The key decides, not the path; of the path only a file of the ledger sees anything.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"
#include "sandbox/providers.h"

struct thing
{
	char *key;
	unsigned count; /* POSTs of it, or 1 */
};

struct sink
{
	const struct stand_in_host *host;
	void *things; /* tsearch's tree */
};

static int
compare(const void *a, const void *b)
{
	return strcmp(((const struct thing *) a)->key, ((const struct thing *) b)->key);
}

static void *
sink_open(const struct stand_in_host *host)
{
	struct sink *sink = calloc(1, sizeof(*sink));

	if (sink == NULL)
		abort();
	sink->host = host;
	return sink;
}

static struct thing *
find(struct sink *sink, const char *key, bool make)
{
	struct thing wanted = {.key = (char *) key};
	struct thing **found = tfind(&wanted, &sink->things, compare);
	struct thing *thing;

	if (found != NULL || !make)
		return found != NULL ? *found : NULL;
	thing = calloc(1, sizeof(*thing));
	if (thing == NULL || (thing->key = strdup(key)) == NULL ||
		tsearch(thing, &sink->things, compare) == NULL)
		abort();
	return thing;
}

static void
answer(struct stand_in_exchange *ex, int status, const struct thing *thing)
{
	struct json_object *body = json_object_new_object();

	if (thing == NULL)
		json_put_text(body, "error", "there is nothing of this key");
	else
	{
		json_put_text(body, "id", thing->key);
		json_put_int(body, "count", thing->count);
	}
	stand_in_answer_json(ex, status, body);
}

static void
sink_request(void *self, struct stand_in_exchange *ex, const struct stand_in_request *request)
{
	struct sink *sink = self;
	const char *key = stand_in_header(ex, "x-attempt-key");
	bool post = strcmp(request->method, "POST") == 0;
	struct thing *thing;

	if (strcmp(request->method, "GET") == 0)
	{
		thing = find(sink, key, false);
		answer(ex, thing != NULL ? 200 : 404, thing);
		return;
	}
	thing = find(sink, key, true);
	if (post || thing->count == 0)
		thing->count++;
	ledger_note(sink->host->ledger, key, post ? "posted" : "put", "path", request->path);
	answer(ex, 201, thing);
}

static void
free_thing(void *node)
{
	free(((struct thing *) node)->key);
	free(node);
}

static void
sink_close(void *self)
{
	struct sink *sink = self;

	tdestroy(sink->things, free_thing);
	free(sink);
}

const struct stand_in sink_stand_in = {"/sink", sink_open, sink_request, sink_close};
