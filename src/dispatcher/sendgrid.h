/*
 * sendgrid.h: the provider of e-mail by SendGrid's API.
 */
#ifndef VA_DISPATCHER_SENDGRID_H
#define VA_DISPATCHER_SENDGRID_H

#include "dispatcher/job.h"

extern const struct provider sendgrid_provider;

#endif
