/*
 * lanes.h: how much may be under way, and of what.
 *
 * Of the places that the setting gives, a fifth is kept for what somebody waits for (live) and a
 * tenth for the rest (bulk): neither lane can take all of them. How many of each queue (tenant and
 * service) are under way is counted too; the database compares it with the queue's own limit.
 */
#ifndef VA_DISPATCHER_LANES_H
#define VA_DISPATCHER_LANES_H

#include <stdbool.h>
#include <stddef.h>

enum lane
{
	LANE_LIVE,
	LANE_BULK,
	LANE_COUNT
};

#define LANES_QUEUE_SIZE 24 /* a queue's number as text */

struct lanes_queue
{
	char name[LANES_QUEUE_SIZE];
	unsigned busy;
};

/* Zeroed memory is nothing under way. */
struct lanes
{
	unsigned busy[LANE_COUNT];
	struct lanes_queue *queues; /* those with something under way */
	size_t queue_count, queue_size;
};

void lanes_enter(struct lanes *lanes, enum lane lane, const char *queue);
void lanes_leave(struct lanes *lanes, enum lane lane, const char *queue);
unsigned lanes_busy(const struct lanes *lanes);
/* How many more of a lane may begin when `places` may be under way in all. */
unsigned lanes_room(const struct lanes *lanes, enum lane lane, unsigned places);
/* {"queue": busy, …}; to be freed. */
char *lanes_text(const struct lanes *lanes);
void lanes_free(struct lanes *lanes);

#endif
