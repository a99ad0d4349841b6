/*
 * voiceagent.c: what the server does when it loads the library. Nothing else.
 *
 * Preloaded (shared_preload_libraries), the extension is whole: settings, shared memory, launcher.
 * Loaded by a session, because a SQL function of it was called, it has its settings and functions;
 * nothing runs in the background.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "pg/secret_log.h"
#include "worker/launcher.h"
#include "worker/runtime.h"
#include "worker/settings.h"
#include "worker/utility.h"
#include "worker/wake.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_shared_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	runtime_request();
	wake_request();
}

static void
start_shared_memory(void)
{
	if (previous_startup_hook != NULL)
		previous_startup_hook();
	runtime_startup();
	wake_startup();
}

void
_PG_init(void)
{
	bool preloaded = process_shared_preload_libraries_in_progress;

	/* pg_upgrade runs servers whose databases nobody else may touch. */
	if (IsBinaryUpgrade)
		return;
	settings_define(preloaded);
	secret_log_install();
	if (!preloaded)
		return;

	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	utility_install();
	wake_install();
	launcher_register();
}
