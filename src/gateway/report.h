/*
 * report.h: the gateway's counters, told to the database, where va_stats() adds them up.
 */
#ifndef VA_GATEWAY_REPORT_H
#define VA_GATEWAY_REPORT_H

#include <stdint.h>

#include "gateway/gateway.h"

#define REPORT_TURN_MS 2000

/* Called every REPORT_TURN_MS: sends when something changed, and every fifth time anyway. */
void report_tick(struct gateway *g, uint64_t now_us);

#endif
