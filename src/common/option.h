/*
 * Command lines: --name=value, short letters, and (for mount) the same names after -o.
 *
 * A table describes the options of a struct, one row an option, which says of what kind it is and
 * in which member it is kept:
 *
 *   struct options {
 *       bool quiet;
 *       char *spool;
 *       int64_t timeout_ms;
 *   };
 *   static const struct option_def defs[] = {
 *       OPTION_FLAG("quiet", 'q', struct options, quiet),
 *       OPTION_TEXT("spool", 0, struct options, spool),
 *       OPTION_DURATION("timeout", 0, struct options, timeout_ms, 1, "is not a duration"),
 *       OPTION_END,
 *   };
 *
 * Members hold the defaults before the command line is parsed; what is given last counts. A text is
 * a copy, which belongs to the struct from then on: so its default is NULL or memory that free()
 * takes. It is freed by option_free, or by whoever frees the struct.
 */
#ifndef ASOFS_COMMON_OPTION_H
#define ASOFS_COMMON_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum option_kind {
    OPTION_KIND_FLAG,
    OPTION_KIND_TEXT,
    OPTION_KIND_SIZE,
    OPTION_KIND_DURATION,
    OPTION_KIND_NUMBER,
    OPTION_KIND_CHOICE,
    OPTION_KIND_CALL,
    OPTION_KIND_CALL_FLAG,
    OPTION_KIND_ROWS,
};

/* A row; made by the macros below. */
struct option_def {
    const char *name; /* long name without dashes; NULL ends the table */
    int letter;       /* short form; 0: none; OPTION_ONLY_O: it exists only after -o */
    enum option_kind kind;
    size_t offset; /* of the member */
    int base;
    int64_t least, most;
    const char *wrong; /* said after the value, in quotes, that is none: "is not a size" */
    const char *const *choices;
    int (*check)(const char *value, struct err *err);
    int (*set)(void *member, const char *value, struct err *err);
    const struct option_def *rows;
};

#define OPTION_ONLY_O (-1)

#define OPTION_IS_OF(T, m, type) __builtin_types_compatible_p(__typeof__(((T *)NULL)->m), type)
/* The place of the member; does not compile unless `right`. */
#define OPTION_AT(T, m, right) (offsetof(T, m) + 0 * sizeof(char[(right) ? 1 : -1]))

/* bool; takes no value, and sets it. */
#define OPTION_FLAG(name_, letter_, T, m)                                                          \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_FLAG,                            \
        .offset = OPTION_AT(T, m, OPTION_IS_OF(T, m, bool))                                        \
    }

/* char *, const or not. check may be NULL: 0, or negative with err filled (no need to name the
 * option). */
#define OPTION_CHECKED_TEXT(name_, letter_, T, m, check_)                                          \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_TEXT,                            \
        .offset = OPTION_AT(T, m, OPTION_IS_OF(T, m, char *) || OPTION_IS_OF(T, m, const char *)), \
        .check = (check_)                                                                          \
    }
#define OPTION_TEXT(name_, letter_, T, m) OPTION_CHECKED_TEXT(name_, letter_, T, m, NULL)

/* uint64_t, bytes (units_parse_size). */
#define OPTION_SIZE(name_, letter_, T, m, least_, wrong_)                                          \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_SIZE,                            \
        .offset = OPTION_AT(T, m, OPTION_IS_OF(T, m, uint64_t)), .least = (least_),                \
        .wrong = (wrong_)                                                                          \
    }

/* int64_t, milliseconds (units_parse_duration). */
#define OPTION_DURATION(name_, letter_, T, m, least_, wrong_)                                      \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_DURATION,                        \
        .offset = OPTION_AT(T, m, OPTION_IS_OF(T, m, int64_t)), .least = (least_),                 \
        .wrong = (wrong_)                                                                          \
    }

/* unsigned, in that base. */
#define OPTION_NUMBER(name_, letter_, T, m, base_, least_, most_, wrong_)                          \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_NUMBER,                          \
        .offset = OPTION_AT(T, m, OPTION_IS_OF(T, m, unsigned)), .base = (base_),                  \
        .least = (least_), .most = (most_), .wrong = (wrong_)                                      \
    }

/* An enum, from 0 on: its names, and NULL after them. */
#define OPTION_CHOICE(name_, letter_, T, m, choices_)                                              \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_CHOICE,                          \
        .offset = OPTION_AT(T, m, sizeof(((T *)NULL)->m) == sizeof(unsigned)),                     \
        .choices = (choices_)                                                                      \
    }

/* What no row says: the setter is told where the member is. 0, or negative with err filled (no need
 * to name the option). The value is not there any more when it has returned; that of CALL_FLAG is
 * NULL. */
#define OPTION_CALL(name_, letter_, T, m, set_)                                                    \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_CALL, .offset = offsetof(T, m),  \
        .set = (set_)                                                                              \
    }
#define OPTION_CALL_FLAG(name_, letter_, T, m, set_)                                               \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = OPTION_KIND_CALL_FLAG,                       \
        .offset = offsetof(T, m), .set = (set_)                                                    \
    }

/* More rows of the same struct, or of a member, a struct that has a table of its own. */
#define OPTION_MORE(rows_)                                                                         \
    {                                                                                              \
        .name = "", .kind = OPTION_KIND_ROWS, .rows = (rows_)                                      \
    }
#define OPTION_ROWS(T, m, rows_)                                                                   \
    {                                                                                              \
        .name = "", .kind = OPTION_KIND_ROWS, .offset = offsetof(T, m), .rows = (rows_)            \
    }

#define OPTION_END                                                                                 \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/*
 * Parse argv[1..]; operands (everything that is no option, and all after "--") are collected in
 * argv order into operands[0..max). Returns their number, or negative (usage error) with err
 * filled; what came before it is set then. `take_o`: accept -o LIST.
 */
int option_parse(const struct option_def *defs, bool take_o, void *target, int argc, char **argv,
                 char **operands, int max, struct err *err);

/* One comma-separated list as after -o; a comma inside a value is written "\,". */
int option_parse_list(const struct option_def *defs, void *target, const char *list,
                      struct err *err);

/* The texts of these rows; once more is fine. */
void option_free(const struct option_def *defs, void *target);

#endif
