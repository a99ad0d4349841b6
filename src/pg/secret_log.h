/*
 * secret_log.h: statements that carry a secret stay out of the log.
 */
#ifndef VA_PG_SECRET_LOG_H
#define VA_PG_SECRET_LOG_H

/* Installs the hook; called once, when the library is loaded. */
void secret_log_install(void);

#endif
