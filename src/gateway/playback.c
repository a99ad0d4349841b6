/*
 * playback.c: the position of the caller's ear, see playback.h.
 *
 * The estimate is a line through (base_us, base_ms) with slope one, cut off at what was sent. An
 * echo moves the base; so does audio that is sent while nothing plays, because the line must not
 * run ahead during silence.
 */
#include "gateway/playback.h"

#include <stdio.h>
#include <stdlib.h>

void
playback_sent(struct playback *p, size_t count, uint64_t now_us)
{
	if (!playback_playing(p, now_us))
	{
		p->base_ms = playback_sent_ms(p);
		p->base_us = now_us;
	}
	p->sent += count;
}

bool
playback_mark_due(const struct playback *p, bool end)
{
	uint64_t unmarked = p->sent - p->marked;

	return unmarked >= PLAYBACK_MARK_BYTES || (end && unmarked > 0);
}

void
playback_mark(struct playback *p, char *name, size_t size)
{
	snprintf(name, size, "%u:%llu", (unsigned) p->generation,
			 (unsigned long long) playback_sent_ms(p));
	p->marked = p->sent;
}

bool
playback_echo(struct playback *p, const char *name, uint64_t now_us)
{
	char *end;
	unsigned long generation = strtoul(name, &end, 10);

	if (end == name || *end != ':' || generation != p->generation)
		return false;

	const char *digits = end + 1;
	unsigned long long ms = strtoull(digits, &end, 10);

	if (end == digits || *end != '\0' || ms > playback_sent_ms(p))
		return false;
	if (ms > p->echoed_ms)
		p->echoed_ms = ms;
	if (ms >= p->base_ms)
	{
		p->base_ms = ms;
		p->base_us = now_us;
	}
	return true;
}

uint64_t
playback_sent_ms(const struct playback *p)
{
	return p->sent / PLAYBACK_BYTES_PER_MS;
}

uint64_t
playback_heard_ms(const struct playback *p, uint64_t now_us)
{
	uint64_t sent = playback_sent_ms(p);
	uint64_t heard = p->base_ms + (now_us > p->base_us ? (now_us - p->base_us) / 1000 : 0);

	return heard < sent ? heard : sent;
}

bool
playback_playing(const struct playback *p, uint64_t now_us)
{
	return playback_heard_ms(p, now_us) < playback_sent_ms(p);
}

bool
playback_confirmed(const struct playback *p)
{
	return p->echoed_ms >= playback_sent_ms(p);
}

void
playback_clear(struct playback *p, uint64_t now_us)
{
	p->generation++;
	p->sent = p->marked = p->base_ms = p->echoed_ms = 0;
	p->base_us = now_us;
}
