/*
 * utility.c: notices the commands that concern the workers.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE … TEMPLATE want the database to
 * themselves and would find the scheduler in it. So it is stopped for the time of the command, when
 * the user is one who may give it.
 *
 * CREATE, ALTER and DROP EXTENSION voiceagent, once committed, wake the workers: what should start
 * or stop does so at once. (An extension that goes with its schema is noticed by the next pass.)
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "tcop/utility.h"

#include "worker/compat.h"
#include "worker/runtime.h"
#include "worker/settings.h"
#include "worker/utility.h"

static ProcessUtility_hook_type previous_hook = NULL;
static bool extension_touched = false; /* in this transaction */

/* The database that the command wants to itself, or NULL. */
static const char *
database_wanted(Node *command)
{
	ListCell *cell;

	if (IsA(command, DropdbStmt))
		return ((DropdbStmt *) command)->dbname;
	if (IsA(command, AlterDatabaseStmt))
		return ((AlterDatabaseStmt *) command)->dbname;
	if (IsA(command, RenameStmt) && ((RenameStmt *) command)->renameType == OBJECT_DATABASE)
		return ((RenameStmt *) command)->subname;
	if (!IsA(command, CreatedbStmt))
		return NULL;
	foreach (cell, ((CreatedbStmt *) command)->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* Asked of everybody, so cheap questions first. */
static bool
must_hold(Node *command)
{
	const char *name = database_wanted(command);
	Oid database;

	if (name == NULL || strcmp(name, setting_database) != 0)
		return false;
	database = get_database_oid(name, true);
	return OidIsValid(database) && compat_owns_database(database, GetUserId());
}

static bool
touches_extension(Node *command)
{
	ListCell *cell;

	if (IsA(command, CreateExtensionStmt))
		return strcmp(((CreateExtensionStmt *) command)->extname, "voiceagent") == 0;
	if (IsA(command, AlterExtensionStmt))
		return strcmp(((AlterExtensionStmt *) command)->extname, "voiceagent") == 0;
	if (!IsA(command, DropStmt) || ((DropStmt *) command)->removeType != OBJECT_EXTENSION)
		return false;
	foreach (cell, ((DropStmt *) command)->objects)
	{
		if (IsA(lfirst(cell), String) && strcmp(strVal(lfirst(cell)), "voiceagent") == 0)
			return true;
	}
	return false;
}

static void
process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo parameters,
				QueryEnvironment *environment, DestReceiver *destination,
				QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_hook ? previous_hook : standard_ProcessUtility;
	Node *command = statement->utilityStmt;
	bool touches = touches_extension(command);

	if (!must_hold(command))
		next(statement, query, read_only_tree, context, parameters, environment, destination,
			 completion);
	else
	{
		PG_TRY();
		{
			runtime_hold();
			next(statement, query, read_only_tree, context, parameters, environment, destination,
				 completion);
		}
		PG_FINALLY();
		{
			runtime_release();
		}
		PG_END_TRY();
	}
	extension_touched = extension_touched || touches;
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (extension_touched && event == XACT_EVENT_COMMIT)
		runtime_nudge();
	extension_touched = false;
}

void
utility_install(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(at_end_of_transaction, NULL);
}
