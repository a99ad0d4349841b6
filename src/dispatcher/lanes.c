/*
 * lanes.c: see lanes.h.
 */
#include "dispatcher/lanes.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lanes_queue *
find(const struct lanes *lanes, const char *queue)
{
	for (size_t i = 0; i < lanes->queue_count; i++)
	{
		if (strcmp(lanes->queues[i].name, queue) == 0)
			return &lanes->queues[i];
	}
	return NULL;
}

void
lanes_enter(struct lanes *lanes, enum lane lane, const char *queue)
{
	struct lanes_queue *q = find(lanes, queue);

	lanes->busy[lane]++;
	if (q == NULL)
	{
		if (lanes->queue_count == lanes->queue_size)
		{
			lanes->queue_size = lanes->queue_size * 2 + 16;
			lanes->queues = realloc(lanes->queues, lanes->queue_size * sizeof(*lanes->queues));
			if (lanes->queues == NULL)
				abort(); /* out of memory: there is none to tell of it either */
		}
		q = &lanes->queues[lanes->queue_count++];
		q->busy = 0;
		snprintf(q->name, sizeof(q->name), "%s", queue);
	}
	q->busy++;
}

void
lanes_leave(struct lanes *lanes, enum lane lane, const char *queue)
{
	struct lanes_queue *q = find(lanes, queue);

	lanes->busy[lane]--;
	if (--q->busy == 0)
		*q = lanes->queues[--lanes->queue_count];
}

unsigned
lanes_busy(const struct lanes *lanes)
{
	return lanes->busy[LANE_LIVE] + lanes->busy[LANE_BULK];
}

unsigned
lanes_room(const struct lanes *lanes, enum lane lane, unsigned places)
{
	unsigned kept = lane == LANE_LIVE ? places / 10 : places / 5;
	unsigned most = places - kept;
	unsigned all = lanes_busy(lanes);
	unsigned left = all < places ? places - all : 0;
	unsigned own = lanes->busy[lane] < most ? most - lanes->busy[lane] : 0;

	return own < left ? own : left;
}

char *
lanes_text(const struct lanes *lanes)
{
	struct json_object *object = json_object_new_object();
	char *text;

	for (size_t i = 0; i < lanes->queue_count; i++)
		json_object_object_add(object, lanes->queues[i].name,
							   json_object_new_int((int) lanes->queues[i].busy));
	text = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return text;
}

void
lanes_free(struct lanes *lanes)
{
	free(lanes->queues);
	memset(lanes, 0, sizeof(*lanes));
}
