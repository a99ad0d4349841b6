/*
 * gateway_state_test.c: every state of a call with every event.
 */
#include "gateway/call_state.h"

#include "tap.h"

static bool
has_stream(enum call_state state)
{
	return state == CALL_ASKING || state == CALL_CONNECTED || state == CALL_BRIDGED ||
		   state == CALL_RECOVERING || state == CALL_FINISHING;
}

static bool
is_prepared(enum call_state state)
{
	return state == CALL_PREPARING || state == CALL_READY || state == CALL_UNFIT;
}

static void
rule(bool holds, enum call_state state, enum call_event event, const char *name)
{
	if (!holds)
		printf("# %s, %s: %s\n", call_state_name(state), call_event_name(event), name);
	check_that(holds);
}

/* What must hold whatever the table says. */
static void
check_cell(enum call_state state, enum call_event event)
{
	struct call_step step = call_state_step(state, event);
	bool ends = step.action == CALL_DO_END || step.action == CALL_DO_ATTACH_END;
	bool frees = step.action == CALL_DO_END_FREE || step.action == CALL_DO_FREE ||
				 step.action == CALL_DO_DISCARD;
	bool limited = event == CALL_EVENT_LIMIT || event == CALL_EVENT_SHUTDOWN;

	check_that((unsigned) step.next < CALL_STATE_COUNT);
	rule(ends == (step.next == CALL_ENDING && state != CALL_ENDING), state, event,
		 "ENDING is entered by an end");
	rule(frees == (step.next == CALL_GONE && state != CALL_GONE), state, event,
		 "GONE is entered by freeing");
	rule(step.next == state || step.action != CALL_DO_NOTHING, state, event,
		 "a change of state does something");
	if (has_stream(state) && event == CALL_EVENT_STREAM_CLOSED)
		rule(step.action == CALL_DO_END_FREE, state, event, "a call ends with its stream");
	if (has_stream(state) && limited)
		rule(step.action == CALL_DO_END, state, event, "limits are obeyed");
	if (is_prepared(state) && limited)
		rule(step.action == CALL_DO_DISCARD, state, event, "a prepared call is discarded");
	if (is_prepared(state) && event == CALL_EVENT_STREAM)
		rule(has_stream(step.next) || step.action == CALL_DO_ATTACH_END, state, event,
			 "the stream is taken");
	if (!is_prepared(state) && event == CALL_EVENT_STREAM)
		rule(step.next == state && step.action == CALL_DO_NOTHING, state, event,
			 "no second stream is taken");
}

/* Walks a path; true when each event leads to the state beside it. */
struct leg
{
	enum call_event event;
	enum call_state state;
	enum call_action action;
};

static bool
walk(enum call_state state, const struct leg *legs, int count)
{
	for (int i = 0; i < count; i++)
	{
		struct call_step step = call_state_step(state, legs[i].event);

		if (step.next != legs[i].state || step.action != legs[i].action)
			return false;
		state = step.next;
	}
	return true;
}

#define WALK(from, ...)                                                                            \
	walk(from, (const struct leg[]){__VA_ARGS__},                                                  \
		 (int) (sizeof((const struct leg[]){__VA_ARGS__}) / sizeof(struct leg)))

int
main(void)
{
	plan(10);
	for (int state = 0; state < CALL_STATE_COUNT; state++)
		for (int event = 0; event < CALL_EVENT_COUNT; event++)
			check_cell((enum call_state) state, (enum call_event) event);
	checked("%d cells obey the rules", CALL_STATE_COUNT * CALL_EVENT_COUNT);
	for (int event = 0; event < CALL_EVENT_COUNT; event++)
	{
		struct call_step step = call_state_step(CALL_GONE, (enum call_event) event);

		check_that(step.next == CALL_GONE && step.action == CALL_DO_NOTHING);
	}
	checked("nothing happens to a call that is gone");
	ok(WALK(CALL_PREPARING, {CALL_EVENT_ENGINE_READY, CALL_READY, CALL_DO_NOTE_READY},
			{CALL_EVENT_STREAM, CALL_BRIDGED, CALL_DO_ATTACH_BRIDGE},
			{CALL_EVENT_HANGUP, CALL_FINISHING, CALL_DO_FINISH},
			{CALL_EVENT_PLAYED_OUT, CALL_ENDING, CALL_DO_END},
			{CALL_EVENT_STREAM_CLOSED, CALL_GONE, CALL_DO_FREE}),
	   "a usual call, the engine first");
	ok(WALK(CALL_PREPARING, {CALL_EVENT_STREAM, CALL_CONNECTED, CALL_DO_ATTACH},
			{CALL_EVENT_ENGINE_READY, CALL_BRIDGED, CALL_DO_BRIDGE},
			{CALL_EVENT_STREAM_CLOSED, CALL_GONE, CALL_DO_END_FREE}),
	   "a usual call, the stream first");
	ok(WALK(CALL_ASKING, {CALL_EVENT_SESSION, CALL_CONNECTED, CALL_DO_START_ENGINE},
			{CALL_EVENT_ENGINE_READY, CALL_BRIDGED, CALL_DO_BRIDGE}),
	   "a stream that another process prepared");
	ok(WALK(CALL_ASKING, {CALL_EVENT_REFUSED, CALL_ENDING, CALL_DO_END}),
	   "a token that the database refuses");
	ok(WALK(CALL_BRIDGED, {CALL_EVENT_ENGINE_LOST, CALL_RECOVERING, CALL_DO_RECOVER},
			{CALL_EVENT_SESSION, CALL_RECOVERING, CALL_DO_START_ENGINE},
			{CALL_EVENT_ENGINE_LOST, CALL_RECOVERING, CALL_DO_RECOVER},
			{CALL_EVENT_SESSION, CALL_RECOVERING, CALL_DO_START_ENGINE},
			{CALL_EVENT_ENGINE_READY, CALL_BRIDGED, CALL_DO_BRIDGE}),
	   "an engine lost in mid-call and found again");
	ok(WALK(CALL_RECOVERING, {CALL_EVENT_ENGINE_FAILED, CALL_ENDING, CALL_DO_END}),
	   "an engine that stays away");
	ok(WALK(CALL_PREPARING, {CALL_EVENT_ENGINE_FAILED, CALL_UNFIT, CALL_DO_DROP_ENGINE},
			{CALL_EVENT_STREAM, CALL_ENDING, CALL_DO_ATTACH_END}),
	   "an engine that never came: the stream is told");
	ok(call_state_step((enum call_state) 99, CALL_EVENT_LIMIT).action == CALL_DO_NOTHING &&
		   call_state_step(CALL_BRIDGED, (enum call_event) 99).next == CALL_BRIDGED,
	   "numbers beyond the table change nothing");
	return done();
}
