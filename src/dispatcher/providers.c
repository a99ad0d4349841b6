/*
 * providers.c: the table of providers. Adding one is adding its line.
 */
#include <stddef.h>

#include "dispatcher/job.h"
#include "dispatcher/sink.h"

const struct provider *const providers[] = {
	&sink_provider,
	NULL,
};
