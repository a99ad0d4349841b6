/*
 * stand_ins.c: the table of stand-ins. Adding one is adding its line.
 */
#include <stddef.h>

#include "sandbox/providers.h"

const struct stand_in *const stand_ins[] = {
	&google_stand_in, &hooks_stand_in,		&ntfy_stand_in,	  &odoo_stand_in,
	&otlp_stand_in,	  &recordings_stand_in, &s3_stand_in,	  &sendgrid_stand_in,
	&sink_stand_in,	  &smtp_stand_in,		&twilio_stand_in, NULL,
};
