/*
 * realtime_slow.h: the general parser behind realtime_parse, for its tests alone: they compare what
 * it makes of an audio message with what the fast path makes of it.
 */
#ifndef VA_CORE_REALTIME_SLOW_H
#define VA_CORE_REALTIME_SLOW_H

#include "core/realtime.h"

enum engine_event_type realtime_parse_slow(const char *text, size_t len, struct engine_event *out,
										   struct va_error *err);

#endif
