/*
 * providers.c: the table of providers. Adding one is adding its line.
 */
#include <stddef.h>

#include "dispatcher/job.h"
#include "dispatcher/odoo.h"
#include "dispatcher/sink.h"
#include "dispatcher/twilio.h"

const struct provider *const providers[] = {
	&odoo_provider,
	&sink_provider,
	&twilio_provider,
	NULL,
};
