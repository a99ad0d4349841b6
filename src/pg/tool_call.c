/*
 * tool_call.c: va_tool_run, which calls one tool's SQL function and survives whatever it does.
 *
 * The function runs in a subtransaction, so its error undoes its own work alone, and under a timer of
 * its own: statement_timeout cannot be changed for a statement that is running. The timer asks for a
 * cancel exactly as pg_cancel_backend does; a cancel that somebody else asked for goes on as an error.
 *
 * Whether a function may be called at all is decided in SQL (va_tool_function), before.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

#include "pg/errcodes.h"

PG_FUNCTION_INFO_V1(va_tool_run);

static TimeoutId tool_timeout = MAX_TIMEOUTS; /* MAX_TIMEOUTS: not registered in this backend yet */
static volatile sig_atomic_t tool_timed_out = false;

static void
tool_timeout_handler(void)
{
	tool_timed_out = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* Arms the timer; false when an outer tool's timer is running already, which then holds for both. */
static bool
timer_start(int timeout_ms)
{
	if (tool_timeout == MAX_TIMEOUTS)
		tool_timeout = RegisterTimeout(USER_TIMEOUT, tool_timeout_handler);
	if (get_timeout_active(tool_timeout))
		return false;
	tool_timed_out = false;
	enable_timeout_after(tool_timeout, timeout_ms);
	return true;
}

/* A timer that fired after the last check for interrupts must not cancel what comes next. */
static void
timer_stop(void)
{
	disable_timeout(tool_timeout, false);
	if (tool_timed_out)
		QueryCancelPending = false;
}

/* Takes the current error off the stack and answers whether it may be swallowed. */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	return error;
}

/* Runs the function; NULL on success with *result filled (isnull for SQL NULL), else its error. */
static ErrorData *
run_in_subtransaction(Oid function, Datum call_id, Datum arguments, NullableDatum *result)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	FmgrInfo info;

	fmgr_info(function, &info);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		LOCAL_FCINFO(fcinfo, 2);

		InitFunctionCallInfoData(*fcinfo, &info, 2, InvalidOid, NULL, NULL);
		fcinfo->args[0].value = call_id;
		fcinfo->args[0].isnull = false;
		fcinfo->args[1].value = arguments;
		fcinfo->args[1].isnull = false;
		result->value = FunctionCallInvoke(fcinfo);
		result->isnull = fcinfo->isnull;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		error = take_error(context);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static Datum
error_answer(const ErrorData *error, bool timed_out)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "sqlstate", unpack_sql_state(error->sqlerrcode));
	push_text(&state, "message",
			  timed_out ? "the tool took too long" : (error->message ? error->message : ""));
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * va_tool_run(function regprocedure, call_id uuid, arguments jsonb, timeout_ms integer,
 *             OUT result jsonb, OUT error jsonb)
 *
 * error is NULL, or {"sqlstate", "message"}; SQLSTATE 57014 says that it took longer than timeout_ms.
 */
Datum
va_tool_run(PG_FUNCTION_ARGS)
{
	NullableDatum result = {0, true};
	Datum values[2] = {0, 0};
	bool nulls[2] = {true, true};
	TupleDesc tupdesc;
	ErrorData *error;
	bool mine;
	bool timed_out;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "va_tool_run must return a row");
	mine = timer_start(PG_GETARG_INT32(3));
	error =
		run_in_subtransaction(PG_GETARG_OID(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), &result);
	timed_out = mine && tool_timed_out;
	if (mine)
		timer_stop();
	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED && !timed_out)
		ReThrowError(error);
	if (error != NULL)
	{
		values[1] = error_answer(error, timed_out && error->sqlerrcode == ERRCODE_QUERY_CANCELED);
		nulls[1] = false;
	}
	else
	{
		values[0] = result.value;
		nulls[0] = result.isnull;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
