/*
 * call_audio.c: the audio of a call, both ways, and what an interruption does to it.
 *
 * This is the hot path: fifty frames a second each way and call. Nothing here allocates (but the
 * first frame that must wait), logs, or asks the clock more than once a frame. The engine's audio is
 * forwarded at once, because Twilio queues and plays it in real time; only a remainder smaller than
 * a frame of 20 ms stays, since ragged pieces are heard as clicks. A remainder that nothing follows
 * for 60 ms goes out filled up with silence.
 */
#include <stdlib.h>
#include <string.h>

#include "core/g711.h"
#include "gateway/call_private.h"
#include "gateway/media.h"
#include "net/loop.h"
#include "net/ws.h"

/* The largest piece in one media message: up to the next mark. */
#define PIECE PLAYBACK_MARK_BYTES

uint64_t
call_ms(const struct call *call, uint64_t now_us)
{
	return call->started_us != 0 && now_us > call->started_us ? (now_us - call->started_us) / 1000
															  : 0;
}

/* Keeps audio up to a limit. Returns how many bytes were lost: the oldest ones (caller's audio, of
 * which the newest matters), or those that found no room. */
static size_t
hold(struct held *h, size_t limit, bool drop_oldest, const uint8_t *data, size_t count)
{
	size_t lost = 0;

	if (count > limit)
	{
		lost = count - limit;
		data += drop_oldest ? lost : 0;
		count = limit;
	}
	if (h->len + count > limit)
	{
		size_t excess = h->len + count - limit;

		lost += excess;
		if (drop_oldest)
		{
			memmove(h->data, h->data + excess, h->len - excess);
			h->len -= excess;
		}
		else
			count -= excess;
	}
	if (h->len + count > h->size)
	{
		size_t size = h->size == 0 ? 4096 : h->size * 2;

		while (size < h->len + count)
			size *= 2;
		size = size > limit ? limit : size;
		uint8_t *grown = realloc(h->data, size);

		if (grown == NULL)
			return lost + count;
		h->data = grown;
		h->size = size;
	}
	memcpy(h->data + h->len, data, count);
	h->len += count;
	return lost;
}

static void
held_free(struct held *h)
{
	free(h->data);
	memset(h, 0, sizeof(*h));
}

static unsigned
frames_of(size_t bytes)
{
	return (unsigned) ((bytes + CALL_FRAME - 1) / CALL_FRAME);
}

static void
engine_frame(struct call *call, const uint8_t *ulaw, size_t count)
{
	if (!call->ops->audio(call->engine, ulaw, count))
	{
		call->metrics.frames_dropped_in += frames_of(count);
		call->gateway->counters.frames_dropped_in += frames_of(count);
	}
}

void
call_frame(struct call *call, const uint8_t *ulaw, size_t count, uint64_t now_us)
{
	call->frame_us = now_us;
	call->metrics.frames_in++;
	call->metrics.bytes_in += count;
	call->gateway->counters.frames_in++;
	call->gateway->counters.bytes_in += count;
	if (call->state == CALL_BRIDGED || (call->state == CALL_FINISHING && call->engine != NULL))
	{
		engine_frame(call, ulaw, count);
		return;
	}
	if (call->state == CALL_FINISHING || call->state == CALL_ENDING)
		return;

	unsigned lost = frames_of(hold(&call->held_in, CALL_HELD_IN, true, ulaw, count));

	call->metrics.frames_dropped_in += lost;
	call->gateway->counters.frames_dropped_in += lost;
}

static void
send_mark(struct call *call, bool end)
{
	char name[TWILIO_MARK_SIZE];
	char frame[WS_HEADROOM + 192];
	size_t len;

	if (!playback_mark_due(&call->playback, end))
		return;
	playback_mark(&call->playback, name, sizeof(name));
	len = twilio_stream_mark(frame + WS_HEADROOM, sizeof(frame) - WS_HEADROOM, call->stream_sid,
							 name);
	if (len > 0)
		ws_send(media_ws(call->media), WS_TEXT, frame + WS_HEADROOM, len, false);
	call->metrics.marks++;
}

/* One media message; count is a multiple of a frame and at most PIECE. */
static void
send_piece(struct call *call, const uint8_t *ulaw, size_t count, uint64_t now_us)
{
	char frame[WS_HEADROOM + TWILIO_MEDIA_BOUND(PIECE)];
	uint64_t from_ms = playback_sent_ms(&call->playback);
	size_t len = twilio_stream_media(frame + WS_HEADROOM, sizeof(frame) - WS_HEADROOM,
									 call->stream_sid, ulaw, count);

	if (len == 0 ||
		ws_send(media_ws(call->media), WS_TEXT, frame + WS_HEADROOM, len, true) == WS_DROPPED)
	{
		call->metrics.frames_dropped_out += frames_of(count);
		call->gateway->counters.frames_dropped_out += frames_of(count);
		return;
	}
	playback_sent(&call->playback, count, now_us);
	call->metrics.frames_out += frames_of(count);
	call->metrics.bytes_out += count;
	call->gateway->counters.frames_out += frames_of(count);
	call->gateway->counters.bytes_out += count;
	turns_audio(&call->turns, call_ms(call, now_us), from_ms, playback_sent_ms(&call->playback));
	send_mark(call, false);
}

static void
send_all(struct call *call, const uint8_t *ulaw, size_t count, uint64_t now_us)
{
	if (call->tail_len > 0)
	{
		size_t fill = CALL_FRAME - call->tail_len;

		fill = fill < count ? fill : count;
		memcpy(call->tail + call->tail_len, ulaw, fill);
		call->tail_len += (unsigned) fill;
		ulaw += fill;
		count -= fill;
		if (call->tail_len < CALL_FRAME)
			return;
		call->tail_len = 0;
		send_piece(call, call->tail, CALL_FRAME, now_us);
	}
	while (count >= CALL_FRAME)
	{
		size_t now = count < PIECE ? count - count % CALL_FRAME : PIECE;

		send_piece(call, ulaw, now, now_us);
		ulaw += now;
		count -= now;
	}
	memcpy(call->tail, ulaw, count);
	call->tail_len = (unsigned) count;
}

/* What the first audio after a pause tells: latencies. */
static void
note_first_audio(struct call *call, uint64_t now_us)
{
	struct call_metrics *m = &call->metrics;

	if (call->user_done_us != 0)
	{
		unsigned ms = (unsigned) ((now_us - call->user_done_us) / 1000);

		m->latency_sum_ms += ms;
		m->latency_count++;
		if (ms > m->latency_max_ms)
			m->latency_max_ms = ms;
		call->user_done_us = 0;
	}
	if (m->first_audio_ms < 0)
	{
		m->first_audio_ms = (int64_t) call_ms(call, now_us);
		call_note_state(call, "first_audio", NULL, m->first_audio_ms);
		call_note_metrics(call);
	}
}

void
call_audio_out(struct call *call, const uint8_t *ulaw, size_t count, uint64_t now_us)
{
	call->audio_us = now_us;
	if (call->media == NULL)
	{
		unsigned lost = frames_of(hold(&call->held_out, CALL_HELD_OUT, false, ulaw, count));

		call->metrics.frames_dropped_out += lost;
		call->gateway->counters.frames_dropped_out += lost;
		return;
	}
	if (call->state != CALL_BRIDGED && call->state != CALL_FINISHING)
		return;
	call->finish_spoke = true;
	if (call->metrics.first_audio_ms < 0 || call->user_done_us != 0)
		note_first_audio(call, now_us);
	send_all(call, ulaw, count, now_us);
	call->mark_wanted = true;
	if (call->due_us > now_us + CALL_TAIL_US)
		call->due_us = now_us + CALL_TAIL_US;
}

void
call_audio_release(struct call *call)
{
	uint64_t now_us = loop_now_us();
	struct held out = call->held_out;
	struct held in = call->held_in;

	memset(&call->held_out, 0, sizeof(call->held_out));
	memset(&call->held_in, 0, sizeof(call->held_in));
	if (out.len > 0)
		call_audio_out(call, out.data, out.len, now_us);
	for (size_t at = 0; at < in.len; at += CALL_FRAME)
		engine_frame(call, in.data + at, in.len - at < CALL_FRAME ? in.len - at : CALL_FRAME);
	held_free(&out);
	held_free(&in);
}

/* The end of an utterance, as far as one can tell: the remainder and a last mark go out. */
void
call_audio_tick(struct call *call, uint64_t now_us)
{
	if (!call->mark_wanted || call->media == NULL || now_us - call->audio_us < CALL_TAIL_US)
		return;
	call->mark_wanted = false;
	if (call->tail_len > 0)
	{
		memset(call->tail + call->tail_len, G711_ULAW_SILENCE, CALL_FRAME - call->tail_len);
		call->tail_len = 0;
		send_piece(call, call->tail, CALL_FRAME, now_us);
	}
	send_mark(call, true);
}

void
call_mark(struct call *call, const char *name)
{
	playback_echo(&call->playback, name, loop_now_us());
}

/* The caller spoke while the agent did. heard_of_us: when we were told. */
void
call_interrupted(struct call *call, uint64_t heard_of_us)
{
	char frame[WS_HEADROOM + 160];
	size_t len = 0;

	held_free(&call->held_out);
	call->tail_len = 0;
	call->mark_wanted = false;
	if (call->media == NULL)
		return;
	ws_drop_queued(media_ws(call->media));
	len = twilio_stream_clear(frame + WS_HEADROOM, sizeof(frame) - WS_HEADROOM, call->stream_sid);
	if (len > 0)
		ws_send(media_ws(call->media), WS_TEXT, frame + WS_HEADROOM, len, false);

	uint64_t now_us = loop_now_us();
	unsigned took = (unsigned) (now_us - heard_of_us);

	turns_interrupt(&call->turns, call_ms(call, now_us),
					playback_heard_ms(&call->playback, heard_of_us));
	playback_clear(&call->playback, now_us);
	call->metrics.interruptions++;
	call->metrics.clears++;
	if (took > call->metrics.clear_us_max)
		call->metrics.clear_us_max = took;
	if (took > call->gateway->counters.clear_us_max)
		call->gateway->counters.clear_us_max = took;
	call->gateway->counters.interruptions++;
}

void
call_audio_free(struct call *call)
{
	held_free(&call->held_in);
	held_free(&call->held_out);
}
