/*
 * announce.h: telling others by one POST of JSON: a tenant's own end points, people's phones (ntfy),
 * a collector of traces (OTLP).
 */
#ifndef VA_DISPATCHER_ANNOUNCE_H
#define VA_DISPATCHER_ANNOUNCE_H

#include "dispatcher/job.h"

extern const struct provider hook_provider; /* hook.post */
extern const struct provider push_provider; /* push.ntfy */
extern const struct provider otlp_provider; /* otlp.trace */

#endif
