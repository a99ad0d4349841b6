/*
 * track.h: what is measured: audio frames that carry their own number, the times they were sent,
 * and what became of them.
 *
 * Both ends of all calls run on one machine, so a frame need not carry its time: it carries which
 * stream it belongs to and its number, and the sender notes the time in memory that both ends map.
 * The number is written in mu-law code points, each of which survives mu-law to s16 and back
 * (0x7F, negative zero, does not and is never used), sixteen of them repeated ten times: so every
 * sample of a frame is checked. The upper half of the codes changes from frame to frame, so that
 * over a run every code of the table is carried.
 *
 * Who writes what: each member of struct direction belongs to one process, named there; the caller
 * reads the engine's part after engine_done.
 */
#ifndef BENCH_TRACK_H
#define BENCH_TRACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

#define TRACK_MAX_CALLS 2048
#define TRACK_RING 1024 /* frames whose send time is remembered: 20 s */
#define PATTERN_CODES 16

/* Log-linear: 32 steps an octave, so a percentile is at most 3 % above the truth. ns. */
#define HISTOGRAM_STEPS 32
#define HISTOGRAM_BUCKETS (64 * HISTOGRAM_STEPS)

struct histogram
{
	uint64_t count;
	uint64_t min;
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

struct direction
{
	/* by the sender, about frames sent in the window */
	uint64_t sent;
	uint64_t stalled; /* not sent: the bridge did not read, the socket was full */
	struct histogram late; /* actual send minus planned send: the generator's own lateness */
	/* by the receiver, about frames whose send time lies in the window */
	uint64_t received; /* distinct frames */
	uint64_t duplicate;
	uint64_t reordered;
	struct histogram latency;
	/* by the receiver, while the window is open */
	uint64_t corrupt; /* not a frame we ever sent */
	uint64_t foreign; /* a good frame, but of another call */
	uint64_t silence; /* frames of pure silence that nobody sent */
};

enum track_direction
{
	TO_ENGINE, /* caller's speech */
	TO_CALLER /* agent's speech */
};

struct shared
{
	_Atomic uint32_t magic; /* written last by the engine */
	int32_t engine_pid;
	_Atomic uint64_t window_start; /* UINT64_MAX until the caller opens it */
	_Atomic uint64_t window_end;
	_Atomic uint32_t stop; /* by the caller: the run is over */
	_Atomic uint32_t engine_done;
	_Atomic uint32_t hearing; /* calls whose audio has reached the engine */
	struct direction direction[2];
	/* interruptions: time of the last one of each stream; lowest bit: answered by a clear */
	_Atomic uint64_t interrupted_at[TRACK_MAX_CALLS];
	uint64_t interrupts; /* in the window */
	/* send times; lowest bit: has been received */
	_Atomic uint64_t sent_at[2][TRACK_MAX_CALLS][TRACK_RING];
};

/* The receiving end of one stream. Zero it, then set peer to -1. */
struct track_stream
{
	int32_t peer; /* index of the sender's stream, known from its first frame; -1 before */
	uint32_t next;
	uint8_t carry[FRAME_PCM_BYTES]; /* a frame cut in two by the bridge */
	uint32_t carried;
};

/* Engine: creates the file anew. Caller: opens what the engine made. NULL with a message. */
struct shared *track_create(const char *path);
struct shared *track_open(const char *path);

void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_percentile(const struct histogram *h, double percent); /* ns, 0 when empty */

/* One frame of a stream as mu-law and as s16le. */
void pattern_ulaw(uint32_t call, uint32_t sequence, uint8_t out[FRAME_SAMPLES]);
void pattern_pcm(uint32_t call, uint32_t sequence, uint8_t out[FRAME_PCM_BYTES]);
/* The reverse, of mu-law codes; false when these are no codes of ours. */
bool pattern_read(const uint8_t codes[PATTERN_CODES], uint32_t *call, uint32_t *sequence);

/* Before a frame goes out. `planned` is its deadline. */
void track_sent(struct shared *s, enum track_direction d, uint32_t call, uint32_t sequence,
				uint64_t planned);
/* A frame that could not be sent after all. */
void track_stalled(struct shared *s, enum track_direction d, uint32_t call, uint32_t sequence);

/* Audio that arrived: s16le for TO_ENGINE, mu-law for TO_CALLER, in pieces of any length. */
void track_received(struct shared *s, enum track_direction d, struct track_stream *stream,
					const uint8_t *audio, size_t len);

#endif
