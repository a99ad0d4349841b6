/*
 * providers.c: the table of providers. Adding one is adding its line.
 */
#include <stddef.h>

#include "dispatcher/announce.h"
#include "dispatcher/google.h"
#include "dispatcher/job.h"
#include "dispatcher/odoo.h"
#include "dispatcher/sendgrid.h"
#include "dispatcher/sink.h"
#include "dispatcher/smtp.h"
#include "dispatcher/storage.h"
#include "dispatcher/twilio.h"

const struct provider *const providers[] = {
	&google_provider,
	&hook_provider,
	&odoo_provider,
	&otlp_provider,
	&push_provider,
	&sendgrid_provider,
	&sink_provider,
	&smtp_provider,
	&storage_provider,
	&twilio_provider,
	NULL,
};
