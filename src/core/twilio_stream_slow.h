/*
 * twilio_stream_slow.h: the general parser behind twilio_stream_parse, for its tests alone: they
 * compare what it makes of a media message with what the fast path makes of it.
 */
#ifndef VA_CORE_TWILIO_STREAM_SLOW_H
#define VA_CORE_TWILIO_STREAM_SLOW_H

#include "core/twilio_stream.h"

enum twilio_event twilio_stream_parse_slow(const char *text, size_t len, struct twilio_message *out,
										   struct va_error *err);

#endif
