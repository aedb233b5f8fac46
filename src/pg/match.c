#include "pg/match.h"

#include <string.h>

#define BEGIN "^("
#define END ")$"
#define SPECIAL "|*+?()[]{}.^$\\"

enum kind { LITERAL, ANY_ONE, ANY, AT_END, UNKNOWN };

struct piece {
    enum kind kind;
    char c; /* LITERAL */
};

/* Between BEGIN and END. */
struct pieces {
    const char *p, *end;
};

static bool find_pieces(const char *regex, struct pieces *in)
{
    size_t n = strlen(regex), around = strlen(BEGIN) + strlen(END);

    if (n < around || strncmp(regex, BEGIN, strlen(BEGIN)) != 0 ||
        strcmp(regex + n - strlen(END), END) != 0)
        return false;
    in->p = regex + strlen(BEGIN);
    in->end = regex + n - strlen(END);
    return true;
}

/* A backslash makes a special character an ordinary one; before others it means something else. */
static struct piece next_piece(struct pieces *in)
{
    struct piece piece = {.kind = AT_END};

    if (in->p == in->end)
        return piece;
    piece = (struct piece){LITERAL, *in->p++};
    if (piece.c == '.') {
        bool many = in->p < in->end && *in->p == '*';

        piece.kind = many ? ANY : ANY_ONE;
        in->p += many;
    } else if (piece.c == '\\' && in->p < in->end && strchr(SPECIAL, *in->p)) {
        piece.c = *in->p++;
    } else if (strchr(SPECIAL, piece.c)) {
        piece.kind = UNKNOWN;
    }
    return piece;
}

/* What follows one may not be a quantifier of it: that is special, and so unknown. */
bool pg_match_can(const char *regex)
{
    struct pieces in;
    struct piece piece = {.kind = UNKNOWN};

    if (!find_pieces(regex, &in))
        return false;
    do
        piece = next_piece(&in);
    while (piece.kind != AT_END && piece.kind != UNKNOWN);
    return piece.kind == AT_END;
}

static const char *skip_character(const char *name, bool bytes)
{
    name++;
    while (!bytes && ((unsigned char)*name & 0xc0) == 0x80)
        name++;
    return name;
}

bool pg_match(const char *regex, const char *name, bool bytes)
{
    struct pieces in, after_any = {0};
    const char *skipped = NULL; /* from where on the last ANY has taken nothing yet */

    if (!find_pieces(regex, &in))
        return false;
    for (;;) {
        struct piece piece = next_piece(&in);

        if (piece.kind == ANY) {
            after_any = in;
            skipped = name;
        } else if (piece.kind == AT_END && !*name) {
            return true;
        } else if (piece.kind == LITERAL && *name == piece.c) {
            name++;
        } else if (piece.kind == ANY_ONE && *name) {
            name = skip_character(name, bytes);
        } else if (skipped && *skipped) {
            skipped = skip_character(skipped, bytes); /* ANY takes one more */
            name = skipped;
            in = after_any;
        } else {
            return false;
        }
    }
}
