/*
 * smtp.h: the provider of e-mail by SMTP.
 */
#ifndef VA_DISPATCHER_SMTP_H
#define VA_DISPATCHER_SMTP_H

#include "dispatcher/job.h"

extern const struct provider smtp_provider;

#endif
