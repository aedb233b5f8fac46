/*
 * The way is that of Raffaello Giulietti's "The Schubfach way to render doubles": the value and the
 * ends of its interval are scaled by one power of ten such that the interval holds at least one
 * integer, and at most one multiple of ten; the product's upper bits with one more that tells if
 * the rest is zero are enough to compare exactly.
 */
#include "render/shortest.h"

#include <stdbool.h>

#include "render/digits.h"
#include "render/powers.h"

/* Floors of logarithms, right for all exponents that occur here; >> of what is negative rounds
 * down. */
static int log2_of_power10(int e)
{
    return (e * 1741647) >> 19;
}

static int log10_of_power2(int e)
{
    return (e * 1262611) >> 22;
}

static int log10_of_three_quarters(int e) /* of 3/4 * 2^e */
{
    return (e * 1262611 - 524031) >> 22;
}

/* The upper 64 of 192 bits; odd if there is anything below. */
static uint64_t multiply_to_odd(const uint64_t *g, uint64_t c)
{
    unsigned __int128 low = (unsigned __int128)g[1] * c, high = (unsigned __int128)g[0] * c;

    high += (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* Four times an interval's ends and the value, scaled. */
struct scaled {
    uint64_t low, value, high;
};

/* Is the integer strictly within? */
static bool holds(const struct scaled *v, uint64_t n)
{
    return v->low < 4 * n && 4 * n < v->high;
}

static uint64_t choose_digits(const struct scaled *v, int *exponent)
{
    uint64_t s = v->value / 4, ten = s / 10 * 10, middle = 4 * s + 2;

    if (holds(v, ten) != holds(v, ten + 10)) {
        *exponent += 1;
        return holds(v, ten) ? ten / 10 : ten / 10 + 1;
    }
    if (holds(v, s) != holds(v, s + 1))
        return holds(v, s) ? s : s + 1;
    return s + (v->value > middle || (v->value == middle && s & 1));
}

static void strip_zeros(struct shortest *s)
{
    if (s->digits % 100000000 == 0) {
        s->digits /= 100000000;
        s->exponent += 8;
    }
    while (s->digits % 10 == 0) {
        s->digits /= 10;
        s->exponent++;
    }
}

/* c * 2^q. uneven: the neighbour below is only half as far away as that above. */
static void find_digits(struct shortest *s, uint64_t c, int q, bool uneven)
{
    int k = uneven ? log10_of_three_quarters(q) : log10_of_power2(q);
    int shift = q + log2_of_power10(-k) + 1;
    const uint64_t *g = powers[-k - POWERS_FIRST];
    struct scaled v = {.low = multiply_to_odd(g, (4 * c - 2 + uneven) << shift),
                       .value = multiply_to_odd(g, 4 * c << shift),
                       .high = multiply_to_odd(g, (4 * c + 2) << shift)};

    s->exponent = k;
    s->digits = choose_digits(&v, &s->exponent);
    strip_zeros(s);
}

/* fraction and exponent as stored, of so many bits. */
static void decode(struct shortest *s, uint64_t fraction, int exponent, int fraction_bits,
                   int exponent_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1 + fraction_bits;

    if (exponent == (1 << exponent_bits) - 1) {
        s->name = fraction ? "NaN" : "Infinity";
        s->negative = fraction ? 0 : s->negative;
    } else if (exponent > 0) {
        find_digits(s, fraction | (uint64_t)1 << fraction_bits, exponent - bias,
                    fraction == 0 && exponent > 1);
    } else if (fraction) {
        find_digits(s, fraction, 1 - bias, false);
    }
}

struct shortest render_shortest_double(uint64_t bits)
{
    struct shortest s = {.limit = 15, .negative = (int)(bits >> 63)};

    decode(&s, bits & (((uint64_t)1 << 52) - 1), (int)(bits >> 52 & 0x7ff), 52, 11);
    return s;
}

struct shortest render_shortest_float(uint32_t bits)
{
    struct shortest s = {.limit = 6, .negative = (int)(bits >> 31)};

    decode(&s, bits & ((1u << 23) - 1), (int)(bits >> 23 & 0xff), 23, 8);
    return s;
}

/* d.ddde+dd */
static char *put_scientific(char *p, uint64_t digits, unsigned n, int first)
{
    char *end = digits_padded(p + 1, digits, n);
    unsigned e = (unsigned)(first < 0 ? -first : first);

    p[0] = p[1];
    p[1] = '.';
    p = n > 1 ? end : p + 1;
    *p++ = 'e';
    *p++ = first < 0 ? '-' : '+';
    return digits_padded(p, e, e < 100 ? 2 : 3);
}

static char *put_fixed(char *p, uint64_t digits, unsigned n, int first)
{
    if (first < 0) { /* 0.00ddd */
        memcpy(p, "0.000", 5);
        return digits_padded(p + 1 - first, digits, n);
    }
    if (first + 1 < (int)n) { /* dd.ddd */
        char *end = digits_padded(p + 1, digits, n);

        memmove(p, p + 1, (size_t)first + 1);
        p[first + 1] = '.';
        return end;
    }
    p = digits_padded(p, digits, n); /* ddd00 */
    memset(p, '0', (size_t)first + 1 - n);
    return p + (size_t)first + 1 - n;
}

static bool scientific(const struct shortest *s, int first)
{
    return first < -4 || first >= s->limit;
}

char *render_shortest_put(const struct shortest *s, char *p)
{
    unsigned n = digits_count(s->digits);
    int first = s->exponent + (int)n - 1; /* the first digit's exponent */

    if (s->negative)
        *p++ = '-';
    if (s->name)
        return stpcpy(p, s->name);
    if (scientific(s, first))
        return put_scientific(p, s->digits, n, first);
    return put_fixed(p, s->digits, n, first);
}

size_t render_shortest_length(const struct shortest *s)
{
    unsigned n = digits_count(s->digits), sign = s->negative ? 1 : 0;
    int first = s->exponent + (int)n - 1;

    if (s->name)
        return sign + strlen(s->name);
    if (scientific(s, first))
        return sign + n + (n > 1) + 2 + (first <= -100 || first >= 100 ? 3 : 2);
    if (first < 0)
        return sign + n + 1 + (unsigned)-first;
    return sign + (first + 1 < (int)n ? n + 1 : (unsigned)first + 1);
}
