/*
 * A filter that passes must stay inside the parentheses that are put around it: judged by a second,
 * simpler reader than the one under test, which knows quotes and parentheses only.
 */
#include <stdlib.h>
#include <string.h>

#include "extract/filter.h"
#include "fuzz.h"

static int stays_inside(const char *s)
{
    int depth = 0, quote = 0, escapes = 0;

    for (; *s; s++) {
        if (quote) {
            if (escapes && *s == '\\' && s[1])
                s++;
            else if (*s == quote)
                quote = 0; /* a doubled quote opens again at once: the same for this purpose */
            continue;
        }
        if (*s == '\'' || *s == '"') {
            quote = *s;
            /* Doubled quotes close and reopen here, so an E string has to be recognised at its
             * start only. */
            escapes =
                escapes && s[-1] == quote ? escapes : *s == '\'' && (s[-1] == 'E' || s[-1] == 'e');
        } else if (*s == '(') {
            depth++;
        } else if (*s == ')' && --depth < 0) {
            return 0;
        } else if (*s == ';' || *s == '$' || (*s == '-' && s[1] == '-') ||
                   (*s == '/' && s[1] == '*')) {
            return 0;
        }
        if (!quote && *s != '\'')
            escapes = 0;
    }
    return depth == 0 && !quote;
}

/* E directly after another word character begins no escape string; such texts are left to the unit
 * tests. */
static int is_ambiguous(const char *s)
{
    for (; *s; s++)
        if ((*s == 'e' || *s == 'E') && s[1] == '\'')
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 2);
    struct err err = {0};

    text[0] = ' '; /* so that the second reader may look one back */
    memcpy(text + 1, data, size);
    text[size + 1] = '\0';
    if (filter_check(text + 1, &err) == 0) {
        if (!is_ambiguous(text) && !stays_inside(text + 1))
            abort();
    } else if (!*err.text) {
        abort();
    }
    free(text);
    return 0;
}
