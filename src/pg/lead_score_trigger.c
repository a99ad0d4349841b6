/*
 * lead_score_trigger.c: the trigger that keeps leads.lead_score and lead_temperature true.
 *
 * It runs for every lead that is written, so it must cost next to nothing: the data and the
 * engagement are in the row, and the tenant's criteria are kept in memory, checked and ready. What
 * is in memory is forgotten when any session commits other criteria: it announces an
 * invalidation of the table `tenants`, which the server carries to all sessions. Criteria are read
 * with the newest snapshot, never with a statement's own, which may be older than an announcement
 * already heard: what was read so would stay wrong.
 *
 * What a transaction reads after it has itself changed criteria is forgotten when it ends, or rolls back
 * a part.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "pg/errcodes.h"
#include "pg/lead_score.h"
#include "worker/compat.h"

PG_FUNCTION_INFO_V1(va_lead_score_trigger);
PG_FUNCTION_INFO_V1(va_criteria_forget);

#define TENANTS_MAX 10000 /* more are not kept: the memory is one session's */

struct kept
{
	pg_uuid_t tenant;
	struct bant_criteria criteria;
};

static HTAB *kept = NULL;
static Oid kept_relation = InvalidOid; /* tenants */
static bool changed_here = false; /* by the transaction under way */

/* ---- criteria ----------------------------------------------------------------------------------- */

static void
forget_all(void)
{
	if (kept != NULL)
		hash_destroy(kept);
	kept = NULL;
	kept_relation = InvalidOid;
}

static void
heard_invalidation(Datum arg, Oid relation)
{
	if (kept != NULL && (relation == kept_relation || !OidIsValid(relation)))
		forget_all();
}

static void
start_keeping(Oid tenants)
{
	static bool listening = false;
	HASHCTL control = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(struct kept)};

	if (!listening)
		CacheRegisterRelcacheCallback(heard_invalidation, (Datum) 0);
	listening = true;
	kept = hash_create("voiceagent criteria", 64, &control, HASH_ELEM | HASH_BLOBS);
	kept_relation = tenants;
}

/* Runs va_lead_criteria(tenant) with the rights of the table's owner: the writer of a lead need not be
 * allowed to read settings. */
static void
read_criteria(Relation leads, Datum tenant, struct bant_criteria *criteria)
{
	Oid types[] = {UUIDOID};
	char *schema = get_namespace_name(RelationGetNamespace(leads));
	char *query = psprintf("SELECT %s.va_lead_criteria($1)", quote_identifier(schema));
	Oid user;
	int context;
	SPIPlanPtr plan;
	bool isnull;
	Datum json;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(leads->rd_rel->relowner, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	plan = SPI_prepare(query, 1, types);
	if (plan == NULL || SPI_execute_snapshot(plan, &tenant, NULL, GetLatestSnapshot(),
											 InvalidSnapshot, true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the criteria of a tenant");
	json = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		bant_criteria_default(criteria);
	else
		lead_criteria(DatumGetJsonbP(json), criteria);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

/* The tenant's criteria, from memory if they are there. */
static void
tenant_criteria(Relation leads, Datum tenant, struct bant_criteria *criteria)
{
	pg_uuid_t *id = DatumGetUUIDP(tenant);
	struct kept *entry;
	Oid tenants;

	entry = kept == NULL ? NULL : hash_search(kept, id, HASH_FIND, NULL);
	if (entry != NULL)
	{
		*criteria = entry->criteria;
		return;
	}
	tenants = get_relname_relid("tenants", RelationGetNamespace(leads));
	if (kept == NULL)
		start_keeping(tenants);
	read_criteria(leads, tenant, criteria);
	/* Gone: an invalidation came while it was read, so it may be old already. */
	if (kept == NULL)
		return;
	if (hash_get_num_entries(kept) >= TENANTS_MAX)
		return;
	entry = hash_search(kept, id, HASH_ENTER, NULL);
	entry->criteria = *criteria;
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (changed_here &&
		(event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE))
	{
		forget_all();
		changed_here = false;
	}
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (changed_here && event == SUBXACT_EVENT_ABORT_SUB)
		forget_all();
}

/* va_criteria_forget(tenants regclass): criteria were changed; here at once, elsewhere at commit. */
Datum
va_criteria_forget(PG_FUNCTION_ARGS)
{
	static bool listening = false;

	if (!listening)
	{
		RegisterXactCallback(transaction_ended, NULL);
		RegisterSubXactCallback(subtransaction_ended, NULL);
	}
	listening = true;
	forget_all();
	changed_here = true;
	CacheInvalidateRelcacheByRelid(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

/* ---- the trigger -------------------------------------------------------------------------------- */

static Datum
column(HeapTuple row, TupleDesc desc, const char *name, bool *isnull)
{
	int number = SPI_fnumber(desc, name);

	if (number <= 0)
		elog(ERROR, "leads has no column \"%s\"", name);
	return heap_getattr(row, number, desc, isnull);
}

static void
score_row(Relation leads, HeapTuple row, struct bant_result *result)
{
	TupleDesc desc = RelationGetDescr(leads);
	struct signals signals;
	struct bant_criteria criteria;
	bool isnull;
	Datum value;
	double engagement;

	value = column(row, desc, "engagement_score", &isnull);
	engagement = isnull ? NAN : DatumGetFloat8(value);
	value = column(row, desc, "qualification_data", &isnull);
	if (isnull)
	{
		signals_init(&signals);
		signals_engagement(&signals, engagement);
	}
	else
		lead_signals(DatumGetJsonbP(value), engagement, &signals);
	value = column(row, desc, "tenant_id", &isnull);
	if (isnull)
		bant_criteria_default(&criteria);
	else
		tenant_criteria(leads, value, &criteria);
	bant_score(&signals.bant, &criteria, result);
}

/* A temperature that is none stays, for the table's CHECK to refuse. */
static bool
is_nonsense(HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum value = column(row, desc, "lead_temperature", &isnull);
	text *name;

	if (isnull)
		return false;
	name = DatumGetTextPP(value);
	return bant_temperature_find(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) < 0;
}

/* BEFORE INSERT OR UPDATE ON leads FOR EACH ROW. */
Datum
va_lead_score_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	HeapTuple row;
	struct bant_result result;
	int columns[2];
	Datum values[2];
	bool nulls[2] = {false, false};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "va_lead_score_trigger is a BEFORE trigger for rows of leads");
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	score_row(trigger->tg_relation, row, &result);
	columns[0] = SPI_fnumber(desc, "lead_score");
	columns[1] = SPI_fnumber(desc, "lead_temperature");
	values[0] = Float8GetDatum(result.score);
	values[1] = CStringGetTextDatum(bant_temperature_name(result.temperature));
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, is_nonsense(row, desc) ? 1 : 2,
													 columns, values, nulls));
}
