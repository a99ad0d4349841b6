/*
 * call_state.c: the table of call_state.h.
 *
 * A cell that is not named means "stay, do nothing". It is stored as zeros, so `known` tells it
 * from a real transition to the first state.
 */
#include "gateway/call_state.h"

#include <stdbool.h>
#include <stddef.h>

struct cell
{
	bool known;
	struct call_step step;
};

#define GO(state, action)                                                                          \
	{                                                                                              \
		true,                                                                                      \
		{                                                                                          \
			state, action                                                                          \
		}                                                                                          \
	}

static const struct cell table[CALL_STATE_COUNT][CALL_EVENT_COUNT] =
	{
		[CALL_PREPARING] =
			{
				[CALL_EVENT_STREAM] = GO(CALL_CONNECTED, CALL_DO_ATTACH),
				[CALL_EVENT_ENGINE_READY] = GO(CALL_READY, CALL_DO_NOTE_READY),
				[CALL_EVENT_ENGINE_LOST] = GO(CALL_PREPARING, CALL_DO_START_ENGINE),
				[CALL_EVENT_ENGINE_FAILED] = GO(CALL_UNFIT, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_ENGINE_ENDED] = GO(CALL_UNFIT, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_DISCARD),
				[CALL_EVENT_LIMIT] = GO(CALL_GONE, CALL_DO_DISCARD),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_GONE, CALL_DO_DISCARD),
			},
		[CALL_READY] =
			{
				[CALL_EVENT_STREAM] = GO(CALL_BRIDGED, CALL_DO_ATTACH_BRIDGE),
				[CALL_EVENT_ENGINE_LOST] = GO(CALL_PREPARING, CALL_DO_START_ENGINE),
				[CALL_EVENT_ENGINE_FAILED] = GO(CALL_UNFIT, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_ENGINE_ENDED] = GO(CALL_UNFIT, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_DISCARD),
				[CALL_EVENT_LIMIT] = GO(CALL_GONE, CALL_DO_DISCARD),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_GONE, CALL_DO_DISCARD),
			},
		[CALL_UNFIT] =
			{
				[CALL_EVENT_STREAM] = GO(CALL_ENDING, CALL_DO_ATTACH_END),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_DISCARD),
				[CALL_EVENT_LIMIT] = GO(CALL_GONE, CALL_DO_DISCARD),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_GONE, CALL_DO_DISCARD),
			},
		[CALL_ASKING] =
			{
				[CALL_EVENT_SESSION] = GO(CALL_CONNECTED, CALL_DO_START_ENGINE),
				[CALL_EVENT_REFUSED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_END_FREE),
				[CALL_EVENT_LIMIT] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_ENDING, CALL_DO_END),
			},
		[CALL_CONNECTED] =
			{
				[CALL_EVENT_REFUSED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_READY] = GO(CALL_BRIDGED, CALL_DO_BRIDGE),
				[CALL_EVENT_ENGINE_LOST] = GO(CALL_CONNECTED, CALL_DO_START_ENGINE),
				[CALL_EVENT_ENGINE_FAILED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_ENDED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_END_FREE),
				[CALL_EVENT_LIMIT] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_ENDING, CALL_DO_END),
			},
		[CALL_BRIDGED] =
			{
				[CALL_EVENT_REFUSED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_LOST] = GO(CALL_RECOVERING, CALL_DO_RECOVER),
				[CALL_EVENT_ENGINE_FAILED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_ENDED] = GO(CALL_FINISHING, CALL_DO_FINISH),
				[CALL_EVENT_HANGUP] = GO(CALL_FINISHING, CALL_DO_FINISH),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_END_FREE),
				[CALL_EVENT_LIMIT] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_ENDING, CALL_DO_END),
			},
		[CALL_RECOVERING] =
			{
				[CALL_EVENT_SESSION] = GO(CALL_RECOVERING, CALL_DO_START_ENGINE),
				[CALL_EVENT_REFUSED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_READY] = GO(CALL_BRIDGED, CALL_DO_BRIDGE),
				[CALL_EVENT_ENGINE_LOST] = GO(CALL_RECOVERING, CALL_DO_RECOVER),
				[CALL_EVENT_ENGINE_FAILED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_ENDED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_END_FREE),
				[CALL_EVENT_LIMIT] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_ENDING, CALL_DO_END),
			},
		[CALL_FINISHING] =
			{
				[CALL_EVENT_REFUSED] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_ENGINE_LOST] = GO(CALL_FINISHING, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_ENGINE_FAILED] = GO(CALL_FINISHING, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_ENGINE_ENDED] = GO(CALL_FINISHING, CALL_DO_DROP_ENGINE),
				[CALL_EVENT_PLAYED_OUT] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_END_FREE),
				[CALL_EVENT_LIMIT] = GO(CALL_ENDING, CALL_DO_END),
				[CALL_EVENT_SHUTDOWN] = GO(CALL_ENDING, CALL_DO_END),
			},
		[CALL_ENDING] =
			{
				[CALL_EVENT_STREAM_CLOSED] = GO(CALL_GONE, CALL_DO_FREE),
			},
};

struct call_step
call_state_step(enum call_state state, enum call_event event)
{
	struct call_step stay = {state, CALL_DO_NOTHING};

	if ((unsigned) state >= CALL_STATE_COUNT || (unsigned) event >= CALL_EVENT_COUNT)
		return stay;
	return table[state][event].known ? table[state][event].step : stay;
}

const char *
call_state_name(enum call_state state)
{
	static const char *const names[CALL_STATE_COUNT] = {
		"preparing", "ready",	   "unfit",		"asking", "connected",
		"bridged",	 "recovering", "finishing", "ending", "gone",
	};

	return (unsigned) state < CALL_STATE_COUNT ? names[state] : "?";
}

const char *
call_event_name(enum call_event event)
{
	static const char *const names[CALL_EVENT_COUNT] = {
		"stream",		"session", "refused",	 "engine ready",  "engine lost", "engine failed",
		"engine ended", "hang-up", "played out", "stream closed", "limit",		 "shutdown",
	};

	return (unsigned) event < CALL_EVENT_COUNT ? names[event] : "?";
}
