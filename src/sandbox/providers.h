/*
 * providers.h: the stand-ins behind `voiceagent sandbox providers`; stand_ins.c has the table.
 */
#ifndef VA_SANDBOX_PROVIDERS_H
#define VA_SANDBOX_PROVIDERS_H

#include "sandbox/stand_in.h"

extern const struct stand_in google_stand_in;
extern const struct stand_in hooks_stand_in;
extern const struct stand_in ntfy_stand_in;
extern const struct stand_in odoo_stand_in;
extern const struct stand_in otlp_stand_in;
extern const struct stand_in recordings_stand_in;
extern const struct stand_in s3_stand_in;
extern const struct stand_in sendgrid_stand_in;
extern const struct stand_in sink_stand_in;
extern const struct stand_in smtp_stand_in;
extern const struct stand_in twilio_stand_in;

#endif
