/* inet, cidr, macaddr, macaddr8. */
#include <stdbool.h>
#include <stdint.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/work.h"

#define ADDRESS_MAX 64 /* bytes of the longest text */
#define WORDS 8        /* of 16 bits, in an IPv6 address */

static char *put_ipv4(char *p, const unsigned char *a)
{
    int i;

    for (i = 0; i < 4; i++) {
        if (i)
            *p++ = '.';
        p = digits_short(p, a[i]);
    }
    return p;
}

static char *put_hex_word(char *p, unsigned v)
{
    int shift = v ? (31 - __builtin_clz(v)) / 4 * 4 : 0;

    for (; shift >= 0; shift -= 4)
        *p++ = digits_hex[(v >> shift & 15) * 2 + 1];
    return p;
}

/* The first of the longest runs of zeros, of two words at least: [from, to). */
struct zeros {
    int from, to;
};

static struct zeros find_zeros(const unsigned *words)
{
    struct zeros best = {-1, -1};
    int i, from;

    for (i = 0; i < WORDS; i++) {
        for (from = i; i < WORDS && words[i] == 0; i++)
            ;
        if (i - from > 1 && i - from > best.to - best.from)
            best = (struct zeros){from, i};
    }
    return best;
}

/* Do the last two words stand as an IPv4 address? (inet_net_ntop.c) */
static bool holds_ipv4(const struct zeros *z, const unsigned *words)
{
    return z->from == 0 && (z->to == 6 || (z->to == 5 && words[5] == 0xffff));
}

static char *put_ipv6(char *p, const unsigned char *a)
{
    unsigned words[WORDS];
    struct zeros zeros;
    int i;

    for (i = 0; i < WORDS; i++)
        words[i] = (unsigned)(a[2 * i] << 8 | a[2 * i + 1]);
    zeros = find_zeros(words);
    for (i = 0; i < WORDS; i++) {
        if (i == zeros.from)
            *p++ = ':';
        if (i >= zeros.from && i < zeros.to)
            continue;
        if (i)
            *p++ = ':';
        if (i == 6 && holds_ipv4(&zeros, words))
            return put_ipv4(p, a + 12);
        p = put_hex_word(p, words[i]);
    }
    if (zeros.to == WORDS)
        *p++ = ':';
    return p;
}

/* inet_struct (inet.h): family (2: IPv4, 3: IPv6), bits of the network, the address. */
static int put_address(struct render_work *w, struct render_value v, struct out *o,
                       bool always_bits)
{
    const unsigned char *a = (const unsigned char *)v.p;
    unsigned most;
    char *p;

    if (v.len != 6 && v.len != 18)
        return render_fail(w, "a network address is neither of 4 nor of 16 bytes");
    most = v.len == 6 ? 32 : 128;
    if (a[0] != (v.len == 6 ? 2 : 3) || a[1] > most)
        return render_fail(w, "a network address has an impossible family or mask");
    p = out_place(o, ADDRESS_MAX);
    p = v.len == 6 ? put_ipv4(p, a + 2) : put_ipv6(p, a + 2);
    if (always_bits || a[1] != most) {
        *p++ = '/';
        p = digits_unsigned(p, a[1]);
    }
    o->n = (size_t)(p - o->p);
    return 0;
}

static int put_inet(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    return put_address(w, v, o, false);
}

static int put_cidr(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    return put_address(w, v, o, true);
}

static int put_mac(struct render_work *w, struct render_value v, struct out *o, size_t want)
{
    size_t i;
    char *p;

    if (v.len != want)
        return render_fail(w, "a hardware address is not as long as its type");
    p = out_place(o, want * 3);
    for (i = 0; i < want; i++) {
        p = digits_byte(p, (unsigned char)v.p[i]);
        *p++ = ':';
    }
    o->n += want * 3 - 1;
    return 0;
}

static int put_macaddr(struct render_work *w, const struct render_type *t, struct render_value v,
                       struct out *o)
{
    (void)t;
    return put_mac(w, v, o, 6);
}

static int put_macaddr8(struct render_work *w, const struct render_type *t, struct render_value v,
                        struct out *o)
{
    (void)t;
    return put_mac(w, v, o, 8);
}

static const struct render_ops inet_ops = {.put = put_inet, .bare = true};
static const struct render_ops cidr_ops = {.put = put_cidr, .bare = true};
static const struct render_ops macaddr_ops = {.put = put_macaddr, .bare = true};
static const struct render_ops macaddr8_ops = {.put = put_macaddr8, .bare = true};

const struct render_builtin render_networks[] = {
    {650, -1, 'i', ',', false, &cidr_ops},    /* cidr */
    {774, 8, 'i', ',', false, &macaddr8_ops}, /* macaddr8 */
    {829, 6, 'i', ',', false, &macaddr_ops},  /* macaddr */
    {869, -1, 'i', ',', false, &inet_ops},    /* inet */
    {0},
};
