/*
 * google.h: the provider of Google Calendar.
 */
#ifndef VA_DISPATCHER_GOOGLE_H
#define VA_DISPATCHER_GOOGLE_H

#include "dispatcher/job.h"

extern const struct provider google_provider;

#endif
