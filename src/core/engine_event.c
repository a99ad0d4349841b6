/*
 * engine_event.c: the end of an engine event's life, common to all engine protocols.
 */
#include "core/engine_event.h"

#include <string.h>

void
engine_event_release(struct engine_event *event)
{
	if (event->document != NULL)
		json_object_put(event->document);
	/* Dangling pointers must fail loudly, not quietly. */
	memset(event, 0, sizeof(*event));
}
