#include "extract/filter.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Is the quote at p that of an E'…' string? Its E must not be the end of a longer word. */
static bool is_escape_string(const char *start, const char *p)
{
    if (p == start || (p[-1] != 'e' && p[-1] != 'E'))
        return false;
    return p - 1 == start || !is_word(p[-2]);
}

/*
 * A quote directly behind a number that ends in E: whether that is an E'...' string depends on the
 * server's version (1E'...' was a number and a string before 15). Nobody needs it.
 */
static bool is_ambiguous(const char *start, const char *p)
{
    const char *word = p;

    while (word > start && is_word(word[-1]))
        word--;
    return *p == '\'' && p - word >= 2 && (p[-1] == 'e' || p[-1] == 'E') &&
           isdigit((unsigned char)*word);
}

/* Behind the closing quote of what opens at p; NULL when it is not closed. */
static const char *skip_quoted(const char *p, bool backslashes)
{
    char quote = *p++;

    for (; *p; p++) {
        if (backslashes && *p == '\\' && p[1])
            p++;
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return NULL;
}

static const char *forbidden(const char *p)
{
    if ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*') ||
        (p[0] == '*' && p[1] == '/'))
        return "a comment";
    if (*p == ';')
        return "a semicolon";
    if (*p == '$')
        return "a dollar sign outside quotes";
    if (*p == '\\')
        return "a backslash outside quotes";
    if ((unsigned char)*p < ' ' && *p != '\t')
        return "a control character";
    return NULL;
}

int filter_check(const char *filter, struct err *err)
{
    const char *p = filter + strspn(filter, " \t"), *what;
    int depth = 0;

    if (!*p)
        return err_set(err, EINVAL, "the filter is empty");
    while (*p) {
        if (is_ambiguous(filter, p))
            return err_set(err, EINVAL, "the filter has a quote directly behind a number");
        if (*p == '\'' || *p == '"') {
            p = skip_quoted(p, *p == '\'' && is_escape_string(filter, p));
            if (!p)
                return err_set(err, EINVAL, "the filter has a quote that is not closed");
            continue;
        }
        what = forbidden(p);
        if (what)
            return err_set(err, EINVAL, "the filter has %s, which is not allowed there", what);
        depth += (*p == '(') - (*p == ')');
        if (depth < 0)
            return err_set(err, EINVAL, "the filter closes a parenthesis that it did not open");
        p++;
    }
    if (depth)
        return err_set(err, EINVAL, "the filter has a parenthesis that is not closed");
    return 0;
}
