/*
 * sink.h: the provider "sink": posts JSON to the sandbox. For tests and measurements of the outbox,
 * and an example of a provider.
 */
#ifndef VA_DISPATCHER_SINK_H
#define VA_DISPATCHER_SINK_H

#include "dispatcher/job.h"

extern const struct provider sink_provider;

#endif
