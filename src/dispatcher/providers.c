/*
 * providers.c: the table of providers. Adding one is adding its line.
 */
#include <stddef.h>

#include "dispatcher/announce.h"
#include "dispatcher/job.h"
#include "dispatcher/sink.h"
#include "dispatcher/storage.h"

const struct provider *const providers[] = {
	&hook_provider, &otlp_provider, &push_provider, &sink_provider, &storage_provider, NULL,
};
