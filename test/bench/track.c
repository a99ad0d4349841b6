/*
 * track.c: numbered audio frames, their send times in shared memory, and the count of their fates.
 */
#define _GNU_SOURCE
#include "track.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRACK_MAGIC 0x76616230

static struct shared *
track_map(const char *path, int flags)
{
	int fd = open(path, flags, 0600);
	void *map;

	if (fd < 0 || ((flags & O_CREAT) && ftruncate(fd, sizeof(struct shared)) < 0))
	{
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	map = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
	{
		fprintf(stderr, "%s: mmap: %s\n", path, strerror(errno));
		return NULL;
	}
	return map;
}

struct shared *
track_create(const char *path)
{
	struct shared *s = track_map(path, O_RDWR | O_CREAT | O_TRUNC);

	if (s == NULL)
		return NULL;
	s->engine_pid = getpid();
	s->window_start = UINT64_MAX;
	s->window_end = UINT64_MAX;
	atomic_store(&s->magic, TRACK_MAGIC);
	return s;
}

struct shared *
track_open(const char *path)
{
	struct shared *s = track_map(path, O_RDWR);

	if (s != NULL && atomic_load(&s->magic) != TRACK_MAGIC)
	{
		fprintf(stderr, "%s: not made by a running load engine\n", path);
		munmap(s, sizeof(struct shared));
		return NULL;
	}
	return s;
}

/* Values below HISTOGRAM_STEPS have a bucket each; above, 32 buckets an octave. */
void
histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned bucket = (unsigned) ns;

	if (ns >= HISTOGRAM_STEPS)
	{
		unsigned shift = 63 - (unsigned) __builtin_clzll(ns) - 5;

		bucket = (shift + 1) * HISTOGRAM_STEPS + (unsigned) (ns >> shift) - HISTOGRAM_STEPS;
	}
	h->bucket[bucket]++;
	if (h->count++ == 0 || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
}

/* The upper edge of the bucket that holds the rank, never above the true maximum. */
uint64_t
histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t rank = (uint64_t) ((double) h->count * percent / 100.0 + 0.999999);
	uint64_t seen = 0;

	if (rank == 0)
		rank = 1;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		uint64_t edge = i;

		seen += h->bucket[i];
		if (seen < rank)
			continue;
		if (i >= HISTOGRAM_STEPS)
			edge = ((uint64_t) (i % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 1)
					<< (i / HISTOGRAM_STEPS - 1)) -
				   1;
		return edge < h->max ? edge : h->max;
	}
	return h->max;
}

static uint16_t
pattern_check(uint32_t call, uint32_t sequence)
{
	uint64_t mixed = ((uint64_t) call << 32 | sequence) * UINT64_C(0x9E3779B97F4A7C15);

	return (uint16_t) (mixed >> 48);
}

/* Four digits of call, eight of sequence, four of check, one hexadecimal digit a code. */
static void
pattern_codes(uint32_t call, uint32_t sequence, uint8_t codes[PATTERN_CODES])
{
	uint64_t digits = (uint64_t) (call & 0xFFFF) << 48 | (uint64_t) sequence << 16 |
					  pattern_check(call & 0xFFFF, sequence);
	unsigned row = ((call & 0xFFFF) + sequence) % 15;

	if (row >= 7) /* row 7 would hold 0x7F */
		row++;
	for (unsigned i = 0; i < PATTERN_CODES; i++)
		codes[i] = (uint8_t) (row << 4 | (digits >> (60 - 4 * i) & 15));
}

bool
pattern_read(const uint8_t codes[PATTERN_CODES], uint32_t *call, uint32_t *sequence)
{
	uint8_t expected[PATTERN_CODES];
	uint64_t digits = 0;

	for (unsigned i = 0; i < PATTERN_CODES; i++)
		digits = digits << 4 | (codes[i] & 15);
	*call = (uint32_t) (digits >> 48);
	*sequence = (uint32_t) (digits >> 16);
	pattern_codes(*call, *sequence, expected);
	return memcmp(codes, expected, PATTERN_CODES) == 0;
}

void
pattern_ulaw(uint32_t call, uint32_t sequence, uint8_t out[FRAME_SAMPLES])
{
	pattern_codes(call, sequence, out);
	for (unsigned i = PATTERN_CODES; i < FRAME_SAMPLES; i += PATTERN_CODES)
		memcpy(out + i, out, PATTERN_CODES);
}

void
pattern_pcm(uint32_t call, uint32_t sequence, uint8_t out[FRAME_PCM_BYTES])
{
	uint8_t codes[PATTERN_CODES];

	pattern_codes(call, sequence, codes);
	for (unsigned i = 0; i < PATTERN_CODES; i++)
		memcpy(out + 2 * i, &ulaw_to_pcm[codes[i]], 2);
	for (unsigned i = 2 * PATTERN_CODES; i < FRAME_PCM_BYTES; i += 2 * PATTERN_CODES)
		memcpy(out + i, out, 2 * PATTERN_CODES);
}

static bool
in_window(const struct shared *s, uint64_t ns)
{
	return ns >= atomic_load_explicit(&s->window_start, memory_order_relaxed) &&
		   ns < atomic_load_explicit(&s->window_end, memory_order_relaxed);
}

void
track_sent(struct shared *s, enum track_direction d, uint32_t call, uint32_t sequence,
		   uint64_t planned)
{
	uint64_t now = clock_ns();

	atomic_store_explicit(&s->sent_at[d][call][sequence % TRACK_RING], now & ~UINT64_C(1),
						  memory_order_release);
	if (in_window(s, now & ~UINT64_C(1)))
	{
		s->direction[d].sent++;
		histogram_add(&s->direction[d].late, now > planned ? now - planned : 0);
	}
}

void
track_stalled(struct shared *s, enum track_direction d, uint32_t call, uint32_t sequence)
{
	uint64_t at = atomic_load(&s->sent_at[d][call][sequence % TRACK_RING]);

	if (in_window(s, at))
		s->direction[d].stalled++;
}

/* The codes of a frame if all its samples are as they were sent. */
static bool
frame_codes(enum track_direction d, const uint8_t *frame, size_t unit, uint8_t codes[PATTERN_CODES])
{
	size_t period = unit / FRAME_SAMPLES * PATTERN_CODES;

	if (memcmp(frame, frame + period, unit - period) != 0)
		return false;
	if (d == TO_CALLER)
	{
		memcpy(codes, frame, PATTERN_CODES);
		return true;
	}
	for (unsigned i = 0; i < PATTERN_CODES; i++)
	{
		int16_t sample;

		memcpy(&sample, frame + 2 * i, 2);
		codes[i] = pcm_to_ulaw[(uint16_t) sample];
		if (ulaw_to_pcm[codes[i]] != sample)
			return false;
	}
	return true;
}

static void
track_frame(struct shared *s, enum track_direction d, struct track_stream *stream,
			const uint8_t *frame, size_t unit)
{
	struct direction *dir = &s->direction[d];
	uint64_t now = clock_ns();
	uint8_t codes[PATTERN_CODES];
	uint8_t silence = d == TO_CALLER ? 0xFF : 0;
	uint32_t call, sequence;
	uint64_t at;

	if (!frame_codes(d, frame, unit, codes) || !pattern_read(codes, &call, &sequence))
	{
		if (in_window(s, now))
			*(frame[0] == silence && memcmp(frame, frame + 1, unit - 1) == 0 ? &dir->silence
																			 : &dir->corrupt) += 1;
		return;
	}
	if (stream->peer < 0)
		stream->peer = (int32_t) call;
	if (call >= TRACK_MAX_CALLS || stream->peer != (int32_t) call)
	{
		dir->foreign += in_window(s, now);
		return;
	}
	at = atomic_fetch_or(&s->sent_at[d][call][sequence % TRACK_RING], 1);
	if (in_window(s, at & ~UINT64_C(1)))
	{
		if (at & 1)
			dir->duplicate++;
		else
		{
			dir->received++;
			dir->reordered += sequence < stream->next;
			histogram_add(&dir->latency, now - at);
		}
	}
	if (sequence >= stream->next)
		stream->next = sequence + 1;
}

void
track_received(struct shared *s, enum track_direction d, struct track_stream *stream,
			   const uint8_t *audio, size_t len)
{
	size_t unit = d == TO_CALLER ? FRAME_SAMPLES : FRAME_PCM_BYTES;

	while (len > 0)
	{
		size_t want = unit - stream->carried;

		if (stream->carried == 0 && len >= unit)
		{
			track_frame(s, d, stream, audio, unit);
			audio += unit;
			len -= unit;
			continue;
		}
		if (want > len)
			want = len;
		memcpy(stream->carry + stream->carried, audio, want);
		stream->carried += (uint32_t) want;
		audio += want;
		len -= want;
		if (stream->carried == unit)
		{
			stream->carried = 0;
			track_frame(s, d, stream, stream->carry, unit);
		}
	}
}
