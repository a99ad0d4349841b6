/*
 * errcodes.h: the product's own SQLSTATEs, class VA.
 *
 * The SQL functions raise the same codes by their text ('VA001'); docs/sql-reference.md explains each
 * to the user. A code keeps its meaning for ever.
 */
#ifndef VA_PG_ERRCODES_H
#define VA_PG_ERRCODES_H

#include "utils/elog.h"

#define ERRCODE_VA_UNKNOWN_TENANT MAKE_SQLSTATE('V', 'A', '0', '0', '1')
#define ERRCODE_VA_PHONE MAKE_SQLSTATE('V', 'A', '0', '0', '3')
#define ERRCODE_VA_UNKNOWN_CALL MAKE_SQLSTATE('V', 'A', '0', '0', '4')
#define ERRCODE_VA_ARGUMENT MAKE_SQLSTATE('V', 'A', '0', '0', '5')
#define ERRCODE_VA_KEY_FILE MAKE_SQLSTATE('V', 'A', '0', '0', '6')
#define ERRCODE_VA_SECRET MAKE_SQLSTATE('V', 'A', '0', '0', '7')
#define ERRCODE_VA_TOOL MAKE_SQLSTATE('V', 'A', '0', '0', '8')
#define ERRCODE_VA_SETTING MAKE_SQLSTATE('V', 'A', '0', '0', '9')
#define ERRCODE_VA_TWIML MAKE_SQLSTATE('V', 'A', '0', '1', '0')
#define ERRCODE_VA_UNKNOWN_LEAD MAKE_SQLSTATE('V', 'A', '0', '2', '0')
#define ERRCODE_VA_QUALIFICATION MAKE_SQLSTATE('V', 'A', '0', '2', '1')
#define ERRCODE_VA_CRITERIA MAKE_SQLSTATE('V', 'A', '0', '2', '2')
#define ERRCODE_VA_STAGE MAKE_SQLSTATE('V', 'A', '0', '2', '3')
#define ERRCODE_VA_MERGE MAKE_SQLSTATE('V', 'A', '0', '2', '4')
#define ERRCODE_VA_SEQUENCE MAKE_SQLSTATE('V', 'A', '0', '2', '5')
#define ERRCODE_VA_TIME_TAKEN MAKE_SQLSTATE('V', 'A', '0', '3', '0')
#define ERRCODE_VA_APPOINTMENT_STEP MAKE_SQLSTATE('V', 'A', '0', '3', '1')
#define ERRCODE_VA_UNKNOWN_APPOINTMENT MAKE_SQLSTATE('V', 'A', '0', '3', '2')
#define ERRCODE_VA_UNKNOWN_PERSON MAKE_SQLSTATE('V', 'A', '0', '3', '3')

#endif
