/*
 * phone_line.c: a byte queue with marks at positions of it.
 *
 * Positions count bytes since the line began, so a mark is due when the play position reaches it;
 * nothing has to be moved when audio is played.
 */
#include "sandbox/phone_line.h"

#include <stdlib.h>
#include <string.h>

#define SILENCE 0xFF

struct mark
{
	struct mark *next;
	uint64_t position;
	char name[];
};

struct phone_line
{
	uint8_t *audio; /* what is queued, from `from` to `to` */
	size_t room;
	size_t from;
	size_t to;
	uint64_t played; /* bytes since the line began, played or cleared */
	struct mark *first;
	struct mark **last;
	void (*echo)(void *arg, const char *name, bool heard);
	void *arg;
};

struct phone_line *
phone_line_new(void (*echo)(void *arg, const char *name, bool heard), void *arg)
{
	struct phone_line *line = calloc(1, sizeof(*line));

	if (!line)
		return NULL;
	line->last = &line->first;
	line->echo = echo;
	line->arg = arg;
	return line;
}

void
phone_line_free(struct phone_line *line)
{
	if (!line)
		return;
	while (line->first)
	{
		struct mark *m = line->first;

		line->first = m->next;
		free(m);
	}
	free(line->audio);
	free(line);
}

size_t
phone_line_queued(const struct phone_line *line)
{
	return line->to - line->from;
}

unsigned
phone_line_marks(const struct phone_line *line)
{
	unsigned n = 0;

	for (struct mark *m = line->first; m; m = m->next)
		n++;
	return n;
}

static bool
make_room(struct phone_line *line, size_t count)
{
	size_t queued = phone_line_queued(line);

	if (line->from > 0 && line->to + count > line->room)
	{
		memmove(line->audio, line->audio + line->from, queued);
		line->from = 0;
		line->to = queued;
	}
	if (line->to + count > line->room)
	{
		size_t room = (line->to + count) * 2;
		uint8_t *more = realloc(line->audio, room);

		if (!more)
			return false;
		line->audio = more;
		line->room = room;
	}
	return true;
}

bool
phone_line_media(struct phone_line *line, const uint8_t *audio, size_t count)
{
	size_t fits = PHONE_LINE_MAX - phone_line_queued(line);
	bool all = count <= fits;

	if (!all)
		count = fits;
	if (!make_room(line, count))
		return false;
	if (count)
		memcpy(line->audio + line->to, audio, count);
	line->to += count;
	return all;
}

/* Echoes the marks whose place has been reached, or all. */
static void
echo_marks(struct phone_line *line, bool all)
{
	while (line->first && (all || line->first->position <= line->played))
	{
		struct mark *m = line->first;

		line->first = m->next;
		if (!line->first)
			line->last = &line->first;
		line->echo(line->arg, m->name, !all || m->position <= line->played);
		free(m);
	}
}

void
phone_line_mark(struct phone_line *line, const char *name)
{
	size_t len = strlen(name);
	struct mark *m = malloc(sizeof(*m) + len + 1);

	if (!m)
		abort();
	m->next = NULL;
	m->position = line->played + phone_line_queued(line);
	memcpy(m->name, name, len + 1);
	*line->last = m;
	line->last = &m->next;
	echo_marks(line, false);
}

size_t
phone_line_clear(struct phone_line *line)
{
	size_t dropped = phone_line_queued(line);

	echo_marks(line, true);
	line->from = line->to = 0;
	return dropped;
}

size_t
phone_line_play(struct phone_line *line, uint8_t out[PHONE_LINE_FRAME])
{
	size_t count = phone_line_queued(line);

	if (count > PHONE_LINE_FRAME)
		count = PHONE_LINE_FRAME;
	if (count)
		memcpy(out, line->audio + line->from, count);
	memset(out + count, SILENCE, PHONE_LINE_FRAME - count);
	line->from += count;
	line->played += count;
	echo_marks(line, false);
	return count;
}
