/*
 * lead_counts.c: the triggers that keep the counts behind lead_funnel (sql/86_lead_counts.sql says
 * how they are kept and why so).
 *
 * AFTER a statement on leads they compare what it took with what it brought, and write one row of
 * lead_counts for each group (tenant, temperature, status) whose sums changed. Nearly every update of a lead
 * changes none of them. Such a one must cost next to nothing, and no query is run for it: hence C.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "worker/compat.h"

PG_FUNCTION_INFO_V1(va_lead_counts_trigger);

#define WORD_SIZE 200 /* a VARCHAR(50) in any encoding */

/* Zeroed before it is filled: it is compared and hashed as bytes. */
struct group_key
{
	pg_uuid_t tenant;
	uint16 tenant_known, temperature_size, status_size; /* 0: NULL; sizes count one more */
	char temperature[WORD_SIZE], status[WORD_SIZE];
};

struct group
{
	struct group_key key;
	int64 leads, scored;
	Datum score; /* numeric */
};

struct lead
{
	struct group_key key;
	bool scored;
	double score;
};

/* One trigger's work. */
struct count
{
	TupleDesc desc;
	int tenant_id, lead_temperature, status, lead_score; /* columns */
	HTAB *groups; /* made when the first one changes */
	MemoryContext row; /* emptied after each row */
};

/* ---- rows --------------------------------------------------------------------------------------- */

static int
column(TupleDesc desc, const char *name)
{
	int number = SPI_fnumber(desc, name);

	if (number <= 0)
		elog(ERROR, "leads has no column \"%s\"", name);
	return number;
}

static void
read_word(TupleTableSlot *slot, int number, char *word, uint16 *size)
{
	bool isnull;
	Datum value = slot_getattr(slot, number, &isnull);
	text *t;

	if (isnull)
		return;
	t = DatumGetTextPP(value);
	if (VARSIZE_ANY_EXHDR(t) > WORD_SIZE)
		elog(ERROR, "a word of a lead is too long");
	memcpy(word, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	*size = VARSIZE_ANY_EXHDR(t) + 1;
}

static void
read_lead(struct count *c, TupleTableSlot *slot, struct lead *lead)
{
	bool isnull;
	Datum value;

	memset(lead, 0, sizeof(*lead));
	value = slot_getattr(slot, c->tenant_id, &isnull);
	if (!isnull)
	{
		lead->key.tenant = *DatumGetUUIDP(value);
		lead->key.tenant_known = 1;
	}
	read_word(slot, c->lead_temperature, lead->key.temperature, &lead->key.temperature_size);
	read_word(slot, c->status, lead->key.status, &lead->key.status_size);
	value = slot_getattr(slot, c->lead_score, &isnull);
	lead->scored = !isnull;
	lead->score = isnull ? 0 : DatumGetFloat8(value);
}

static bool
counts_the_same(const struct lead *a, const struct lead *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key)) == 0 && a->scored == b->scored &&
		   a->score == b->score;
}

/* ---- sums --------------------------------------------------------------------------------------- */

static struct group *
find_group(struct count *c, const struct group_key *key)
{
	HASHCTL control = {.keysize = sizeof(struct group_key), .entrysize = sizeof(struct group)};
	struct group *group;
	bool found;

	if (c->groups == NULL)
	{
		control.hcxt = CurrentMemoryContext;
		c->groups =
			hash_create("leads by group", 8, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	group = hash_search(c->groups, key, HASH_ENTER, &found);
	if (!found)
	{
		group->leads = group->scored = 0;
		group->score = NumericGetDatum(int64_to_numeric(0));
	}
	return group;
}

/* Scores are added as numeric, made of a double's 15 digits: what was added can be taken away again. */
static void
add_score(struct count *c, struct group *group, double score, bool added)
{
	MemoryContext caller = MemoryContextSwitchTo(c->row);
	Datum number = DirectFunctionCall1(float8_numeric, Float8GetDatum(score));
	Datum sum = added ? DirectFunctionCall2(numeric_add, group->score, number)
					  : DirectFunctionCall2(numeric_sub, group->score, number);

	MemoryContextSwitchTo(caller);
	pfree(DatumGetPointer(group->score));
	group->score = datumCopy(sum, false, -1);
	MemoryContextReset(c->row);
}

static void
count_lead(struct count *c, const struct lead *lead, bool added)
{
	struct group *group = find_group(c, &lead->key);

	group->leads += added ? 1 : -1;
	if (!lead->scored)
		return;
	group->scored += added ? 1 : -1;
	add_score(c, group, lead->score, added);
}

/* ---- what came and what went -------------------------------------------------------------------- */

static TupleTableSlot *
start_reading(struct count *c, Tuplestorestate *store)
{
	/* A place of our own in it: other triggers read the same. */
	tuplestore_select_read_pointer(store, tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND));
	tuplestore_rescan(store);
	return MakeSingleTupleTableSlot(c->desc, &TTSOpsMinimalTuple);
}

static bool
next_lead(struct count *c, Tuplestorestate *store, TupleTableSlot *slot, struct lead *lead)
{
	if (store == NULL || !tuplestore_gettupleslot(store, true, false, slot))
		return false;
	read_lead(c, slot, lead);
	return true;
}

/* The tables of an update hold its rows in one order, so that most pairs are one lead before and after. Were
 * it another order, the sums would be the same. */
static void
count_changes(struct count *c, Tuplestorestate *removed, Tuplestorestate *added)
{
	TupleTableSlot *old_slot = removed == NULL ? NULL : start_reading(c, removed);
	TupleTableSlot *new_slot = added == NULL ? NULL : start_reading(c, added);
	struct lead old_lead, new_lead;

	for (;;)
	{
		bool had = next_lead(c, removed, old_slot, &old_lead);
		bool has = next_lead(c, added, new_slot, &new_lead);

		if (!had && !has)
			break;
		CHECK_FOR_INTERRUPTS();
		if (had && has && counts_the_same(&old_lead, &new_lead))
			continue;
		if (had)
			count_lead(c, &old_lead, false);
		if (has)
			count_lead(c, &new_lead, true);
	}
	if (old_slot != NULL)
		ExecDropSingleTupleTableSlot(old_slot);
	if (new_slot != NULL)
		ExecDropSingleTupleTableSlot(new_slot);
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* Kept for the session, for the schema of these leads (the extension may be dropped and made in another). */
static SPIPlanPtr
insert_plan(Relation leads)
{
	static SPIPlanPtr plan = NULL;
	static Oid plan_leads = InvalidOid;
	Oid types[] = {UUIDOID, TEXTOID, TEXTOID, INT8OID, INT8OID, NUMERICOID};
	char *schema;

	if (plan != NULL && plan_leads == RelationGetRelid(leads))
		return plan;
	if (plan != NULL)
		SPI_freeplan(plan);
	schema = get_namespace_name(RelationGetNamespace(leads));
	plan = SPI_prepare(psprintf("INSERT INTO %s.lead_counts "
								"(tenant_id, lead_temperature, status, leads, scored, score) "
								"VALUES ($1, $2, $3, $4, $5, $6)",
								quote_identifier(schema)),
					   6, types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the counting of leads");
	plan_leads = RelationGetRelid(leads);
	return plan;
}

static void
write_group(SPIPlanPtr plan, struct group *group)
{
	struct group_key *key = &group->key;
	char nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};
	Datum values[6] = {0};

	nulls[0] = key->tenant_known ? ' ' : 'n';
	values[0] = UUIDPGetDatum(&key->tenant);
	if (key->temperature_size == 0)
		nulls[1] = 'n';
	else
		values[1] =
			PointerGetDatum(cstring_to_text_with_len(key->temperature, key->temperature_size - 1));
	if (key->status_size == 0)
		nulls[2] = 'n';
	else
		values[2] = PointerGetDatum(cstring_to_text_with_len(key->status, key->status_size - 1));
	values[3] = Int64GetDatum(group->leads);
	values[4] = Int64GetDatum(group->scored);
	values[5] = group->score;
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not count leads");
}

/* With the rights of the table's owner: nobody else may write the counts. */
static void
write_groups(Relation leads, HTAB *groups)
{
	Datum zero = NumericGetDatum(int64_to_numeric(0));
	HASH_SEQ_STATUS scan;
	struct group *group;
	SPIPlanPtr plan;
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(leads->rd_rel->relowner, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	plan = insert_plan(leads);
	hash_seq_init(&scan, groups);
	while ((group = hash_seq_search(&scan)) != NULL)
	{
		if (group->leads != 0 || group->scored != 0 ||
			DatumGetBool(DirectFunctionCall2(numeric_ne, group->score, zero)))
			write_group(plan, group);
	}
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

/* AFTER INSERT, UPDATE or DELETE ON leads FOR EACH STATEMENT, with the transition tables there are. */
Datum
va_lead_counts_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	struct count c = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		(trigger->tg_oldtable == NULL && trigger->tg_newtable == NULL))
		elog(ERROR, "va_lead_counts_trigger is an AFTER trigger for statements on leads");
	c.desc = RelationGetDescr(trigger->tg_relation);
	c.tenant_id = column(c.desc, "tenant_id");
	c.lead_temperature = column(c.desc, "lead_temperature");
	c.status = column(c.desc, "status");
	c.lead_score = column(c.desc, "lead_score");
	c.row = AllocSetContextCreate(CurrentMemoryContext, "counting of leads", ALLOCSET_SMALL_SIZES);
	count_changes(&c, trigger->tg_oldtable, trigger->tg_newtable);
	if (c.groups != NULL)
	{
		write_groups(trigger->tg_relation, c.groups);
		hash_destroy(c.groups);
	}
	MemoryContextDelete(c.row);
	return PointerGetDatum(NULL);
}
