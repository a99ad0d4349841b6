/*
 * lead_score.c: scoring in SQL: jsonb in, score, temperature and their parts out.
 *
 * The rules are in core/bant (weights, thresholds, sums) and core/signals (what words are worth);
 * here jsonb is walked and errors are raised. All functions are pure: what is read from tables comes
 * in as an argument, so they may be used in indexes and on other people's data.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "pg/errcodes.h"
#include "pg/lead_score.h"

PG_FUNCTION_INFO_V1(va_bant_score);
PG_FUNCTION_INFO_V1(va_bant_temperature);
PG_FUNCTION_INFO_V1(va_bant_explain);
PG_FUNCTION_INFO_V1(va_bant_criteria_check);
PG_FUNCTION_INFO_V1(va_bant_engagement);

/* A JSON value for core. Empty arrays and objects are null: they tell nothing. */
static struct bant_value
value_of(JsonbValue *json)
{
	struct bant_value value = {BANT_NULL};

	switch (json->type)
	{
		case jbvBool:
			value.kind = BANT_BOOLEAN;
			value.boolean = json->val.boolean;
			break;
		case jbvNumeric:
			value.kind = BANT_NUMBER;
			/* Numbers beyond a double become infinite, and are refused or cut as such. */
			value.number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
															  NumericGetDatum(json->val.numeric)));
			break;
		case jbvString:
			value.kind = BANT_TEXT;
			value.text = json->val.string.val;
			value.len = json->val.string.len;
			break;
		case jbvBinary:
			if (JsonContainerSize(json->val.binary.data) > 0)
				value.kind = JsonContainerIsArray(json->val.binary.data) ? BANT_ARRAY : BANT_OBJECT;
			break;
		default: break;
	}
	return value;
}

/* Calls `take` for each member of an object; a JSON null is an object without members. */
typedef bool (*take_member)(void *state, const char *name, size_t len,
							const struct bant_value *value, struct va_error *err);

static void
walk(Jsonb *object, const char *what, int code, take_member take, void *state)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue name = {0};
	JsonbValue json;
	struct va_error err;

	if (JB_ROOT_IS_SCALAR(object) &&
		getIthJsonbValueFromContainer(&object->root, 0)->type == jbvNull)
		return;
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(code), errmsg("%s must be a JSON object", what)));
	it = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&it, &json, true)) != WJB_DONE)
	{
		struct bant_value value;

		if (token == WJB_KEY)
			name = json;
		if (token != WJB_VALUE)
			continue;
		value = value_of(&json);
		if (!take(state, name.val.string.val, name.val.string.len, &value, &err))
			ereport(ERROR, (errcode(code), errmsg("invalid %s: %s", what, err.text)));
	}
}

static bool
take_signal(void *state, const char *name, size_t len, const struct bant_value *value,
			struct va_error *err)
{
	return signals_member(state, name, len, value, err);
}

static bool
take_criterion(void *state, const char *name, size_t len, const struct bant_value *value,
			   struct va_error *err)
{
	return bant_criteria_set(state, name, len, value, err);
}

void
lead_signals(Jsonb *data, double engagement, struct signals *signals)
{
	signals_init(signals);
	walk(data, "qualification data", ERRCODE_VA_QUALIFICATION, take_signal, signals);
	signals_engagement(signals, engagement);
}

void
lead_criteria(Jsonb *changes, struct bant_criteria *criteria)
{
	struct va_error err;

	bant_criteria_default(criteria);
	walk(changes, "qualification criteria", ERRCODE_VA_CRITERIA, take_criterion, criteria);
	if (!bant_criteria_check(criteria, &err))
		ereport(ERROR, (errcode(ERRCODE_VA_CRITERIA),
						errmsg("invalid qualification criteria: %s", err.text)));
}

/* The arguments (data jsonb, engagement double precision, criteria jsonb) as a result. */
static void
score_arguments(FunctionCallInfo fcinfo, struct signals *signals, struct bant_result *result)
{
	struct bant_criteria criteria;

	lead_signals(PG_GETARG_JSONB_P(0), PG_GETARG_FLOAT8(1), signals);
	lead_criteria(PG_GETARG_JSONB_P(2), &criteria);
	bant_score(&signals->bant, &criteria, result);
}

Datum
va_bant_score(PG_FUNCTION_ARGS)
{
	struct signals signals;
	struct bant_result result;

	score_arguments(fcinfo, &signals, &result);
	PG_RETURN_FLOAT8(result.score);
}

Datum
va_bant_temperature(PG_FUNCTION_ARGS)
{
	struct signals signals;
	struct bant_result result;

	score_arguments(fcinfo, &signals, &result);
	PG_RETURN_TEXT_P(cstring_to_text(bant_temperature_name(result.temperature)));
}

/* Rows (signal, value, weight, contribution, source), one a part; value and source are NULL for a
 * missing one. */
Datum
va_bant_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	struct signals signals;
	struct bant_result result;
	int i;

	score_arguments(fcinfo, &signals, &result);
	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; i < BANT_PARTS; i++)
	{
		Datum values[5] = {0};
		bool nulls[5] = {false, !result.part[i].present, false, false, signals.source[i] == NULL};

		values[0] = CStringGetTextDatum(bant_part_name(i));
		values[1] = Float8GetDatum(result.part[i].value);
		values[2] = Float8GetDatum(result.part[i].weight);
		values[3] = Float8GetDatum(result.part[i].contribution);
		if (signals.source[i] != NULL)
			values[4] = CStringGetTextDatum(signals.source[i]);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* True, or an error that names the member. */
Datum
va_bant_criteria_check(PG_FUNCTION_ARGS)
{
	struct bant_criteria criteria;

	lead_criteria(PG_GETARG_JSONB_P(0), &criteria);
	PG_RETURN_BOOL(true);
}

/* (calls, seconds, turns, messages, replies bigint, days double precision); days is NaN where there
 * was no contact. */
Datum
va_bant_engagement(PG_FUNCTION_ARGS)
{
	struct bant_activity activity = {
		.calls = PG_GETARG_INT64(0),
		.seconds = PG_GETARG_INT64(1),
		.turns = PG_GETARG_INT64(2),
		.messages = PG_GETARG_INT64(3),
		.replies = PG_GETARG_INT64(4),
		.days_since_contact = PG_GETARG_FLOAT8(5),
	};

	PG_RETURN_FLOAT8(bant_engagement(&activity));
}
