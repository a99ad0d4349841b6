/*
 * call_state.h: the life of a call in the gateway, as a table.
 *
 *   answer webhook                       stream with an unknown token
 *        |                                        |
 *   PREPARING --engine ready--> READY          ASKING --refused--> ENDING
 *     |    \                      |               |
 *     |     failed                |            session
 *     |       \                   |               |
 *   stream   UNFIT --stream--.  stream            |
 *     |                      |    |               |
 *     '----> CONNECTED <-----+----+---------------'
 *                |           |    |
 *           engine ready     |    |
 *                |           |    |
 *             BRIDGED <------+----'
 *              |  ^ \        |
 *   engine lost|  |  \ hang-up, engine ended
 *              v  |   v      v
 *        RECOVERING  FINISHING --played out--> ENDING --stream closed--> GONE
 *
 * From every state with a stream: a limit or a shutdown leads to ENDING, the stream's closing to
 * GONE. PREPARING, READY and UNFIT have no stream; they are discarded when none comes.
 *
 * The table says what follows and which action is due; call.c does it. That keeps the rules in one
 * place, where a test can walk every state with every event.
 */
#ifndef VA_GATEWAY_CALL_STATE_H
#define VA_GATEWAY_CALL_STATE_H

enum call_state
{
	CALL_PREPARING, /* the session is known, its engine on the way, no stream yet */
	CALL_READY, /* the engine waits for the stream */
	CALL_UNFIT, /* the engine cannot be had; the stream will be told so */
	CALL_ASKING, /* a stream whose token the database must judge */
	CALL_CONNECTED, /* the stream waits for the engine */
	CALL_BRIDGED, /* audio flows */
	CALL_RECOVERING, /* the engine was lost; another one is on the way */
	CALL_FINISHING, /* the agent's last words play out */
	CALL_ENDING, /* the stream is being closed */
	CALL_GONE, /* nothing left but to free it */
	CALL_STATE_COUNT
};

enum call_event
{
	CALL_EVENT_STREAM, /* Twilio's start, with this call's token */
	CALL_EVENT_SESSION, /* the database gave the session that was asked for */
	CALL_EVENT_REFUSED, /* the database refused the token, or a new session */
	CALL_EVENT_ENGINE_READY, /* audio may flow */
	CALL_EVENT_ENGINE_LOST, /* gone, and another attempt is allowed */
	CALL_EVENT_ENGINE_FAILED, /* gone, and no attempt is left */
	CALL_EVENT_ENGINE_ENDED, /* the engine ended the conversation in good order */
	CALL_EVENT_HANGUP, /* the agent wants to end the call */
	CALL_EVENT_PLAYED_OUT, /* the caller has heard all that was sent */
	CALL_EVENT_STREAM_CLOSED, /* Twilio's stop, or the socket is gone */
	CALL_EVENT_LIMIT, /* a time limit passed; the call knows which */
	CALL_EVENT_SHUTDOWN, /* the program stops */
	CALL_EVENT_COUNT
};

enum call_action
{
	CALL_DO_NOTHING,
	CALL_DO_ATTACH, /* take the stream, wait for the engine */
	CALL_DO_ATTACH_BRIDGE, /* take the stream, audio flows at once */
	CALL_DO_ATTACH_END, /* take the stream, only to end it with a reason on record */
	CALL_DO_START_ENGINE,
	CALL_DO_NOTE_READY, /* ready before the stream: remember when */
	CALL_DO_BRIDGE,
	CALL_DO_RECOVER, /* ask the database for a session that continues this one */
	CALL_DO_FINISH,
	CALL_DO_DROP_ENGINE,
	CALL_DO_END, /* record the end, close engine and stream */
	CALL_DO_END_FREE, /* the same, the stream being gone already */
	CALL_DO_FREE,
	CALL_DO_DISCARD /* no stream ever came */
};

struct call_step
{
	enum call_state next;
	enum call_action action;
};

/* What follows; an event without meaning in a state changes nothing. */
struct call_step call_state_step(enum call_state state, enum call_event event);

const char *call_state_name(enum call_state state);
const char *call_event_name(enum call_event event);

#endif
