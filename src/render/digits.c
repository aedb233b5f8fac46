#include "render/digits.h"

#define LAST(p) p "0" p "1" p "2" p "3" p "4" p "5" p "6" p "7" p "8" p "9"
#define THIRD(p)                                                                                   \
    LAST(p "0")                                                                                    \
    LAST(p "1")                                                                                    \
    LAST(p "2")                                                                                    \
    LAST(p "3")                                                                                    \
    LAST(p "4")                                                                                    \
    LAST(p "5")                                                                                    \
    LAST(p "6")                                                                                    \
    LAST(p "7")                                                                                    \
    LAST(p "8")                                                                                    \
    LAST(p "9")
#define SECOND(p)                                                                                  \
    THIRD(p "0")                                                                                   \
    THIRD(p "1")                                                                                   \
    THIRD(p "2")                                                                                   \
    THIRD(p "3")                                                                                   \
    THIRD(p "4")                                                                                   \
    THIRD(p "5")                                                                                   \
    THIRD(p "6")                                                                                   \
    THIRD(p "7")                                                                                   \
    THIRD(p "8")                                                                                   \
    THIRD(p "9")

const char digits_fours[] = SECOND("0") SECOND("1") SECOND("2") SECOND("3") SECOND("4") SECOND("5")
    SECOND("6") SECOND("7") SECOND("8") SECOND("9");

#define HEX(p) LAST(p) p "a" p "b" p "c" p "d" p "e" p "f"

const char digits_hex[] = HEX("0") HEX("1") HEX("2") HEX("3") HEX("4") HEX("5") HEX("6") HEX("7")
    HEX("8") HEX("9") HEX("a") HEX("b") HEX("c") HEX("d") HEX("e") HEX("f");
